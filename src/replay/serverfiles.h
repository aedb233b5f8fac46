/* What a view that a private server works on has for that alone: the files that are made before,
 * and those that go afterwards. data: the view, mounted. */
#ifndef ASOFS_REPLAY_SERVERFILES_H
#define ASOFS_REPLAY_SERVERFILES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/* Recovery, or that of a standby, begins at the next start. */
int serverfiles_begin(const char *data, bool standby, struct err *err);

/* What lies in pg_wal may be replayed without being asked for: tablespaces_look() at all of it. */
int serverfiles_check_wal(const char *data, uint32_t segment_bytes, uint64_t from, struct err *err);

/* backup_label is there: recovery has not begun. */
bool serverfiles_has_label(const char *data);

/* After the server: what only says how it was started and what it began with, and segments in
 * pg_wal that are links. */
int serverfiles_end(const char *data, struct err *err);

/* The same of a standby, for recovery to go on from there: its signal file, and segments in pg_wal
 * that are links, or are in wal_dir as well. */
int serverfiles_end_standby(const char *data, const char *wal_dir, struct err *err);

#endif
