#include "common/flatfile.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

bool flatfile_works(const struct flatfile *f)
{
    return f->ops->try;
}

int flatfile_try(const struct flatfile *f, void *buffer, size_t size, uint64_t offset)
{
    return f->ops->try(f, buffer, size, offset);
}

/* Who splices a part that is not there would hand on less than he said. */
static bool are_whole(const struct flatfile_piece *pieces, size_t n)
{
    struct stat st;
    size_t i;

    for (i = 0; i < n; i++)
        if (fstat(pieces[i].fd, &st) < 0 ||
            (uint64_t)st.st_size < pieces[i].offset + pieces[i].size)
            return false;
    return true;
}

size_t flatfile_pieces(const struct flatfile *f, size_t size, uint64_t offset,
                       struct flatfile_piece *pieces, size_t most)
{
    size_t n;

    if (!f->ops->pieces || size == 0 || offset >= f->size)
        return 0;
    if (size > f->size - offset)
        size = (size_t)(f->size - offset);
    n = f->ops->pieces(f, size, offset, pieces, most);
    return are_whole(pieces, n) ? n : 0;
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
