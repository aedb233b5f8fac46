/* The table of writes in flight: raw bytes, and the same with its checksums put right. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "memdisk.h"
#include "pages/inflight.h"
#include "pages/page.h"

static void try(const uint8_t *data, size_t size)
{
    struct disk *d = memdisk_new();
    const struct inflight_slot *s;
    struct inflight *f;
    unsigned i;

    memdisk_put(d, "inflight", data, size);
    if (inflight_open(d, "inflight", true, &f, NULL) == 0) {
        for (i = 0; i < INFLIGHT_SLOTS; i++) {
            s = inflight_slot(f, i);
            if (s && (inflight_was_clean(f) || s->pages > INFLIGHT_PAGES))
                abort();
            if (s)
                inflight_end(f, i);
        }
        inflight_begin(f);
        inflight_set_names_bytes(f, 9);
        inflight_end(f, inflight_truncate(f, 1, 2));
        inflight_close(f, true);
        if (inflight_open(d, "inflight", true, &f, NULL) != 0 || inflight_names_bytes(f) != 9)
            abort(); /* what was closed cleanly opens again */
        inflight_close(f, false);
    }
    d->ops->free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at, slot = sizeof(struct inflight_slot);
    uint8_t *copy = malloc(size ? size : 1);
    struct inflight_header h;
    struct inflight_slot s;

    memcpy(copy, data, size);
    try(data, size);
    if (size >= sizeof(h)) {
        memcpy(&h, copy, sizeof(h));
        h.header_crc = crc32c(&h, offsetof(struct inflight_header, clean));
        h.names_crc = crc32c(&h.names_bytes, sizeof(h.names_bytes));
        memcpy(copy, &h, sizeof(h));
    }
    for (at = sizeof(h); at + slot <= size; at += slot) {
        memcpy(&s, copy + at, sizeof(s));
        s.check = crc32c(&s.file, sizeof(s) - offsetof(struct inflight_slot, file));
        memcpy(copy + at, &s, sizeof(s));
    }
    try(copy, size);
    free(copy);
    return 0;
}
