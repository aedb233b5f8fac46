/*
 * A log in which a tablespace is created cannot be replayed here: recovery would go to the place
 * that the tablespace had, by its absolute name, on this machine, which may be the very server's;
 * it would even clear it first. So every segment of the log is looked through before recovery sees
 * it: its restore_command (guarded) ends recovery when there is such a record.
 *
 * A record is recognized by the fields of its header (XLogRecord: access/xlogrecord.h; resource
 * manager 5, info 0: storage rmgrlist.h, tablespace.h) and its data, a number and an absolute path.
 * What merely looks like one ends recovery as well.
 */
#ifndef ASOFS_VIEW_TABLESPACES_H
#define ASOFS_VIEW_TABLESPACES_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* restore_command around another one. It needs ASOFS_PROGRAM in the environment. Owned by the
 * caller. */
char *tablespaces_guarded(const char *command);

/* -ENOTSUP: one is created; err names the place. */
int tablespaces_look(const char *path, struct err *err);

/* The same of a segment's bytes: the place, or NULL. Pure; owned by the caller. */
char *tablespaces_find(const uint8_t *bytes, size_t len);

/* asofs guard FILE NAME: 130, which is fatal to recovery, when one is created, the segment is of
 * another cluster (segment.h), or it cannot be read. */
int tablespaces_guard_main(int argc, char **argv);

#endif
