/* .asofs/status.json of a live data directory: how it is written, and what it says. */
#ifndef ASOFS_CMD_LIVESTATUS_H
#define ASOFS_CMD_LIVESTATUS_H

#include "common/err.h"
#include "live/livedir.h"

/*
 * {"format": 1, "epochs": "DEVICE:INODE", "next": N, "freezes": [{"number", "state": "open" or "given
 * up", "time", "bytes", "why"}], "counts": {…}}. epochs: where they lie (store_epochs_id); may be NULL.
 * The caller's to free; NULL: no memory.
 */
char *live_status_text(struct livedir *l, const char *epochs);

/* The freezes that the one of a mount has, as a table on standard output. */
int live_status_print(const char *mountpoint, struct err *err);

#endif
