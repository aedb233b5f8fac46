/*
 * The log is any bytes at all. A walk only goes on, gives records that hold to what its header
 * promises, and ends; what is read in a record lies in it.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "store/walrecord.h"

#define SEGMENT 16384u /* the inputs say so in their heads */
#define FIRST 1u

struct bytes {
    const uint8_t *data;
    size_t size;
};

static int give(void *arg, uint64_t number, const uint8_t **bytes, size_t *n, struct err *err)
{
    const struct bytes *b = arg;
    uint64_t from = (number - FIRST) * SEGMENT;

    (void)err;
    if (number < FIRST || from >= b->size)
        return 0;
    *bytes = b->data + from;
    *n = b->size - from < SEGMENT ? b->size - from : SEGMENT;
    return 1;
}

static void lies_in(const struct wal_record *r, const uint8_t *p, uint32_t n)
{
    if (n && (p < r->bytes + WAL_RECORD_HEAD || p + n > r->bytes + r->n))
        abort();
}

static void look(const struct wal_record *r)
{
    struct wal_parts parts;
    struct wal_event e;
    unsigned i;

    if (r->n != r->length || r->end < r->start + r->length || r->next < r->end ||
        r->prev >= r->start)
        abort();
    wal_read_event(r, &e);
    if (!wal_read_parts(r, &parts))
        return;
    for (i = 0; i < parts.n_blocks; i++) {
        lies_in(r, parts.blocks[i].data, parts.blocks[i].n_data);
        lies_in(r, parts.blocks[i].image, parts.blocks[i].n_image);
    }
    lies_in(r, parts.data, parts.n_data);
}

static void walk_on(struct wal_walk *w, uint64_t at)
{
    struct wal_record r;

    while (wal_next(w, &r, NULL) == 1) {
        if (r.start < at)
            abort();
        look(&r);
        at = r.next;
    }
    if (wal_ending(w)->end == WAL_END_NONE || !wal_ending(w)->why || wal_ending(w)->at < at)
        abort();
}

/* The bytes as one record, whose checksum nobody asks for. */
static void look_at_one(const uint8_t *data, size_t size)
{
    struct wal_record r = {
        .start = 24, .bytes = data, .n = (uint32_t)size, .length = (uint32_t)size};

    r.end = r.next = r.start + size;
    r.info = data[16];
    r.manager = data[17];
    for (r.major = 14; r.major <= 18; r.major++)
        look(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, size};
    struct wal_source source = {.segment = give, .arg = &bytes, .segment_bytes = SEGMENT};
    struct wal_walk *w = wal_walk_new(&source);
    uint64_t at, from;

    if (size >= WAL_RECORD_HEAD)
        look_at_one(data, size);
    wal_begin(w, FIRST * SEGMENT);
    walk_on(w, FIRST * SEGMENT);
    for (from = FIRST * SEGMENT; wal_seek(w, from, UINT64_MAX, &at, NULL) == 1;
         from = at - at % WAL_PAGE + WAL_PAGE) {
        if (at < from)
            abort();
        walk_on(w, at);
    }
    wal_walk_free(w);
    return 0;
}
