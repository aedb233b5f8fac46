/*
 * What was being written when a process ended. A page and its checksum cannot be changed in one
 * step; a write or truncation is therefore announced here first. When a layer is opened that was
 * not closed, each announcement is looked at: a page that has the announced checksum is taken as
 * written, one that still has its old checksum as not written; a truncation is done again.
 *
 * On disk (inflight; host byte order): struct inflight_header, then INFLIGHT_SLOTS struct
 * inflight_slot; mapped. Ends of processes leave mapped memory as it was, so no slot is half seen:
 * its `kind` is set last. (After a power failure only what was synced counts; a view that was not
 * completed is discarded.)
 */
#ifndef ASOFS_PAGES_INFLIGHT_H
#define ASOFS_PAGES_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "pages/disk.h"

#define INFLIGHT_MAGIC "ASOFSINF"
#define INFLIGHT_VERSION 1
#define INFLIGHT_SLOTS 60
#define INFLIGHT_PAGES 32 /* of one write */

enum inflight_kind { INFLIGHT_FREE = 0, INFLIGHT_WRITE = 1, INFLIGHT_TRUNCATE = 2 };

struct inflight_header {
    char magic[8];
    uint32_t version;
    uint32_t clean;       /* 1: closed; nothing is in flight */
    uint64_t names_bytes; /* of the journal `names`, acknowledged */
    uint32_t names_crc;   /* CRC-32C of names_bytes, only while clean */
    uint32_t header_crc;  /* CRC-32C of magic and version */
};

struct inflight_slot {
    uint32_t kind;
    uint32_t check; /* CRC-32C of what follows */
    uint64_t file;  /* id */
    uint64_t where; /* WRITE: first page. TRUNCATE: size in bytes */
    uint32_t pages; /* WRITE: how many */
    uint32_t unused;
    uint32_t crc[INFLIGHT_PAGES]; /* WRITE: checksums to come */
};

struct inflight;

int inflight_create(struct disk *d, const char *path, struct err *err);

/* Refuses damage. `shared`: for writing; else changes stay in memory. */
int inflight_open(struct disk *d, const char *path, bool shared, struct inflight **f,
                  struct err *err);

bool inflight_was_clean(const struct inflight *f);       /* when it was opened */
uint64_t inflight_names_bytes(const struct inflight *f); /* at least so long the journal must be */

/* What was announced and not ended, for looking at after inflight_open; NULL: free. It is taken
 * until inflight_end. */
const struct inflight_slot *inflight_slot(const struct inflight *f, unsigned i);

/* Writing begins: clean is taken away. */
void inflight_begin(struct inflight *f);
void inflight_set_names_bytes(struct inflight *f, uint64_t bytes);

/* Announce; waits while all slots are taken. The slot's number goes to inflight_end. Thread safe.
 */
unsigned inflight_write(struct inflight *f, uint64_t file, uint64_t page, uint32_t n,
                        const uint32_t *crc);
unsigned inflight_truncate(struct inflight *f, uint64_t file, uint64_t size);
void inflight_end(struct inflight *f, unsigned slot);

int inflight_sync(struct inflight *f);
void inflight_close(struct inflight *f, bool clean);

#endif
