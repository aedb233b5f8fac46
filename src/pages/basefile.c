#include "pages/basefile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct basefile {
    struct disk_file *file;
    const struct manifest_entry *entry;
};

/* It is open, and the one that was added. */
static int open_same(struct basefile *b, struct disk *base, const char *path, struct err *err)
{
    struct stat st;
    int rc = base->ops->open(base, path, 0, &b->file);

    if (rc < 0)
        return err_set(err, EIO, "cannot open %s of the base: %s", path, strerror(-rc));
    rc = basefile_stat(b, &st);
    if (rc == 0 && !manifest_same(b->entry, &st))
        rc = -ESTALE;
    return rc < 0 ? err_set(err, EIO, "%s of the base changed since the base was added", path) : 0;
}

int basefile_open(struct disk *base, const struct manifest *m, uint32_t entry,
                  struct basefile **result, struct err *err)
{
    struct basefile *b = calloc(1, sizeof(*b));
    char *path = manifest_path(m, entry);
    int rc;

    if (b && path) {
        b->entry = manifest_entry(m, entry);
        rc = open_same(b, base, path, err);
    } else {
        rc = err_set(err, ENOMEM, "no memory");
    }
    free(path);
    if (rc < 0)
        basefile_close(b);
    else
        *result = b;
    return rc;
}

void basefile_close(struct basefile *b)
{
    if (b && b->file)
        b->file->ops->close(b->file);
    free(b);
}

uint64_t basefile_size(const struct basefile *b)
{
    return b->entry->size;
}

int basefile_stat(struct basefile *b, struct stat *st)
{
    return b->file->ops->file_stat(b->file, st);
}

int basefile_read(struct basefile *b, char *bytes, size_t len, uint64_t offset)
{
    struct stat st;
    int64_t n = b->file->ops->read(b->file, bytes, len, offset);
    int rc;

    if (n < 0)
        return (int)n;
    rc = basefile_stat(b, &st);
    if (rc < 0)
        return rc;
    if (!manifest_same(b->entry, &st))
        return BASEFILE_CHANGED;
    memset(bytes + n, 0, len - (size_t)n);
    return 0;
}
