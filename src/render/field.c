#include "render/field.h"

#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "render/bytes.h"

/*
 * Texts are looked through 16 bytes at once: up to 16 bytes become a chunk, what is missing in it is
 * zero, and which of them are of a kind becomes a mask, bit 0 for the first.
 */
#define CHUNK 16

#ifdef __SSE2__
typedef __m128i chunk;

static inline chunk chunk_whole(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline chunk chunk_of(uint64_t low, uint64_t high)
{
    return _mm_set_epi64x((int64_t)high, (int64_t)low);
}

static inline void chunk_store(char *p, chunk c)
{
    _mm_storeu_si128((__m128i *)(void *)p, c);
}

static inline unsigned quotes_in(chunk c)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(c, _mm_set1_epi8('"')));
}

static inline unsigned csv_specials_in(chunk c)
{
    __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(c, _mm_set1_epi8('\n')),
                                _mm_cmpeq_epi8(c, _mm_set1_epi8('\r')));
    __m128i others =
        _mm_or_si128(_mm_cmpeq_epi8(c, _mm_set1_epi8(',')), _mm_cmpeq_epi8(c, _mm_set1_epi8('"')));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(ends, others));
}

/* \b \t \n \v \f \r are 8 to 13. */
static inline unsigned text_specials_in(chunk c)
{
    __m128i above = _mm_sub_epi8(c, _mm_set1_epi8(8));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(5)), above);

    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(control, _mm_cmpeq_epi8(c, _mm_set1_epi8('\\'))));
}
#else
typedef struct {
    char byte[CHUNK];
} chunk;

static inline chunk chunk_whole(const char *p)
{
    chunk c;

    memcpy(c.byte, p, CHUNK);
    return c;
}

static inline chunk chunk_of(uint64_t low, uint64_t high)
{
    chunk c;

    memcpy(c.byte, &low, sizeof(low));
    memcpy(c.byte + sizeof(low), &high, sizeof(high));
    return c;
}

static inline void chunk_store(char *p, chunk c)
{
    memcpy(p, c.byte, CHUNK);
}

static inline unsigned quotes_in(chunk c)
{
    unsigned mask = 0, i;

    for (i = 0; i < CHUNK; i++)
        mask |= (unsigned)(c.byte[i] == '"') << i;
    return mask;
}

static inline unsigned csv_specials_in(chunk c)
{
    unsigned mask = 0, i;

    for (i = 0; i < CHUNK; i++)
        mask |= (unsigned)(c.byte[i] == ',' || c.byte[i] == '"' || c.byte[i] == '\n' ||
                           c.byte[i] == '\r')
                << i;
    return mask;
}

static inline unsigned text_specials_in(chunk c)
{
    unsigned mask = 0, i;

    for (i = 0; i < CHUNK; i++)
        mask |= (unsigned)((c.byte[i] >= 8 && c.byte[i] <= 13) || c.byte[i] == '\\') << i;
    return mask;
}
#endif

