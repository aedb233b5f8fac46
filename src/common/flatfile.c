#include "common/flatfile.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

int64_t flatfile_read(const struct flatfile *f, void *buffer, size_t size, uint64_t offset)
{
    int rc;

    if (size == 0 || offset >= f->size)
        return 0;
    if (size > f->size - offset)
        size = (size_t)(f->size - offset);
    rc = f->ops->read(f, buffer, size, offset);
    return rc < 0 ? rc : (int64_t)size;
}

int flatfile_fd(const struct flatfile *f)
{
    return f->ops->fd ? f->ops->fd(f) : -1;
}

void flatfile_free(struct flatfile *f)
{
    if (f)
        f->ops->free(f);
}

/* ---- a text ---- */

struct text {
    struct flatfile file; /* first */
    struct buf bytes;
};

static int read_text(const struct flatfile *f, void *buffer, size_t size, uint64_t offset)
{
    memcpy(buffer, ((const struct text *)f)->bytes.data + offset, size);
    return 0;
}

static void free_text(struct flatfile *f)
{
    buf_free(&((struct text *)f)->bytes);
    free(f);
}

struct flatfile *flatfile_from_text(struct buf *text)
{
    static const struct flatfile_ops ops = {.read = read_text, .free = free_text};
    struct text *t = mem_alloc(sizeof(*t));

    t->file = (struct flatfile){.ops = &ops, .size = text->len};
    t->bytes = *text;
    *text = (struct buf){0};
    return &t->file;
}
