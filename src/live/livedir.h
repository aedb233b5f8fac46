/*
 * live/: a data directory that a server runs on while others see it as it was. The server writes
 * its own files in place; what a freeze still needs of the old state is kept in the newest *epoch*
 * before it is changed. A freeze is shown as a frozen tree (frozen.h), for ever the same. This room
 * may be called from fs/, cmd/ and the tests; it calls common/ and pages/, and knows nothing of
 * FUSE or PostgreSQL but the names of what is not kept.
 *
 *   table      things found by a number            phase      calls that are under way
 *   header     what an epoch is and what became of it       journal    its names, sizes and births
 *   epoch      one epoch on disk                   past       what the epochs say of one file
 *   nodes      the names there are now             livestate  what the files below share
 *   livefile   files: open, read, write, truncate  livenames  names: make, remove, rename
 *   freeze     the freezes: made, given up         tidy       their storage: merged, removed
 *   livedir    opened and closed                   frozen     trees of a freeze
 *   held       descriptors that can be had again   note       a name, before it changes
 *   seen       whether somebody else changed it    spaces     tablespaces that lie elsewhere
 *   walfiles   segments of the log that go         room       what is kept goes where it is lacking
 *
 * There is no gate: a freeze sets the newest epoch and waits until the calls that began before are
 * over; calls that begin meanwhile are not held. Every change reads the newest epoch once, under
 * its own lock (the run of pages, the file's resize lock, the lock of the tree). So if a call had
 * ended before another began, a frozen tree never has the second without the first: what crash
 * recovery asks for.
 *
 * All functions are thread safe unless said otherwise and return 0 (or a count) or a negative
 * errno, that of the system call they serve. Whoever calls has the rights of the directory's owner
 * (pg/identity.h); what is made is of who makes it. Locks, in the order in which they are taken:
 * making (freezes), a file's resize lock, a segment that leaves, the tree, a run of pages, a file's
 * past, journals, descriptors.
 *
 * An error of the epochs' disk never reaches the server: all freezes are given up, loudly, and its
 * calls go on without saving anything. Where the disk is full for the server itself, what is kept is
 * given up, the oldest first, until there is room or nothing left.
 */
#ifndef ASOFS_LIVE_LIVEDIR_H
#define ASOFS_LIVE_LIVEDIR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "common/err.h"

#define LIVEDIR_ROOT 1 /* the number of the data directory itself */

struct livedir;
struct livefile; /* an open file of the server */

struct livedir_options {
    bool durable;      /* old pages are on the disk before the new ones are written, and what a
                          freeze shows when it is made */
    uint64_t limit;    /* bytes that all epochs may take; 0: no limit */
    uint64_t reserve;  /* bytes of their disk that stay free */
    const char *mount; /* where it is shown, absolute; borrowed. Links of tablespaces lead there;
                          NULL: they are relative */
    /* Where finished segments of the log go that the server has done with, when its pg_wal is in
     * the directory and a freeze is wanted: on the same file system; made when missing. NULL: they
     * are not kept. */
    const char *wal;
    bool (*is_wal)(int fd, const char *name); /* the segment has log of its name in it */
    uint64_t wal_limit; /* bytes that they may take; the oldest go. 0: no limit */
    void (*complain)(void *arg, const char *text); /* freezes given up, a tablespace refused, and
                                                      why; from any call, must not call back */
    void *arg;
};

/*
 * Serve the data directory `data`; `epochs` is STORE/epoch (made when missing), on the same file
 * system. What an earlier process left is taken up: freezes that the operating system's crash cost,
 * or a change of the directory while nobody served it, are given up by name. Starts a thread of its
 * own, with the rights of who calls. Refuses, in words: another process that serves it, or from these
 * epochs (-EBUSY), another file system within, a tablespace on another one, other data behind
 * symbolic links (-EXDEV), formats it does not know.
 */
int livedir_open(const char *data, const char *epochs, const struct livedir_options *options,
                 struct livedir **l, struct err *err);

/* No call is under way, all files and trees are closed. Everything of the epochs is synced and
 * they are marked as closed cleanly: also an operating system's crash after it costs nothing. */
int livedir_close(struct livedir *l, struct err *err);

/* As if the process had ended. */
void livedir_abandon(struct livedir *l);

/* ---- names ---- */

/* A file or directory; numbers are of this run, and no two things ever have the same. */
struct live_node {
    uint64_t number;
    bool exempt;    /* not kept (log, temporary files): nobody but the server's own calls matter */
    bool fleeting;  /* the name comes and goes with a tablespace's link, without a call of its own,
                      or may mean another file after a renaming (of the log) */
    struct stat st; /* st_ino is the number */
};

/*
 * A tablespace that lies elsewhere is shown as .tablespaces/<oid> in the root, which is found, but
 * not listed, and made up: nothing can be made or removed in it. Of what lies in the tablespace,
 * only the server's own, PG_..., is there, and nothing else can be made.
 */

/* fleeting is also said with -ENOENT. */
int livedir_lookup(struct livedir *l, uint64_t dir, const char *name, struct live_node *n);
int livedir_stat(struct livedir *l, uint64_t number, struct live_node *n);
int livedir_readlink(struct livedir *l, uint64_t number, char *target, size_t room);

/* Calls `each` for every name (without "." and ".."), which must not call back; a value other than
 * 0 ends it and is returned. mode: only its type. */
int livedir_list(struct livedir *l, uint64_t dir,
                 int (*each)(void *arg, const char *name, uint64_t number, mode_t mode), void *arg);
