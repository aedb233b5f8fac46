/*
 * The shipped log: a directory of segments as pg_receivewal or an archive_command writes them
 * (24 hexadecimal digits; the last one with ".partial" while it is being received; <tli>.history).
 * What they mean is computed from names, sizes and times; their contents are PostgreSQL's matter.
 */
#ifndef ASOFS_STORE_LOG_H
#define ASOFS_STORE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "common/err.h"

struct log_segment {
    uint32_t timeline;
    uint64_t number; /* LSN / segment size */
    bool partial;
    struct timespec written; /* mtime */
};

struct log_list {
    struct log_segment
        *segments; /* by number, then timeline; of a whole and a partial one the whole */
    size_t n;
    uint32_t segment_bytes;
};

/* Other files are left out; a segment of a wrong size (not partial) is refused by name. */
int log_read(const char *dir, uint32_t segment_bytes, struct log_list *l, struct err *err);
void log_free(struct log_list *l);

/*
 * The run of segments without a gap from the one that holds `from` on, on `timeline` or descendants
 * (higher numbers): *end is the LSN behind it (of a partial segment, its end: how much of it is log
 * only PostgreSQL can say). False: the segment that holds `from` is missing. Pure.
 */
bool log_covers(const struct log_list *l, uint32_t timeline, uint64_t from, uint64_t *end,
                struct timespec *last_written);

/* 24 digits and NUL, and back (-EINVAL: it is none). Of the first segment that is missing behind a
 * run, the number is *end / segment_bytes. */
void log_segment_name(uint32_t timeline, uint64_t number, uint32_t segment_bytes, char out[25]);
int log_parse_name(const char *name, uint32_t segment_bytes, struct log_segment *s);

#endif
