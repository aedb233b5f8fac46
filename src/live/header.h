/*
 * The header of an epoch: what it is, and what became of its freeze. On disk as it is here, host
 * byte order, with a checksum.
 */
#ifndef ASOFS_LIVE_HEADER_H
#define ASOFS_LIVE_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define HEADER_MAGIC "ASOFSEPO"
#define HEADER_VERSION 1
#define HEADER_BOOT_ID 40 /* bytes, with the NUL */
#define HEADER_WHY 256

enum header_state {
    HEADER_PREPARED = 1, /* for the next freeze */
    HEADER_OPEN = 2,
    HEADER_GIVEN_UP = 3,
    HEADER_DROPPED = 4,
};

struct header {
    char magic[8];
    uint32_t version;
    uint32_t crc;    /* CRC-32C of all of it with 0 here */
    uint64_t number; /* of the freeze */
    int64_t seconds; /* its time, since 1970 */
    uint32_t nanos;
    uint32_t state;               /* enum header_state */
    uint32_t durable;             /* 1: old pages reached the disk before new ones were written */
    uint32_t closed;              /* 1: closed cleanly, and everything is on the disk */
    char boot_id[HEADER_BOOT_ID]; /* of the operating system's run in which it was last written */
    char why[HEADER_WHY];         /* given up: the cause */
};

/* Of this run; "" when it cannot be told. */
void header_boot_id(char id[HEADER_BOOT_ID]);

/* Refuses, in words: damage, another version, another epoch's. */
int header_read(int dir, uint64_t number, struct header *h, struct err *err);

/* Replaces the one there is; sets magic, version, checksum, boot id. */
int header_write(int dir, struct header *h, bool sync);

/* The same where there is no space for another file: over the one there is, or none is left. */
void header_overwrite(int dir, struct header *h);

#endif
