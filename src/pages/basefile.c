#include "pages/basefile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct still {
    struct basefile b;
    struct disk_file *file;
    const struct manifest_entry *entry;
};

static int stat_still(struct basefile *b, struct stat *st)
{
    struct still *s = (struct still *)b;

    return s->file->ops->file_stat(s->file, st);
}

static int read_still(struct basefile *b, char *bytes, size_t len, uint64_t offset)
{
    struct still *s = (struct still *)b;
    struct stat st;
    int64_t n = s->file->ops->read(s->file, bytes, len, offset);
    int rc;

    if (n < 0)
        return (int)n;
    rc = stat_still(b, &st);
    if (rc < 0)
        return rc;
    if (!manifest_same(s->entry, &st))
        return BASEFILE_CHANGED;
    memset(bytes + n, 0, len - (size_t)n);
    return 0;
}

static void close_still(struct basefile *b)
{
    struct still *s = (struct still *)b;

    if (s->file)
        s->file->ops->close(s->file);
    free(s);
}

static const struct basefile_ops still_ops = {
    .read = read_still, .stat = stat_still, .close = close_still};

/* It is open, and the one that was added. */
static int open_same(struct still *s, struct disk *base, const char *path, struct err *err)
{
    struct stat st;
    int rc = base->ops->open(base, path, 0, &s->file);

    if (rc < 0)
        return err_set(err, EIO, "cannot open %s of the base: %s", path, strerror(-rc));
    rc = stat_still(&s->b, &st);
    if (rc == 0 && !manifest_same(s->entry, &st))
        rc = -ESTALE;
    return rc < 0 ? err_set(err, EIO, "%s of the base changed since the base was added", path) : 0;
}

int basefile_still(struct disk *base, const struct manifest *m, uint32_t entry,
                   struct basefile **result, struct err *err)
{
    struct still *s = calloc(1, sizeof(*s));
    char *path = manifest_path(m, entry);
    int rc;

    if (s && path) {
        s->entry = manifest_entry(m, entry);
        s->b = (struct basefile){&still_ops, s->entry->size};
        rc = open_same(s, base, path, err);
    } else {
        rc = err_set(err, ENOMEM, "no memory");
    }
    free(path);
    if (rc == 0)
        *result = &s->b;
    else if (s)
        close_still(&s->b);
    return rc;
}
