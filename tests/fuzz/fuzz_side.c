/* Side page tables: raw bytes, and the same with checksums put right, opened and rebuilt against a
 * difference file of a few pages. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "memdisk.h"
#include "pages/page.h"
#include "pages/side.h"

#define PAGES 4

/* Two pages more than the table is for. */
static uint64_t past_end(struct disk *d)
{
    return memdisk_size(d, "side") / SIDE_BLOCK * SIDE_PAGES + 2;
}

static void look(struct disk *d, struct side *s, struct disk_file *diff)
{
    uint64_t page, end = past_end(d);
    struct side_findings found = {0};
    bool stored = false;

    side_rebuild(s, diff, &found, NULL);
    for (page = 0; page < end; page++)
        stored |= side_stored(s, page);
    if (side_stored_from(s, 0) != stored)
        abort();
    side_limit(s);
}

static void change(struct disk *d, struct side *s)
{
    uint64_t end = past_end(d);

    if (side_cover(s, end) == 0 && side_prepare(s, end - 1, 1) == 0)
        side_set(s, end - 1, 5);
    side_clear_from(s, 1);
    side_lower_limit(s, 1);
}

static void try(const uint8_t *data, size_t size, bool shared)
{
    struct disk *d = memdisk_new();
    struct disk_file *diff;
    char bytes[PAGES * PAGE_BYTES] = "some data";
    struct side *s;

    memdisk_put(d, "side", data, size);
    memdisk_put(d, "diff", bytes, sizeof(bytes));
    d->ops->open(d, "diff", DISK_WRITE, &diff);
    if (side_open(d, "side", 7, PAGES, shared, &s, NULL) == 0) {
        look(d, s, diff);
        if (shared)
            change(d, s);
        side_close(s);
    }
    diff->ops->close(diff);
    d->ops->free(d);
}

/* As side.c computes it: magic, version, file, number. */
static void put_right(struct side_block *b)
{
    struct {
        uint32_t magic, version;
        uint64_t file;
        uint32_t number, zero;
    } header = {b->magic, b->version, b->file, b->number, 0};

    b->header_crc = crc32c(&header, sizeof(header));
    b->body_crc = crc32c(b->stored, SIDE_BLOCK - offsetof(struct side_block, stored));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    struct side_block b;
    size_t at;

    memcpy(copy, data, size);
    try(data, size, true);
    for (at = 0; at + SIDE_BLOCK <= size; at += SIDE_BLOCK) {
        memcpy(&b, copy + at, sizeof(b));
        put_right(&b);
        memcpy(copy + at, &b, sizeof(b));
    }
    try(copy, size, false);
    free(copy);
    return 0;
}
