/*
 * An epoch's journal is any bytes at all: first as they are, then with every checksum put right, so
 * that the records are reached. What the walk takes as whole is taken again alone, with the same
 * records.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

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

static void put_right(uint8_t *data, size_t size)
{
    uint32_t version = JOURNAL_VERSION, crc = 0, len;
    uint64_t epoch = EPOCH;
    size_t at = JOURNAL_START;

    if (size < JOURNAL_START)
        return;
    memcpy(data, "ASOFSEPN", 8);
    memcpy(data + 8, &version, sizeof(version));
    memcpy(data + 12, &crc, sizeof(crc));
    memcpy(data + 16, &epoch, sizeof(epoch));
    crc = crc32c(data, JOURNAL_START);
    memcpy(data + 12, &crc, sizeof(crc));
    for (; size - at >= 8; at += 8 + len) {
        memcpy(&len, data + at, sizeof(len));
        if (len > size - at - 8)
            return;
        crc = crc32c(data + at + 8, len);
        memcpy(data + at + 4, &crc, sizeof(crc));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = calloc(1, size ? size : 1);

    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    walk(copy, size);
    put_right(copy, size);
    walk(copy, size);
    free(copy);
    return 0;
}
