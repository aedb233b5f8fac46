#include "render/field.h"

#include "render/bare.h"

#define PIECE 1024u /* of a text, that is written at once */

/* Those that become two bytes: the quotes of CSV. */
static inline unsigned doubled_in(enum render_format f, chunk c)
{
    return f == RENDER_CSV ? quotes_in(c) : text_specials_in(c);
}

static inline bool has_doubled(enum render_format f, const char *text, size_t n)
{
    for (; n >= CHUNK; text += CHUNK, n -= CHUNK)
        if (doubled_in(f, chunk_whole(text)))
            return true;
    return doubled_in(f, chunk_part(text, n)) != 0;
}

static inline size_t count_doubled(enum render_format f, const char *text, size_t n)
{
    size_t count = 0;
    unsigned mask;

    for (; n >= CHUNK; text += CHUNK, n -= CHUNK) {
        mask = doubled_in(f, chunk_whole(text));
        if (mask)
            count += chunk_count(mask);
    }
    return count + chunk_count(doubled_in(f, chunk_part(text, n)));
}

size_t render_field_length(struct render_style s, const char *text, size_t n)
{
    if (s.format == RENDER_TEXT)
        return n + count_doubled(RENDER_TEXT, text, n);
    if (render_field_is_bare(s, text, n))
        return n;
    return n + 2 + count_doubled(RENDER_CSV, text, n);
}

static inline char escape_letter(char c)
{
    return c == '\\' ? '\\' : "btnvfr"[c - '\b'];
}

/* Behind the special, which stands before `to`: it becomes two bytes. */
static inline char *double_last(enum render_format f, char *to)
{
    if (f == RENDER_CSV) {
        *to = '"';
    } else {
        *to = escape_letter(to[-1]);
        to[-1] = '\\';
    }
    return to + 1;
}

/* CHUNK bytes, and as many behind them may be read. */
static inline char *put_whole(enum render_format f, const char *text, char *to)
{
    chunk c = chunk_whole(text);
    unsigned mask = doubled_in(f, c), at, done = 0;

    chunk_store(to, c);
    for (; mask; mask &= mask - 1) {
        at = (unsigned)__builtin_ctz(mask) + 1;
        to = double_last(f, to + (at - done));
        chunk_store(to, chunk_whole(text + at));
        done = at;
    }
    return to + (CHUNK - done);
}

/* Less than CHUNK bytes. */
static inline char *put_part(enum render_format f, const char *text, size_t n, char *to)
{
    chunk c = chunk_part(text, n);
    unsigned mask = doubled_in(f, c);
    size_t i;

    if (!mask) {
        chunk_store(to, c);
        return to + n;
    }
    for (i = 0; i < n; i++) {
        *to++ = text[i];
        if (mask >> i & 1)
            to = double_last(f, to);
    }
    return to;
}

/* Up to PIECE bytes. */
static inline char *put_piece(enum render_format f, const char *text, size_t n, char *to)
{
    for (; n >= 2 * CHUNK; text += CHUNK, n -= CHUNK)
        to = put_whole(f, text, to);
    for (; n >= CHUNK; text += CHUNK / 2, n -= CHUNK / 2)
        to = put_part(f, text, CHUNK / 2, to);
    return put_part(f, text, n, to);
}

static inline void put_doubled(enum render_format f, const char *text, size_t n, struct out *o)
{
    size_t some;
    char *to;

    do {
        some = n < PIECE ? n : PIECE;
        to = out_place(o, 2 * PIECE + 2 * CHUNK);
        o->n = (size_t)(put_piece(f, text, some, to) - o->p);
        text += some;
        n -= some;
    } while (n);
}

static void put_quoted(const char *text, size_t n, struct out *o)
{
    out_putc(o, '"');
    put_doubled(RENDER_CSV, text, n, o);
    out_putc(o, '"');
}

static void put_csv(struct render_style s, const char *text, size_t n, struct out *o)
{
    if (render_field_copy(s, text, n, out_place(o, n + CHUNK)))
        o->n += n;
    else
        put_quoted(text, n, o);
}

void render_field_put(struct render_style s, const char *text, size_t n, struct out *o)
{
    if (s.format == RENDER_CSV)
        put_csv(s, text, n, o);
    else
        put_doubled(RENDER_TEXT, text, n, o);
}

void render_field_close(struct render_style s, struct out *o, size_t at, struct out *aside)
{
    const char *text = o->p + at;
    size_t n = o->n - at;

    if (s.format == RENDER_CSV ? render_field_is_bare(s, text, n)
                               : !count_doubled(RENDER_TEXT, text, n))
        return;
    out_put(aside, text, n);
    o->n = at;
    if (s.format == RENDER_CSV)
        put_quoted(aside->p, n, o);
    else
        put_doubled(RENDER_TEXT, aside->p, n, o);
}

size_t render_field_open(struct render_style s, struct out *o)
{
    size_t at = o->n;

    if (s.format == RENDER_CSV)
        out_putc(o, '"');
    return at;
}

static void end_csv(struct render_style s, struct out *o, size_t at, struct out *aside)
{
    char *text = o->p + at + 1;
    size_t n = o->n - at - 1;

    if (render_field_is_bare(s, text, n)) {
        memmove(text - 1, text, n);
        o->n--;
    } else if (has_doubled(RENDER_CSV, text, n)) {
        out_put(aside, text, n);
        o->n = at;
        put_quoted(aside->p, n, o);
    } else {
        out_putc(o, '"');
    }
}

void render_field_end(struct render_style s, struct out *o, size_t at, struct out *aside)
{
    if (s.format == RENDER_CSV)
        end_csv(s, o, at, aside);
    else
        render_field_close(s, o, at, aside);
}

#define BOTH (RENDER_BYTE_QUOTED | RENDER_BYTE_DOUBLED)

const uint8_t *render_field_kinds(enum render_format f)
{
    static const uint8_t kinds[][256] = {[RENDER_CSV] = {[','] = RENDER_BYTE_QUOTED,
                                                         ['\n'] = RENDER_BYTE_QUOTED,
                                                         ['\r'] = RENDER_BYTE_QUOTED,
                                                         ['"'] = BOTH},
                                         [RENDER_TEXT] = {['\\'] = BOTH,
                                                          ['\b'] = BOTH,
                                                          ['\t'] = BOTH,
                                                          ['\n'] = BOTH,
                                                          ['\v'] = BOTH,
                                                          ['\f'] = BOTH,
                                                          ['\r'] = BOTH}};

    return kinds[f];
}

size_t render_field_length_of_kinds(struct render_style s, size_t n, unsigned kinds)
{
    return s.format == RENDER_CSV && kinds & RENDER_BYTE_QUOTED ? n + 2 : n;
}
