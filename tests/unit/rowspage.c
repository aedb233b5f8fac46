#include "rowspage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "render/bytes.h"

/* bufpage.h, itemid.h, htup_details.h: see render/heap.h and render/rows.c. */
enum { LOWER = 12, UPPER = 14, SPECIAL = 16, SIZE_VERSION = 18, POINTERS = 24 };
enum { HAS_NULL = 0x0001, XMIN_COMMITTED = 0x0100, XMIN_INVALID = 0x0200, XMAX_INVALID = 0x0800 };

static void set_u16(char *p, unsigned v)
{
    uint16_t n = (uint16_t)v;

    memcpy(p, &n, sizeof(n));
}

static void set_u32(char *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}

void rowspage_clear(char *page)
{
    memset(page, 0, RENDER_BLOCK);
    set_u16(page + LOWER, POINTERS);
    set_u16(page + UPPER, RENDER_BLOCK);
    set_u16(page + SPECIAL, RENDER_BLOCK);
    set_u16(page + SIZE_VERSION, RENDER_BLOCK | 4);
}

void rowspage_begin(struct rowspage_row *r, unsigned natts, bool nulls)
{
    memset(r, 0, sizeof(*r));
    set_u32(r->bytes, 3); /* a transaction */
    set_u16(r->bytes + 18, natts);
    set_u16(r->bytes + 20, XMIN_COMMITTED | XMAX_INVALID | (nulls ? HAS_NULL : 0));
    r->header = bytes_align(23 + (nulls ? (natts + 7) / 8 : 0), 'd');
    r->bytes[22] = (char)r->header;
    r->len = r->header;
}

void rowspage_null(struct rowspage_row *r, unsigned att, bool null)
{
    char bit = (char)(1 << att % 8);

    r->bytes[23 + att / 8] =
        (char)(null ? r->bytes[23 + att / 8] & ~bit : r->bytes[23 + att / 8] | bit);
}

void rowspage_int(struct rowspage_row *r, int32_t v)
{
    r->len = r->header + bytes_align(r->len - r->header, 'i');
    memcpy(r->bytes + r->len, &v, sizeof(v));
    r->len += sizeof(v);
}

void rowspage_text(struct rowspage_row *r, const char *text, size_t n)
{
    if (n < 127) {
        r->bytes[r->len++] = (char)((n + 1) << 1 | 1);
    } else {
        r->len = r->header + bytes_align(r->len - r->header, 'i');
        set_u32(r->bytes + r->len, (uint32_t)(n + 4) << 2);
        r->len += 4;
    }
    memcpy(r->bytes + r->len, text, n);
    r->len += n;
}

void rowspage_hide(struct rowspage_row *r)
{
    unsigned mask = bytes_u16(r->bytes + 20);

    set_u16(r->bytes + 20, (mask & ~(unsigned)XMIN_COMMITTED) | XMIN_INVALID);
}

static int add_pointer(char *page, unsigned offset, unsigned flags, size_t len)
{
    unsigned lower = bytes_u16(page + LOWER);

    set_u32(page + lower, offset | flags << 15 | (uint32_t)len << 17);
    set_u16(page + LOWER, lower + 4);
    return (int)(lower + 4 - POINTERS) / 4;
}

int rowspage_add(char *page, const struct rowspage_row *r)
{
    unsigned upper = bytes_u16(page + UPPER), lower = bytes_u16(page + LOWER);
    unsigned len = (unsigned)bytes_align(r->len, 'd');

    if (lower + 4 + len > upper)
        return 0;
    memcpy(page + upper - len, r->bytes, r->len);
    set_u16(page + UPPER, upper - len);
    return add_pointer(page, upper - len, 1, r->len);
}

int rowspage_add_dead(char *page)
{
    return add_pointer(page, 0, 3, 0);
}

/* ---- types ---- */

static int number_put(struct render_work *w, const struct render_type *t, struct render_value v,
                      struct out *o)
{
    (void)w;
    (void)t;
    o->n += (size_t)snprintf(out_place(o, 16), 16, "%d", (int)bytes_u32(v.p));
    return 0;
}

static int number_length(struct render_work *w, const struct render_type *t, struct render_value v,
                         size_t *n)
{
    char text[16];

    (void)w;
    (void)t;
    *n = (size_t)snprintf(text, sizeof(text), "%d", (int)bytes_u32(v.p));
    return 0;
}

static int words_put(struct render_work *w, const struct render_type *t, struct render_value v,
                     struct out *o)
{
    (void)w;
    (void)t;
    out_put(o, v.p, v.len);
    return 0;
}

static int brackets_put(struct render_work *w, const struct render_type *t, struct render_value v,
                        struct out *o)
{
    (void)t;
    out_putc(o, '[');
    out_put(o, v.p, v.len);
    if (v.len == 3 && memcmp(v.p, "bad", 3) == 0)
        return render_fail(w, "a bad word");
    out_putc(o, ']');
    return 0;
}

static int much_put(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    int i;

    (void)w;
    (void)t;
    for (i = 0; i < 20000; i++)
        out_put(o, v.p, v.len);
    return 0;
}

static const struct render_ops number_ops = {
    .put = number_put, .length = number_length, .bare = true};
static const struct render_ops words_ops = {.put = words_put, .verbatim = true};
static const struct render_ops brackets_ops = {.put = brackets_put}, much_ops = {.put = much_put};

const struct render_type rowspage_number = {.ops = &number_ops, .len = 4, .align = 'i'};
const struct render_type rowspage_words = {.ops = &words_ops, .len = -1, .align = 'i'};
const struct render_type rowspage_brackets = {.ops = &brackets_ops, .len = -1, .align = 'i'};
const struct render_type rowspage_much = {.ops = &much_ops, .len = -1, .align = 'i'};

/* ---- transactions ---- */

static int read_nothing(void *arg, enum render_slru which, uint64_t page, char *bytes)
{
    (void)arg;
    (void)which;
    (void)page;
    (void)bytes;
    return -ENOENT;
}

struct render_xacts *rowspage_xacts(void)
{
    struct render_xacts_request r = {.read = read_nothing,
                                     .next_xid = 1000,
                                     .oldest_xid = 3,
                                     .next_multi = 1,
                                     .oldest_multi = 1};

    return render_xacts_new(&r);
}