int livedir_parent(struct livedir *l, uint64_t dir, uint64_t *parent); /* the root's is itself */

/* mode: permissions, umask is not looked at. `flags` of create: of open(2); with O_EXCL -EEXIST
 * when it is there, else that one is opened. */
int livedir_create(struct livedir *l, uint64_t dir, const char *name, mode_t mode, int flags,
                   struct live_node *n, struct livefile **f);
int livedir_mkdir(struct livedir *l, uint64_t dir, const char *name, mode_t mode,
                  struct live_node *n);
int livedir_symlink(struct livedir *l, uint64_t dir, const char *name, const char *target,
                    struct live_node *n); /* in pg_tblspc: of a tablespace that can be served,
                                             else -EPERM, and the cause is told (complain); elsewhere
                                             among the server's data -EPERM */
int livedir_link(struct livedir *l, uint64_t number, uint64_t dir, const char *name,
                 struct live_node *n); /* of and among exempt files; else -EPERM */
int livedir_unlink(struct livedir *l, uint64_t dir, const char *name);
int livedir_rmdir(struct livedir *l, uint64_t dir, const char *name);
/* flags: 0 or RENAME_NOREPLACE, else -EINVAL. -EXDEV between what is exempt and what is not;
 * -EPERM: a tablespace or its link, another link to among the server's data. */
int livedir_rename(struct livedir *l, uint64_t dir, const char *name, uint64_t new_dir,
                   const char *new_name, unsigned flags);

int livedir_chmod(struct livedir *l, uint64_t number, mode_t mode);
int livedir_chown(struct livedir *l, uint64_t number, uid_t uid, gid_t gid); /* -1: as it is */
int livedir_set_times(struct livedir *l, uint64_t number, const struct timespec times[2]);
int livedir_truncate(struct livedir *l, uint64_t number, uint64_t size);
int livedir_sync_dir(struct livedir *l, uint64_t number);
int livedir_space(struct livedir *l, struct statvfs *s);

/* ---- files ---- */

/* flags of open(2): access mode, O_DSYNC, O_SYNC; the others are not looked at. The file stays the
 * server's under this handle, whatever becomes of its name. */
int livedir_open_file(struct livedir *l, uint64_t number, int flags, struct livefile **f);
void livedir_close_file(struct livefile *f);

int64_t livedir_read(struct livefile *f, void *bytes, size_t len, uint64_t offset);
int64_t livedir_write(struct livefile *f, const void *bytes, size_t len, uint64_t offset);
int livedir_resize(struct livefile *f, uint64_t size);
int livedir_allocate(struct livefile *f, int mode, uint64_t offset,
                     uint64_t len); /* mode 0, FALLOC_FL_KEEP_SIZE; else -EOPNOTSUPP */
int livedir_sync(struct livefile *f, bool data_only);
int livedir_file_stat(struct livefile *f, struct live_node *n);

bool livedir_is_exempt(const struct livefile *f);

/* Of a file of the log that is there already, so that writing it needs no more space: its descriptor,
 * until it is closed, for passthrough. Of any other one -EPERM. */
int livedir_descriptor(struct livefile *f);

/* ---- freezes ---- */

enum live_state { LIVE_OPEN, LIVE_GIVEN_UP };

struct live_freeze {
    uint64_t number;
    struct timespec time;
    enum live_state state;
    uint64_t bytes; /* of old pages and files that are kept since it, until the next; at most 1 s
                       old */
    char why[256];  /* given up: the cause */
};

/* The number that the next freeze will have; another one may be made meanwhile. */
uint64_t livedir_next_freeze(struct livedir *l);

/*
 * Freeze: *number is the tree from now on. want: that number, else -EEXIST; 0: any. Calls that
 * began before are waited for `wait_ms` at most: then -EBUSY, the number is skipped, and nothing
 * else comes of it. Other errors likewise: no space; -EMFILE: there are as many as the limit of open
 * files allows. -ESTALE: somebody else has changed the data directory while it was served, and what it
 * is now is not known.
 */
int livedir_freeze(struct livedir *l, uint64_t want, int wait_ms, uint64_t *number,
                   struct err *err);

/* Not shown any more; what only it needed is freed, in the background. -ENOENT: there is none. */
int livedir_drop(struct livedir *l, uint64_t number, struct err *err);

/* Its tree answers -ESTALE from now on; it stays listed, with the cause, until it is dropped. So do
 * all older ones, which need what this one had. */
void livedir_give_up(struct livedir *l, uint64_t number, const char *why);

/* For who has -ENOSPC himself, on that disk, and must go on for the server: the oldest that is kept is
 * given up, and its space is free. false: nothing is left. */
bool livedir_make_room(struct livedir *l);

/* Oldest first; *list is freed by the caller. */
int livedir_freezes(struct livedir *l, struct live_freeze **list, size_t *n);

/* Waits until what was dropped or given up takes no space any more. */
int livedir_settle(struct livedir *l);

/* The directory that pg_wal of tree `number` shows, to put the log into: a descriptor that the
 * caller closes. */
int livedir_wal_dir(struct livedir *l, uint64_t number);

struct live_counts {
    uint64_t writes;             /* calls */
    uint64_t saved;              /* old pages */
    uint64_t kept;               /* whole files and directories */
    uint64_t raced;              /* pages of frozen trees that the second look found */
    uint64_t freeze_us;          /* the newest freeze: microseconds that it took */
    uint64_t nodes;              /* names there are */
    uint64_t wal_kept, wal_lost; /* segments of the log */
};
void livedir_counts(struct livedir *l, struct live_counts *c);

#endif
