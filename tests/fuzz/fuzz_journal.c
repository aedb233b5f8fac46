/*
 * An epoch's journal is any bytes at all: first as they are, then with every checksum put right, so
 * that the records are reached. What the walk takes as whole is taken again alone, with the same
 * records.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "framesright.h"
#include "fuzz.h"
#include "live/journal.h"
#include "pages/page.h"

#define EPOCH 3

struct seen {
    size_t records;
    uint32_t sum;
};

static int look(void *arg, const struct journal_record *r)
{
    struct seen *s = arg;
    struct journal_record copy = *r;

    if (r->type < JOURNAL_ENTRY || r->type > JOURNAL_BORN)
        abort();
    if (r->type == JOURNAL_ENTRY &&
        (!*r->name || strlen(r->name) > NAME_MAX || strchr(r->name, '/')))
        abort();
    copy.name = NULL;
    s->records++;
    s->sum = s->sum * 31 + crc32c(&copy.id, sizeof(copy.id));
    return 0;
}

static void walk(const uint8_t *data, size_t size)
{
    struct seen first = {0}, again = {0};
    struct err err = {0};
    uint64_t good, same;

    if (journal_walk(data, size, EPOCH, look, &first, &good, &err) < 0) {
        if (!*err.text || good > size)
            abort();
        return;
    }
    if (good > size || good < JOURNAL_START)
        abort();
    if (journal_walk(data, (size_t)good, EPOCH, look, &again, &same, &err) < 0 || same != good ||
        again.records != first.records || again.sum != first.sum)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct frames_kind kind = {JOURNAL_MAGIC, JOURNAL_VERSION, ""};
    uint8_t *copy = calloc(1, size ? size : 1);

    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    walk(copy, size);
    frames_put_right(copy, size, &kind, EPOCH);
    walk(copy, size);
    free(copy);
    return 0;
}
