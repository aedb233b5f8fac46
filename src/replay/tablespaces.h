/*
 * A log in which a tablespace is created cannot be replayed here: recovery would go to the place
 * that the tablespace had, by its absolute name, on this machine, which may be the very server's;
 * it would even clear it first. So every segment of the log is looked through before recovery sees
 * it: its restore_command (guarded) ends recovery when there is such a record.
 *
 * Records are found by walking along them (store/walwalk.h) from the place where replay begins, and
 * in every other segment from where its pages say that one begins. What is replayed is walked past:
 * the walk takes for a record what recovery does. After a place where it does not get on, damage
 * or the end of the log, it goes on with the next page on which a record begins, though recovery
 * will not come there.
 *
 * A record that goes on in the next segment is recognized by its head. Of a few there are only 8 or
 * 16 bytes in front of that segment, which do not say what it is; then, if what follows in the
 * second looks like such a record, the two are read together. The segment in front is one of the
 * directory where the second lies: recovery, which has read it, has it in its pg_wal.
 */
#ifndef ASOFS_REPLAY_TABLESPACES_H
#define ASOFS_REPLAY_TABLESPACES_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct tablespaces_wal {
    uint32_t segment_bytes;
    uint64_t system; /* identifier of the cluster; 0: any */
    uint64_t from;   /* LSN where replay begins: what lies before it does not matter */
};

/* What a look needs; of one thread. */
struct tablespaces;

struct tablespaces *tablespaces_new(const struct tablespaces_wal *log);
void tablespaces_free(struct tablespaces *t); /* NULL is fine */

/*
 * A file, and the name of the segment that it is; others pass. -ENOTSUP: a tablespace is created in
 * it (err names the place), or what it is cannot be told here; -EINVAL: it is of another cluster.
 */
int tablespaces_look(struct tablespaces *t, const char *path, const char *name, struct err *err);

/* restore_command around another one. It needs ASOFS_PROGRAM in the environment, and what segment.h
 * names. Owned by the caller. */
char *tablespaces_guarded(const char *command);

/* asofs guard FILE NAME: 130, which is fatal to recovery, when tablespaces_look refuses it, or it
 * cannot be read. */
int tablespaces_guard_main(int argc, char **argv);

#endif
