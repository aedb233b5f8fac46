#include "store/rebase.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "pages/page.h"

#define BYTES_MAX SIZE_MAX

static const char *entry_difference(const struct manifest *was, const struct manifest *now,
                                    uint32_t i)
{
    const struct manifest_entry *a = manifest_entry(was, i), *b = manifest_entry(now, i);

    if (strcmp(manifest_name(was, i), manifest_name(now, i)) != 0 || a->parent != b->parent)
        return "is missing, or another was added beside it";
    if ((a->mode & S_IFMT) != (b->mode & S_IFMT) || a->flags != b->flags)
        return "is of another type";
    if (a->children != b->children)
        return "has more or fewer files in it";
    if (S_ISREG(a->mode) && a->size != b->size)
        return "has another size";
    if (S_ISREG(a->mode) && a->first != b->first)
        return "has other names (hard links)";
    if (S_ISLNK(a->mode) && strcmp(manifest_target(was, i), manifest_target(now, i)) != 0)
        return "leads elsewhere";
    return NULL;
}

static int refuse(const struct manifest *m, uint32_t i, const char *what, struct err *err)
{
    char *path = manifest_path(m, i);

    err_set(err, ESTALE, "%s %s", path && *path ? path : "the base's directory itself", what);
    free(path);
    return -ESTALE;
}

int rebase_compare(const struct manifest *was, const struct manifest *now, struct err *err)
{
    uint32_t n = manifest_entries(was), m = manifest_entries(now), i;
    const char *what;

    for (i = 0; i < n && i < m; i++)
        if ((what = entry_difference(was, now, i)))
            return refuse(was, i, what, err);
    if (n != m)
        return refuse(was, 0, "has more or fewer files in it", err);
    return 0;
}

int rebase_manifest(struct disk *d, const char *from, const char *to, uint64_t id, struct err *err)
{
    struct manifest_header h;
    char *bytes = NULL;
    size_t len = 0;
    int rc = disk_read_file(d, from, BYTES_MAX, &bytes, &len);

    if (rc == 0 && len < sizeof(h))
        rc = -EIO;
    if (rc == 0) {
        memcpy(&h, bytes, sizeof(h));
        h.id = id;
        h.header_crc = crc32c(&h, offsetof(struct manifest_header, header_crc));
        memcpy(bytes, &h, sizeof(h));
        rc = disk_replace_file(d, to, bytes, len);
    }
    free(bytes);
    return rc < 0 ? err_set(err, -rc, "cannot write the manifest: %s", strerror(-rc)) : 0;
}
