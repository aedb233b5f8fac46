/*
 * A byte buffer that grows, and a reader over bytes that never reads past their end.
 *
 * The put/get pairs are the encoding of messages between processes of one program on one machine:
 * integers in host order, strings as u32 length + bytes. It is not an on-disk format.
 */
#ifndef ASOFS_COMMON_BUF_H
#define ASOFS_COMMON_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data; /* owned; data[len] is always 0 once something was put */
    size_t len;
    size_t room;
};

void buf_free(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */
void buf_reserve(struct buf *b, size_t more);
void buf_put(struct buf *b, const void *bytes, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_str(struct buf *b, const char *s); /* NULL is put as the empty string */

/* The text as a string the caller owns (never NULL); the buffer is empty afterwards. */
char *buf_steal(struct buf *b);

struct reader {
    const char *p;
    size_t left;
    bool bad; /* something did not fit; stays set. Values got since are 0 or "" */
};

uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
char *reader_str(struct reader *r); /* a copy the caller owns, never NULL; a NUL inside is bad */
bool reader_done(const struct reader *r); /* everything read, nothing bad */

#endif
