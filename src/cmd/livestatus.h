/* .asofs/status.json of a live data directory: how it is written, and what it says. */
#ifndef ASOFS_CMD_LIVESTATUS_H
#define ASOFS_CMD_LIVESTATUS_H

#include <stdint.h>

#include "common/err.h"
#include "live/livedir.h"

/*
 * {"format": 1, "next": N, "freezes": [{"number", "state": "open" or "given up", "time", "bytes",
 * "why"}], "counts": {…}}. The caller's to free; NULL: no memory.
 */
char *live_status_text(struct livedir *l);

/* What the one of a mount says: the number of the next freeze; the freezes as a table, on standard
 * output. */
int live_status_next(const char *mountpoint, uint64_t *next, struct err *err);
int live_status_print(const char *mountpoint, struct err *err);

#endif
