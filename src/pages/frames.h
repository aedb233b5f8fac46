/*
 * Frames: a file of changes that is only appended to, and may end at any byte when a process does.
 *
 * On disk (host byte order):
 *   header: 8 bytes that say what it is, u32 version, u32 CRC-32C of the header with 0 here, u64 id
 *   frames: u32 length of the payload, u32 CRC-32C of the payload, payload
 *
 * The last frame may be cut short: it is then not there. All other damage is refused. Pure; what the
 * records of a payload are is for names.h and live/journal.h.
 */
#ifndef ASOFS_PAGES_FRAMES_H
#define ASOFS_PAGES_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define FRAMES_START 24u      /* bytes of the header */
#define FRAMES_HEAD 8u        /* bytes in front of a payload */
#define FRAMES_MAX (1u << 20) /* bytes of a payload; more is damage */

struct frames_kind {
    char magic[9];
    uint32_t version;
    const char *what; /* in messages */
};

struct frames_header {
    char magic[8];
    uint32_t version;
    uint32_t crc;
    uint64_t id; /* of what it belongs to */
};

struct frames_header frames_header(const struct frames_kind *k, uint64_t id);

/* The header of a whole file in memory: *id. */
int frames_check(const struct frames_kind *k, const void *bytes, size_t len, uint64_t *id,
                 struct err *err);

/* A payload that is being read. */
struct frames_cursor {
    const char *start; /* of the file, for offsets in messages */
    const char *p;
    size_t left;
    bool bad; /* something reached over the end of the payload; values taken since are 0 */
};

void frames_take(struct frames_cursor *c, void *value, size_t len);

/*
 * Every whole frame of a file in memory whose header was checked, in order; a negative value of
 * `each` ends it and is returned. *good: bytes up to the end of the last whole frame.
 */
int frames_walk(const struct frames_kind *k, const void *bytes, size_t len,
                int (*each)(void *arg, struct frames_cursor *c, struct err *err), void *arg,
                uint64_t *good, struct err *err);

/* What stands in front of a payload, which is not empty. */
void frames_head(char head[FRAMES_HEAD], const void *payload, size_t len);

#endif
