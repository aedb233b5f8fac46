/*
 * Loading: flat files become the rows of a second database. This drives the delete workers and the
 * loader workers, two crews (common/crew.h) behind one gate (load/gate.h), and keeps the connection
 * that holds the name of the copy.
 *
 *   loading_open      connect; schema asofs; the name is ours, or somebody else's (-EBUSY)
 *   loading_choose    with patterns: which tables of a view they choose
 *   loading_begin     the list is known: compare it with the tables there, refuse, create what is
 *                     missing, write the list down; the delete workers may start
 *   loading_part      … the bytes of a part are in their place: it may be loaded
 *   loading_run       until all is loaded and finished (indexes, constraints, ANALYZE)
 *   loading_text      of large objects: a file of .asofs/ becomes one
 *   loading_publish   the copy is current; who waits is told
 *   loading_close     at any time: without loading_publish, nothing of ours is left but, under
 *                     LOADING_INPLACE, the label that says so
 *
 * Who has a loop of its own (the coordinator of an extraction) calls loading_work, polls what
 * loading_set_polls says, and calls loading_hear, in place of loading_run. All of it is one thread's.
 * -EINTR: stopped.
 */
#ifndef ASOFS_LOAD_LOADING_H
#define ASOFS_LOAD_LOADING_H

#include <poll.h>

#include "common/flatfile.h"
#include "common/progress.h"
#include "extract/guest.h"
#include "extract/plan.h"
#include "load/list.h"
#include "pg/choose.h"
#include "pg/conn.h"

enum loading_mode {
    LOADING_SWAP,
    LOADING_ROWS,
    LOADING_INPLACE,
    LOADING_OBJECTS, /* flat files become large objects, not rows (pg/objects.h); asked for apart */
};

struct loading;

struct loading_request {
    const char *name;   /* of the copy */
    const char *target; /* libpq conninfo string, URI or database name */
    enum loading_mode mode;
    bool create;   /* tables that are not there */
    bool direct;   /* loading_direct */
    bool unlogged; /* LOADING_SWAP: the new tables are */
    unsigned delete_jobs, load_jobs;
    int64_t worker_timeout_ms;  /* silence of a worker or of the server */
    int64_t lock_timeout_ms;    /* of each statement of a worker */
    int64_t publish_timeout_ms; /* for readers that stand in the way */
    int stop_fd;                /* readable: give up; -1: none */
    bool quiet;
    struct progress *progress; /* NULL: none */

    /* Parts whose place is told without a descriptor: the flat file of this table, open for reading;
     * it is closed when the job is over. */
    int (*open_file)(void *arg, size_t table, struct err *err);
    /* Called now and then while loading_run waits for parts: to look whether there are more. */
    int (*look)(void *arg, struct loading *l, struct err *err); /* may be NULL */
    void *arg;                                                  /* of both */
};

/* What the request points at is borrowed until loading_close. */
int loading_open(const struct loading_request *req, struct loading **l, struct err *err);

/* pg_choose, by the server and the session of the second database; in advance of loading_begin. */
int loading_choose(struct loading *l, const struct pg_selection *entries, size_t n,
                   struct pg_chosen *tables, size_t ntables, struct err *err);

/* The list is borrowed until loading_close. Everything that stands in the way is named at once. */
int loading_begin(struct loading *l, const struct load_list *list, struct err *err);

struct loading_place {
    int fd; /* borrowed; stays open, and the part as it is, until loading_freed names it.
             * -1: open_file of the request */
    uint64_t offset, len;
    uint64_t rows;     /* looked at under LOADING_OBJECTS alone */
    uint64_t checksum; /* XXH3 of its bytes; with others it is not loaded; 0: not known */
};
void loading_part(struct loading *l, size_t table, uint32_t part, const struct loading_place *p);

/* Parts told of with a descriptor that are loaded, each once: their bytes are not needed any more.
 * false: there is none now. */
bool loading_freed(struct loading *l, size_t *table, uint32_t *part);
/* Of the parts it was told of, one more will be loaded. */
bool loading_will_free(const struct loading *l);
/* Parts of this table can be loaded as they come. */
bool loading_is_open(const struct loading *l, size_t table);

/* After loading_begin, with request.direct: what snapshot workers have to know who write into the
 * second database themselves. It is valid, and takes what they report, until loading_close. */
const struct extract_direct *loading_direct(const struct loading *l);

/*
 * The same, after it: what other hosts have to know to join (load/join.h), so that they need not plan.
 * Where that cannot be told (a store, protocol lock, no privilege), the copy goes on alone.
 */
struct loading_shared {               /* borrowed for the call */
    const struct pg_catalog *catalog; /* as the list */
    const struct plan *plan;
    const char *snapshot_id; /* NULL: it is not exported */
};
int loading_share(struct loading *l, const struct loading_shared *s, struct err *err);

/* So many rows are in the flat file: with others the copy is not published. (COPY may end early, and
 * the target may leave out rows.) Not called: not known. */
void loading_expect_rows(struct loading *l, size_t table, uint64_t rows);

/* What the list did not tell: the checksum of the flat file, for the record. */
int loading_note_checksum(struct loading *l, size_t table, uint64_t checksum, struct err *err);

size_t loading_npolls(const struct loading *l);
void loading_set_polls(const struct loading *l, struct pollfd *polls);
int loading_hear(struct loading *l, const struct pollfd *polls, struct err *err);
int loading_work(struct loading *l, int64_t now, struct err *err); /* now: clock_ms */

/* Every table is cleared, loaded and finished. */
bool loading_is_done(const struct loading *l);

/* All parts have been told of, or will be by nobody but this thread. */
int loading_run(struct loading *l, struct err *err);

/* Under LOADING_OBJECTS: `name` is that below .asofs/. */
int loading_text(struct loading *l, const char *name, const struct flatfile *text, struct err *err);

int loading_publish(struct loading *l, struct err *err);

/* One line for people. */
void loading_print_summary(const struct loading *l);

void loading_close(struct loading *l); /* NULL is fine */

#endif
