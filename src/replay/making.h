/* What making a page view and making a layer have in common: the view that is made in the store. */
#ifndef ASOFS_REPLAY_MAKING_H
#define ASOFS_REPLAY_MAKING_H

#include "replay/moment.h"
#include "store/store.h"

/* Prepared transactions that a server has room for: room for many makes it start slowly, and few
 * have many; but the log may raise max_prepared_transactions. */
#define MAKING_FEW_PREPARED 64
#define MAKING_PREPARED_MARGIN 1000

/* err: of a server that could not do with so many; with more room, which *prepared now says, it
 * may. */
bool making_needs_more_prepared(unsigned *prepared, const struct err *err);

#define MAKING_REPLAY_BUFFERS (UINT64_C(512) << 20)

/* What a server that runs on a view must not find of the base (DESIGN: private server). */
extern const char *const making_hidden[];

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

/* -EBUSY, by name: a view is being made, and is not there yet: what it will stand on nobody knows. */
int making_check_none(struct store *s, struct err *err);

/* store_drop_view, but not while somebody makes it: -EBUSY. */
int making_drop_view(struct store *s, const char *name, struct err *err);

/* Drops temporary views of processes that are gone, and their locks. */
void making_clear_leftovers(struct store *s);

/* The bases of which replay can begin, oldest first; ids are those of `ids`. Owned by the caller.
 */
int making_read_bases(struct store *s, char *const *ids, struct moment_base **bases, unsigned *n,
                      struct err *err);

/*
 * max_locks_per_transaction of a server on a view that reads its tables: for each file that the
 * view's base has, and more; `transactions` is what that is multiplied by. It is not simply a large
 * number because the table of all is filled in at each start, which would take longer than the
 * start itself.
 */
#define MAKING_LOCKS_MAX 16
const char *making_enough_locks(struct store *s, const char *view, unsigned transactions,
                                char out[MAKING_LOCKS_MAX]);

/*
 * A complete view as a restored cluster would have it: read only, and with the settings of the
 * base, which the view itself does not show. check: all files of the base are compared; not needed where they were a moment
 * ago, for a server: each is once more when it is opened.
 */
int making_open_pages(struct store *s, const char *view, bool check, struct store_view **v,
                      struct err *err);

/* Of an error for want of room, with the store's disk full: which disk that is. Before what was
 * made there is dropped. */
void making_hint_full(const struct store *s, struct err *err);

/* Appends what the fetching command said (pageserver_heard); returns -err->code. */
int making_hint_fetcher(const char *said, struct err *err);

/* Everything of a view on the disk, with a checksum for every page. Nobody serves it any more. */
int making_sync_view(struct store *s, const char *view, struct err *err);

#endif
