/*
 * A slot: the place of one snapshot worker in the coordinator. The worker in it may die and be
 * replaced; its number and its spool file stay.
 */
#ifndef ASOFS_EXTRACT_SLOT_H
#define ASOFS_EXTRACT_SLOT_H

#include <sys/types.h>

#include "extract/protocol.h"
#include "extract/spool.h"

enum slot_state {
    SLOT_EMPTY,   /* no process; a new one may be started */
    SLOT_JOINING, /* started, not READY yet */
    SLOT_LOCKED,  /* protocol lock: has its table locks, waits for FREEZE */
    SLOT_IDLE,
    SLOT_BUSY,    /* works on `chunk` */
    SLOT_GIVEN_UP /* no worker could be had for it */
};

struct slot {
    enum slot_state state;
    unsigned number; /* from 1 */
    pid_t pid;
    struct msg_conn socket;
    uint32_t chunk;
    uint64_t bytes;     /* of the chunk in work, as last told */
    int64_t heard;      /* clock_ms when something last moved */
    unsigned failures;  /* workers in a row that never became READY */
    int64_t not_before; /* clock_ms before which no new one is started */
    bool joined;        /* a worker of this slot was READY once */
};

/* Start a worker in an empty slot and send it its configuration. */
int slot_start(struct slot *s, const struct msg_config *config, int spool_fd, struct err *err);

/* Kill and reap the worker, if there is one; the slot is empty then. */
void slot_kill(struct slot *s);

/* Close the socket, so that the worker ends by itself; then reap it (killed after two seconds). */
void slot_end(struct slot *s);

#endif
