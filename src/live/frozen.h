/*
 * The data directory as it was at a freeze, read-only. For each name, size and page: the first
 * epoch from that freeze on that says something, else the live one. Ids are inode numbers: they
 * outlive the process, and no two things of one tree have the same. Times of everything are the
 * freeze's, sizes those at the freeze.
 *
 * Tablespaces that lie elsewhere are .tablespaces/<oid>, where their links lead.
 *
 * Not shown: what is exempt (postmaster.pid, pgsql_tmp…); the directories of it are there and
 * empty. pg_wal is a directory with what the freeze's maker has put there (livedir_wal_dir), with
 * the times of their contents, read-only; its ids have FROZEN_WAL set.
 *
 * Thread safe. Everything is -ESTALE once the freeze was given up or dropped.
 */
#ifndef ASOFS_LIVE_FROZEN_H
#define ASOFS_LIVE_FROZEN_H

#include <stdint.h>
#include <sys/stat.h>

#include "live/livedir.h"

#define FROZEN_WAL (UINT64_C(1) << 62) /* inode numbers are below it */

struct frozen;
struct frozen_file;

/* The tree of a freeze; -ENOENT: there is none, -ESTALE: it was given up. Closed before the
 * livedir. */
int frozen_open(struct livedir *l, uint64_t number, struct frozen **t);
void frozen_close(struct frozen *t);

uint64_t frozen_root(const struct frozen *t); /* its id */
uint64_t frozen_number(const struct frozen *t);

/* st_ino is the id. */
int frozen_lookup(struct frozen *t, uint64_t dir, const char *name, struct stat *st);
int frozen_stat(struct frozen *t, uint64_t id, struct stat *st);
int frozen_readlink(struct frozen *t, uint64_t id, char *target, size_t room);

/* As livedir_list; each name once, in no order. */
int frozen_list(struct frozen *t, uint64_t dir,
                int (*each)(void *arg, const char *name, uint64_t id, mode_t mode), void *arg);

/* An open file holds no descriptor: that is opened when it is read, and a bounded number of them
 * stay open. Closed before its tree. */
int frozen_open_file(struct frozen *t, uint64_t id, struct frozen_file **f);
void frozen_close_file(struct frozen_file *f);

/* Bytes read, less than len only at the end of the file as it was. -EIO: what was kept is damaged. */
int64_t frozen_read(struct frozen_file *f, void *bytes, size_t len, uint64_t offset);

#endif
