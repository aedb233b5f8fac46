/*
 * view/: a view's life. May be called from fs/ and cmd/; calls everything below it but base/. Links
 * without libfuse.
 *
 * A view is one or several snapshots (snapshot.h) under one tree. It goes through these steps; each
 * function says which step it expects.
 *
 *   view_freeze    one database: connect, collect, lock, freeze, plan
 *   view_extract   snapshot workers fill the spool; release
 *   or view_extract_begin: the same in a thread of its own, while the view is already served
 *   or databases_extract: several databases (databases.h)
 *   view_render    of a page view, what is rendered instead: measured from now on
 *   serve          the functions below, from any thread
 *   view_free
 */
#ifndef ASOFS_VIEW_VIEW_H
#define ASOFS_VIEW_VIEW_H

#include <stdint.h>
#include <time.h>

#include "common/err.h"
#include "common/flatfile.h"
#include "extract/plan.h"
#include "view/tree.h"

struct datadir;
struct pg_control;
struct view;
struct snapshot_request; /* snapshot.h */

/* What the request points at, but `source` and `shown`, is borrowed until view_free. On failure
 * nothing is left locked. */
int view_freeze(const struct snapshot_request *req, struct view **v, struct err *err);

/* Extract into the spool and make the files of .asofs/. The server is released afterwards. */
int view_extract(struct view *v, struct err *err);

/* The same in a thread of its own; view_free stops and joins it. Implies `partial`. */
int view_extract_begin(struct view *v, struct err *err);

struct pg_identity; /* pg/identity.h */

struct view_pages {
    struct datadir *dir; /* borrowed until view_free, as is `as` */
    const struct pg_control *control;
    const struct pg_identity *as; /* who the threads that render have entered as */
};

/* Of a page view, after everything was extracted: is there something to be rendered yet? Then its
 * pages are frozen (pageview_freeze), and given to the view, which measures tables in threads of its
 * own from now on. The calling thread has entered as the owner of the store, and so have its children. It
 * returns when all that is small enough is measured; with `eager`, all. What fails then fails the call, but
 * with `partial`. `settled` is called from those threads, too. */
bool view_is_rendered(const struct view *v);
bool view_is_all_rendered(const struct view *v); /* once it is frozen: nothing is copied */
struct lengths_notes;                            /* lengths.h: of a view that is kept; else NULL */
int view_render(struct view *v, const struct view_pages *pages, const struct lengths_notes *notes,
                bool eager, struct err *err);

/* Extract into plain files below dir_fd, which is empty, with intermediate data in spool_dir. Of a page
 * view, what is rendered (view_is_rendered) is not there yet, nor the files of .asofs/. */
int view_extract_files(struct view *v, int dir_fd, const char *spool_dir, struct err *err);

/* Then its pages are given to the view, by a thread that has entered as their owner; and written by one
 * that may write below the directories. */
int view_write_begin(struct view *v, const struct view_pages *pages, struct err *err);
int view_write_rendered(struct view *v, struct err *err);

struct results;

/* What was frozen, of a view of one database; borrowed until view_free. */
struct view_facts {
    const struct pg_catalog *catalog;
    const struct plan *plan;
    const char *source, *database; /* "dbname@host", "dbname" */
    const char *system_identifier; /* of a running server that may tell it; or NULL */
    const char *server_started;    /* of a running server; or NULL */
    const char *moment, *lsn, *encoding, *timezone, *lc_monetary;
    enum pg_format format;
    const struct pg_target *target; /* the server that was frozen */
    const char *snapshot_id;        /* NULL with protocol lock */
    struct results *results;        /* of the tables, as the catalog */
};
void view_get_facts(const struct view *v, struct view_facts *f);

/* Frozen, and not extracted but read by others who join it: it is there still, and not held for
 * longer than it may be; and it is not needed any more. */
int view_check_held(struct view *v, struct err *err);
int view_release(struct view *v, struct err *err);

/* One line for people: how much, how long. */
void view_print_summary(const struct view *v, const char *what);
void view_print_frozen(const struct view *v, const char *what); /* the same before extraction */

/*
 * End an extraction that still runs: what is not complete fails, those who wait are told, and the
 * extracting thread is gone afterwards. NULL, or nothing running, is fine. To be called while
 * whatever `settled` uses is still there.
 */
void view_stop(struct view *v);

void view_free(struct view *v);

/* ---- names and times: known from the freeze on; node numbers are those of the tree ---- */

const struct tree *view_tree(const struct view *v);
struct timespec view_time(const struct view *v); /* the moment: every file's mtime */
const char *view_source(const struct view *v);   /* "dbname@host", for /proc/mounts */

/* ---- the state of a file ---- */

enum view_state {
    VIEW_FINAL,   /* size and bytes are known and do not change any more */
    VIEW_PENDING, /* a reader has to wait */
    VIEW_LIVE,   /* a text about the view that still changes (tables.csv): read it whole, at once */
    VIEW_FAILED, /* EIO */
};

enum view_state view_state(struct view *v, uint32_t node);

/* A reader waits for a pending file: it comes first from now on. */
void view_prefer(struct view *v, uint32_t node);

/*
 * Call `settled` whenever pending files may have become final or failed; from the extracting
 * thread, which holds no lock then. Set before view_extract_begin.
 */
void view_on_settled(struct view *v, void (*settled)(void *arg), void *arg);

/* ---- final files ---- */

/* Exact size in bytes of a final file, or of a live text as it is now. */
uint64_t view_size(struct view *v, uint32_t node);

/* Its bytes, which stay the view's; NULL: it is not final, or a directory. */
const struct flatfile *view_file(struct view *v, uint32_t node);

/* A live text as it is now: the caller's to free. */
struct flatfile *view_live_text(struct view *v, uint32_t node);

/* Extended attributes of a final file. A value as text: its length, or -ENODATA. */
#define VIEW_XATTR_MAX 64
int view_xattr(struct view *v, uint32_t node, const char *name, char value[VIEW_XATTR_MAX]);
/* The names, each ended by a NUL; *names is static. Returns the length in bytes. */
size_t view_xattr_names(struct view *v, uint32_t node, const char **names);

#endif
