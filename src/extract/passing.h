/*
 * The way of chunks through a spool to a guest (extract/guest.h), who frees them one by one: where
 * each lies, when its space goes back to the file system, and whether there is room for one more
 * (extract/room.h).
 *
 * A chunk's space goes back when the guest has freed it and the finisher has read it for the
 * checksum of its file. When nothing but that is in the way of further chunks, the checksum is given
 * up, unless the guest wants it.
 */
#ifndef ASOFS_EXTRACT_PASSING_H
#define ASOFS_EXTRACT_PASSING_H

#include "extract/finish.h"
#include "extract/guest.h"

struct passing;

struct passing_config { /* what it points at is borrowed */
    const struct plan *plan;
    struct spool *spools;
    const char *spool_dir;
    uint64_t spool_limit; /* bytes; 0: none */
    unsigned writers;     /* who may write at one time */
    const struct extract_guest *guest;
    struct finisher *finisher;
};

struct passing *passing_new(const struct passing_config *config);
void passing_free(struct passing *p); /* NULL is fine */

/* In all of these: under_way, bytes that chunks in work have written. */

/* There is so much room that tables whose chunks the guest cannot free yet may take some. */
bool passing_is_ample(const struct passing *p, uint64_t under_way);

/* Nobody is in work, and nothing will be freed. */
bool passing_is_stuck(const struct passing *p);

/* It may be begun now, and is in work then: until it is put down or returned. */
bool passing_may_begin(struct passing *p, uint32_t chunk, uint64_t under_way);
uint64_t passing_share(const struct passing *p, uint32_t chunk); /* what it may write */

void passing_put(struct passing *p, uint32_t chunk, uint32_t spool, uint64_t offset,
                 uint64_t bytes);
void passing_return(struct passing *p, uint32_t chunk);

/*
 * It found no room when it had written so much: code is EOVERFLOW (of its share) or ENOSPC or EDQUOT
 * (in the file system; under_way is without it). 0: it is returned, and can be tried again; -ENOSPC:
 * it had all there is.
 */
int passing_overrun(struct passing *p, uint32_t chunk, int code, uint64_t written,
                    uint64_t under_way, struct err *err);

/* What the guest has freed goes back. */
void passing_take_back(struct passing *p);

/* So that chunks share no page, which could not be given back. */
uint64_t passing_next_offset(uint64_t end);

#endif