/* Of less than 16 bytes. Two numbers that overlap hold any length, and nothing is read beyond. */
static inline chunk chunk_part(const char *p, size_t n)
{
    uint64_t low = 0, high = 0;

    if (n > 8) {
        low = bytes_u64(p);
        high = bytes_u64(p + n - 8) >> (8 * (16 - n));
    } else if (n == 8) {
        low = bytes_u64(p);
    } else if (n >= 4) {
        low = bytes_u32(p) | (uint64_t)bytes_u32(p + n - 4) << (8 * (n - 4));
    } else if (n) {
        low = (unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << (8 * (n / 2)) |
              (uint64_t)(unsigned char)p[n - 1] << (8 * (n - 1));
    }
    return chunk_of(low, high);
}

static bool has_csv_specials(const char *text, size_t n)
{
    for (; n >= CHUNK; text += CHUNK, n -= CHUNK)
        if (csv_specials_in(chunk_whole(text)))
            return true;
    return csv_specials_in(chunk_part(text, n)) != 0;
}

/* Those that become two bytes: the quotes of CSV. */
static inline unsigned doubled_in(enum render_format f, chunk c)
{
    return f == RENDER_CSV ? quotes_in(c) : text_specials_in(c);
}

/* Bits of a mask that are set. (The machine's instruction is not among those that every one has.) */
static inline size_t count_bits(unsigned mask)
{
    mask -= mask >> 1 & 0x5555;
    mask = (mask & 0x3333) + (mask >> 2 & 0x3333);
    mask = (mask + (mask >> 4)) & 0x0f0f;
    return (mask + (mask >> 8)) & 0x1f;
}

static inline size_t count_doubled(enum render_format f, const char *text, size_t n)
{
    size_t count = 0;

    for (; n >= CHUNK; text += CHUNK, n -= CHUNK)
        count += count_bits(doubled_in(f, chunk_whole(text)));
    return count + count_bits(doubled_in(f, chunk_part(text, n)));
}

static bool needs_quotes(struct render_style s, const char *text, size_t n)
{
    if (n == 0 || (s.alone && n == 2 && memcmp(text, "\\.", 2) == 0))
        return true;
    return has_csv_specials(text, n);
}

/* Bytes that the field has beyond those of its text. */
static inline size_t extra_of(struct render_style s, const char *text, size_t n)
{
    if (s.format == RENDER_TEXT)
        return count_doubled(RENDER_TEXT, text, n);
    return needs_quotes(s, text, n) ? 2 + count_doubled(RENDER_CSV, text, n) : 0;
}

size_t render_field_length(struct render_style s, const char *text, size_t n)
{
    return n + extra_of(s, text, n);
}

static inline char escape_letter(char c)
{
    return c == '\\' ? '\\' : "btnvfr"[c - '\b'];
}

/* A chunk of bytes with some to be doubled, written so that it ends at `to`: where it begins. */
static inline char *double_backward(enum render_format f, const char *text, size_t n, unsigned mask,
                                    char *to)
{
    while (n--) {
        char c = text[n];

        if (!(mask >> n & 1)) {
            *--to = c;
            continue;
        }
        *--to = f == RENDER_CSV ? c : escape_letter(c);
        *--to = f == RENDER_CSV ? '"' : '\\';
    }
    return to;
}

/* Moves the text so that it ends at `to`, which lies behind its end, from the last byte to the
 * first; some become two. It may stop where nothing is moved any more. */
static inline void spread(enum render_format f, const char *text, size_t n, char *to)
{
    unsigned mask;
    chunk c;

    for (; n >= CHUNK && to != text + n; n -= CHUNK) {
        c = chunk_whole(text + n - CHUNK);
        mask = doubled_in(f, c);
        if (mask) {
            to = double_backward(f, text + n - CHUNK, CHUNK, mask, to);
        } else {
            to -= CHUNK;
            chunk_store(to, c);
        }
    }
    if (to != text + n)
        double_backward(f, text, n, doubled_in(f, chunk_part(text, n)), to);
}

void render_field_close(struct render_style s, struct out *o, size_t at)
{
    size_t n = o->n - at, more = extra_of(s, o->p + at, n);
    char *text;

    if (!more)
        return;
    text = out_place(o, more) - n;
    o->n += more;
    if (s.format == RENDER_TEXT) {
        spread(RENDER_TEXT, text, n, text + n + more);
        return;
    }
    if (more > 2)
        spread(RENDER_CSV, text, n, text + n + more - 1);
    else
        memmove(text + 1, text, n);
    text[0] = text[n + more - 1] = '"';
}

void render_field_put(struct render_style s, const char *text, size_t n, struct out *o)
{
    size_t at = o->n;

    out_put(o, text, n);
    render_field_close(s, o, at);
}

void render_field_null(enum render_format f, struct out *o)
{
    if (f == RENDER_TEXT)
        out_put(o, "\\N", 2);
}

size_t render_field_null_length(enum render_format f)
{
    return f == RENDER_TEXT ? 2 : 0;
}
