/*
 * A page of any bytes: its rows are written, or it has a fault, and measuring says the same, with columns
 * in order or not, as CSV or text, in one go or in parts. The table has a number, a text and a numeric.
 *
 * The input: how many bytes stand at the beginning of the page (u16), those, and what stands at its end.
 */
#include "fuzz.h"
#include "rowspage.h"

#include <stdlib.h>
#include <string.h>

static const struct render_settings settings;
static const uint16_t in_order[] = {0, 1, 2}, turned[] = {2, 0}, alone[] = {1};

struct answer {
    int rc, item;
    uint64_t bytes, rows;
    const char *fault;
};

static void check_same(const struct answer *a, const struct answer *b)
{
    if (a->rc != b->rc || a->item != b->item || a->bytes != b->bytes || a->rows != b->rows ||
        (a->rc < 0 && a->fault != b->fault))
        abort();
}

static struct answer put_page(struct render_work *w, const struct render_relation *r,
                              const char *page, struct out *o)
{
    struct answer a = {0};

    a.rc = render_rows_put(w, r, 0, page, o, &a.rows, &a.item);
    a.bytes = o->n;
    a.fault = w->fault;
    if (w->used)
        abort();
    return a;
}

static struct answer measure_page(struct render_work *w, const struct render_relation *r,
                                  const char *page)
{
    struct answer a = {0};

    a.rc = render_rows_measure(w, r, 0, page, &a.bytes, &a.rows, &a.item);
    a.fault = w->fault;
    return a;
}

/* Parts of a page without a fault are the whole. */
static void check_parts(struct render_work *w, const struct render_relation *r, const char *page,
                        const struct out *whole)
{
    struct out o = {0};
    uint64_t rows = 0;
    int item = 1;

    out_place(&o, 1);
    while (item)
        if (render_rows_put_from(w, r, 0, page, 100, &o, &rows, &item) < 0)
            abort();
    if (o.n != whole->n || memcmp(o.p, whole->p, o.n) != 0)
        abort();
    out_free(&o);
}

static void check_page(struct render_work *w, const struct render_relation *r, const char *page)
{
    struct out o = {0};
    struct answer put, measured;

    out_place(&o, 1);
    put = put_page(w, r, page, &o);
    measured = measure_page(w, r, page);
    check_same(&put, &measured);
    if (put.rc == 0)
        check_parts(w, r, page, &o);
    out_free(&o);
}

static void find_types(struct render_types *types, struct render_attribute *a)
{
    static const uint32_t oids[] = {23, 25, 1700};
    uint32_t oid;
    int i;

    for (i = 0; i < 3; i++) {
        a[i].type = render_types_find(types, oids[i], &oid);
        if (!a[i].type)
            abort();
        a[i].len = a[i].type->len;
        a[i].align = a[i].type->align;
    }
}

static void check_table(const char *page)
{
    struct render_attribute attributes[3] = {{.missing = NULL}, {.missing = (char *)"a,b"}};
    struct render_types *types = render_types_new(NULL, 0);
    struct render_relation r = {.attributes = attributes, .nattributes = 3};
    struct render_work w;

    find_types(types, attributes);
    r.xacts = rowspage_xacts();
    render_work_init(&w, &settings);
    r.columns = in_order;
    r.ncolumns = 3;
    check_page(&w, &r, page);
    r.format = RENDER_TEXT;
    r.columns = turned;
    r.ncolumns = 2;
    check_page(&w, &r, page);
    r.format = RENDER_CSV;
    r.columns = alone;
    r.ncolumns = 1;
    check_page(&w, &r, page);
    render_work_free(&w);
    render_xacts_free(r.xacts);
    render_types_free(types);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *page = calloc(1, RENDER_BLOCK);
    size_t head, tail;

    if (size >= 2) {
        head = (size_t)data[0] | (size_t)data[1] << 8;
        head = head < size - 2 ? head : size - 2;
        head = head < RENDER_BLOCK ? head : RENDER_BLOCK;
        tail = size - 2 - head < RENDER_BLOCK - head ? size - 2 - head : RENDER_BLOCK - head;
        memcpy(page, data + 2, head);
        memcpy(page + RENDER_BLOCK - tail, data + size - tail, tail);
        check_table(page);
    }
    free(page);
    return 0;
}
