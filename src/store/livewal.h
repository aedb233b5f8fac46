/*
 * The log of a live base whose pg_wal is a directory of its own, not a link to elsewhere: the server
 * writes it, and it is the shipped log of the store, too. Segments that the server has done with go
 * to the log directory of the store when they leave pg_wal (live/walfiles.c does that); those that it
 * still has are linked there when somebody needs them. A link is safe while asofs serves the base:
 * what has one is not written over.
 *
 * Only where nobody else ships the log: no slot, no log elsewhere, no restore_command.
 */
#ifndef ASOFS_STORE_LIVEWAL_H
#define ASOFS_STORE_LIVEWAL_H

#include "store/store.h"

/* 1: that is so; *pg_wal: the directory. 0: it is not. */
int livewal_find(struct store *s, const struct store_live *l, char **pg_wal);

/* The file holds log of the segment whose name it has, whatever it was used for before. */
bool livewal_is_used(int fd, const char *name);

/* What the server has of the log that bases need is in the store's, too, from now on. Best effort:
 * what is missing there is found missing. */
void livewal_bring(struct store *s);

/* One file of it; segment: only if it holds log. Directories by their descriptors. */
void livewal_bring_file(int from, int to, const char *name, bool segment);
extern void (*livewal_test_step)(const char *where); /* NULL but in tests */

/* What no base needs goes. The freezes are locked (store_lock_freezes). Best effort, too. */
void livewal_prune(struct store *s);

#endif
