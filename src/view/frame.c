#include "view/frame.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_ZSTD
#include <zstd.h>

#include "common/mem.h"

int frame_read_level(const char *text, int *level, struct err *err)
{
    char *end = NULL;
    long n = FRAME_LEVEL_DEFAULT;

    if (strncmp(text, "zstd", 4) == 0 && text[4] == ':' && text[5] >= '0' && text[5] <= '9')
        n = strtol(text + 5, &end, 10);
    else if (strcmp(text, "zstd") != 0)
        return err_set(err, EINVAL, "\"%s\" is neither zstd nor zstd:LEVEL", text);
    if (n < 1 || n > FRAME_LEVEL_MAX || (end && *end))
        return err_set(err, EINVAL, "\"%s\" has no level from 1 to %d", text, FRAME_LEVEL_MAX);
    *level = (int)n;
    return 0;
}

static ZSTD_CCtx *context(struct frame *f)
{
    return (ZSTD_CCtx *)f;
}

struct frame *frame_new(int level)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();

    if (!c)
        return mem_alloc(SIZE_MAX / 2); /* says so and aborts */
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    return (struct frame *)c;
}

void frame_free(struct frame *f)
{
    ZSTD_freeCCtx(context(f));
}

int frame_make(struct frame *f, const char *text, size_t n, struct out *to)
{
    size_t room = ZSTD_compressBound(n), made;

    to->n = 0;
    made = ZSTD_compress2(context(f), out_place(to, room), room, text, n);
    if (ZSTD_isError(made))
        return -ENOMEM; /* there is room, and the parameters are right */
    to->n = made;
    return 0;
}
#else
int frame_read_level(const char *text, int *level, struct err *err)
{
    (void)level;
    return err_set(err, EINVAL, "\"%s\" is not possible: this asofs was built without libzstd",
                   text);
}

struct frame *frame_new(int level)
{
    (void)level;
    return NULL;
}

void frame_free(struct frame *f)
{
    (void)f;
}

int frame_make(struct frame *f, const char *text, size_t n, struct out *to)
{
    (void)f;
    (void)text;
    (void)n;
    (void)to;
    return -ENOSYS;
}
#endif
