#include "common/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

void buf_reserve(struct buf *b, size_t more)
{
    size_t need = b->len + more + 1;

    if (need <= b->room)
        return;
    while (b->room < need)
        b->room = b->room ? b->room * 2 : 64;
    b->data = mem_resize(b->data, b->room, 1);
}

void buf_put(struct buf *b, const void *bytes, size_t len)
{
    buf_reserve(b, len);
    if (len)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
    buf_put(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    buf_reserve(b, (size_t)n);
    va_start(ap, fmt);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void buf_put_u32(struct buf *b, uint32_t v)
{
    buf_put(b, &v, sizeof(v));
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    buf_put(b, &v, sizeof(v));
}

void buf_put_str(struct buf *b, const char *s)
{
    size_t len = s ? strlen(s) : 0;

    buf_put_u32(b, (uint32_t)len);
    buf_put(b, s, len);
}

char *buf_steal(struct buf *b)
{
    char *s = b->data ? b->data : mem_strdup("");

    *b = (struct buf){0};
    return s;
}

static bool take_bytes(struct reader *r, void *out, size_t len)
{
    if (r->bad || r->left < len) {
        r->bad = true;
        return false;
    }
    memcpy(out, r->p, len);
    r->p += len;
    r->left -= len;
    return true;
}

uint32_t reader_u32(struct reader *r)
{
    uint32_t v = 0;

    return take_bytes(r, &v, sizeof(v)) ? v : 0;
}

uint64_t reader_u64(struct reader *r)
{
    uint64_t v = 0;

    return take_bytes(r, &v, sizeof(v)) ? v : 0;
}

char *reader_str(struct reader *r)
{
    uint32_t len = reader_u32(r);
    char *s;

    if (r->bad || r->left < len || memchr(r->p, '\0', len)) {
        r->bad = true;
        return mem_strdup("");
    }
    s = mem_alloc((size_t)len + 1);
    take_bytes(r, s, len);
    return s;
}

bool reader_done(const struct reader *r)
{
    return !r->bad && r->left == 0;
}
