/* What making a page view and making a layer have in common: the store, and whoever owns it. */
#ifndef ASOFS_REPLAY_MAKING_H
#define ASOFS_REPLAY_MAKING_H

#include "pg/programs.h"
#include "replay/moment.h"

#define MAKING_PREPARED_MARGIN 1000 /* the log may raise max_prepared_transactions */
#define MAKING_REPLAY_BUFFERS (UINT64_C(512) << 20)

/* What a server that runs on a view must not find of the base (DESIGN: private server). */
extern const char *const making_hidden[];

/*
 * The store at `path`, open, with PostgreSQL's programs for it; all that is done in it from then on
 * is done as the user that they run as, its owner: this thread has entered (pg/identity.h), until
 * owner_leave. run_as, bindir: NULL, or what was asked for. On failure too p may be left and freed.
 */
int owner_open_store(const char *path, const char *run_as, const char *bindir, struct store **s,
                     struct pg_programs *p, struct err *err);

/* The same again, later. */
int owner_enter(const struct pg_programs *p, struct err *err);
void owner_leave(const struct pg_programs *p);

#define MAKING_TEMPORARY ".tmp" /* ends the names of views that are not kept */
#define MAKING_PREFIX "making-" /* begins, in the store, that of the lock of a view's maker */

/* The name of a view that is not kept; owned by the caller. */
char *making_temporary_name(const char *what);
bool making_is_temporary(const char *name);

/*
 * The lock of whoever makes a view of that name. 1: somebody makes it now. With `take`, 0 leaves
 * the lock with the caller until making_unlock(s, name, *fd).
 */
int making_lock(const struct store *s, const char *name, bool take, int *fd, struct err *err);
void making_unlock(const struct store *s, const char *name, int fd);

/* Drops temporary views of processes that are gone, and their locks. */
void making_clear_leftovers(struct store *s);

/* The bases of which replay can begin, oldest first; ids are those of `ids`. Owned by the caller.
 */
int making_read_bases(struct store *s, char *const *ids, struct moment_base **bases, unsigned *n,
                      struct err *err);

/* Where the log comes from. */
struct pagewal {
    const char *dir;      /* of the segments, when there is no command */
    const char *command;  /* that fetches one; NULL: they are taken from dir */
    struct wal_list list; /* of dir; empty with a command */
};

/*
 * dir, command: what was asked for, or NULL: then what the store says; what was asked for outdoes
 * all that it says. A directory of shipped log that is not there yet is empty.
 */
int pagewal_read(const struct store *s, const char *dir, const char *command, struct pagewal *log,
                 struct err *err);

/* wal_reach(), with the times that the source itself said (walsaid.h). */
int pagewal_reach(const struct store *s, const struct wal_way *way, struct wal_reach *r,
                  struct err *err);

/* What a restore_command and its guard need; freed by store_names_free. */
char **pagewal_env(const struct store *s, const struct pagewal *log);

/* -EACCES: PostgreSQL's user cannot read that file. */
int pagewal_check_readable(const struct pg_programs *p, const char *path, struct err *err);

/* A segment that was asked for in vain ("": none), though it is there. */
int pagewal_check_missing(const struct pg_programs *p, const char *dir, const char *segment,
                          struct err *err);

/*
 * recovery_target_timeline. asofs has found it in the log itself, since the newest of all may be
 * one that does not come from this base; what a command fetches only the server can look through.
 */
#define PAGEWAL_TIMELINE_MAX 12
const char *pagewal_target_timeline(const struct pagewal *log, const struct store_base_facts *base,
                                    char out[PAGEWAL_TIMELINE_MAX]);

/*
 * max_locks_per_transaction of a server on a view that reads its tables: for each file that the
 * view's base has, and more; `transactions` is what that is multiplied by. It is not simply a large
 * number because the table of all is filled in at each start, which would take longer than the
 * start itself.
 */
#define MAKING_LOCKS_MAX 16
const char *making_enough_locks(struct store *s, const char *view, unsigned transactions,
                                char out[MAKING_LOCKS_MAX]);

/* The last commit that a private server says it replayed, in microseconds since 1970; 0: it names
 * none. */
int64_t reached_last_commit(const char *log);

/*
 * A complete view as a restored cluster would have it: read only, and with the settings of the
 * base, which the view itself does not show.
 */
int making_open_pages(struct store *s, const char *view, struct store_view **v, struct err *err);

/* Of an error for want of room, with the store's disk full: which disk that is. Before what was
 * made there is dropped. */
void making_hint_full(const struct store *s, struct err *err);

/* Appends what the fetching command said (pageserver_heard); returns -err->code. */
int making_hint_fetcher(const char *said, struct err *err);

/* Everything of a view on the disk, with a checksum for every page. Nobody serves it any more. */
int making_sync_view(struct store *s, const char *view, struct err *err);

#endif
