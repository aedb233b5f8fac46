/*
 * Physical replication slots of a server: looked at, made, dropped.
 *
 * A slot has a name and nothing else by which one could tell whose it is. So that who is ended in
 * the middle of making one can be told later from somebody else who made one of that name, it is
 * made with a mark: pg_slot_begin says at which place on the log the new slot will begin, the
 * caller writes that down where it stays, and pg_slot_finish makes it, in one step, beginning just
 * there. Records begin at multiples of 8 and so does every other slot; a mark does not.
 */
#ifndef ASOFS_PG_SLOT_H
#define ASOFS_PG_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/* All strings are borrowed. */
struct pg_slot_name {
    const char *conninfo;
    const char *name;
    uint64_t system_identifier; /* whose it is: another cluster is refused (-EINVAL); 0: any */
};

struct pg_slot {
    bool active;    /* somebody receives from it */
    bool lost;      /* the server did not keep its log */
    uint64_t from;  /* LSN that the server keeps the log from; 0: from none */
    int64_t retained; /* bytes of log that it keeps for it */
};

/* -ENOENT: there is none. -EINVAL: it is a logical one. A brief look gives up after 2 s. */
int pg_slot_look(const struct pg_slot_name *n, bool brief, struct pg_slot *slot, struct err *err);

int pg_slot_fail_lost(const char *name, struct err *err); /* -ESTALE, in words */

/* Bytes of log that the server keeps for the slot. -ENOENT: there is none; -ESTALE: the server did
 * not keep its log ("lost"). Gives up after 2 s. active (may be NULL): somebody receives from it.
 */
int64_t pg_slot_retained(const char *conninfo, const char *name, bool *active, struct err *err);

/*
 * Making one. -EEXIST: there is one of that name. *mark: where it will begin. For the moment a
 * second slot is needed, a temporary one. Nothing is left if that is all.
 */
struct pg_slot_making;
int pg_slot_begin(const struct pg_slot_name *n, struct pg_slot_making **m, uint64_t *mark,
                  struct err *err);
int pg_slot_finish(struct pg_slot_making *m, struct err *err);
void pg_slot_end(struct pg_slot_making *m); /* NULL is fine */

/* -ENOENT: there is none; -EBUSY: somebody receives from it, and went on to for some seconds.
 * mark: -EEXIST when it does not begin there, so it is somebody else's; 0: whatever it is. */
int pg_slot_drop(const struct pg_slot_name *n, uint64_t mark, struct err *err);

#endif
