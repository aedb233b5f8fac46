/*
 * The room of a spool through which chunks only pass: somebody takes their rows away
 * (extract/guest.h), and their space is given back. Which chunk may be begun, and how much it may
 * write. Pure: the caller says what the file system has.
 *
 *   room_ask | room_ask_all → room_keep → room_give_back
 *                           | room_return | room_overrun, and once more
 *
 * How long a chunk gets is not known before. It is given a share at its start: more than is expected
 * from its size in the source and from the chunks of its table that are there, and a part of what
 * nobody uses. One that needs more is given up, and begun anew when there is twice as much.
 *
 * All is in bytes. What a function is not told of it does not change.
 */
#ifndef ASOFS_EXTRACT_ROOM_H
#define ASOFS_EXTRACT_ROOM_H

#include "extract/plan.h"

struct room;

/* limit: of the whole spool; 0: what the file system has. writers: who may write at one time. */
struct room *room_new(const struct plan *p, uint64_t limit, unsigned writers); /* p is borrowed */
void room_free(struct room *r);

/* A chunk is to be begun. disk: what the file system has left and what those in work have written.
 * false: it has to wait. */
bool room_ask(struct room *r, uint32_t chunk, uint64_t disk);
/* The same when waiting is no use, since nobody else is in work and nothing will be given back: it
 * may have all there is. */
void room_ask_all(struct room *r, uint32_t chunk);

/* What a chunk in work may write; UINT64_MAX: what the file system takes. */
uint64_t room_share(const struct room *r, uint32_t chunk);

/* A chunk in work is complete; is not (it was lost, say); or found no room when it had written so
 * much. full: not its share was too small, but the file system, which held `held` bytes of ours
 * then. false: it had all there is. */
void room_keep(struct room *r, uint32_t chunk, uint64_t bytes);
void room_return(struct room *r, uint32_t chunk); /* one that is not in work: nothing happens */
bool room_overrun(struct room *r, uint32_t chunk, uint64_t written, bool full, uint64_t held);

/* The space of a complete chunk is free again. */
void room_give_back(struct room *r, uint32_t chunk);

uint64_t room_kept(const struct room *r);    /* of complete chunks */
unsigned room_writers(const struct room *r); /* chunks in work */

/* At least as much is free as is kept and in work: there may be chunks that stay for long. */
bool room_is_ample(const struct room *r, uint64_t disk);

#endif
