/*
 * A live directory from inside: shared by the files that livedir.h lists. Everybody else has
 * livedir.h and frozen.h.
 */
#ifndef ASOFS_LIVE_LIVESTATE_H
#define ASOFS_LIVE_LIVESTATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "live/epoch.h"
#include "live/livedir.h"
#include "live/nodes.h"
#include "live/past.h"
#include "live/pastnames.h"
#include "live/phase.h"

#define LIVE_STRIPES 256u
#define LIVE_RUN_PAGES 32u
#define LIVE_WAL_NAME 25 /* of a segment of the log, with the NUL */

/* Segments that leave their name in pg_wal (walfiles.c). */
struct live_wal {
    int dir;                 /* where finished ones go; -1: they are not kept */
    pthread_mutex_t leaving; /* one at a time; taken before `tree` */
    bool losing;             /* `leaving`: some were lost, and that was said */
    _Atomic uint64_t kept, lost;
};

/* One of them, while a call of the server takes its name. */
struct wal_leaving {
    bool begun;  /* `leaving` is locked */
    uint64_t id; /* of the file */
    bool keep;
    bool spare; /* there is another file for the server */
    char name[LIVE_WAL_NAME];
};

struct livedir {
    struct livedir_options options;
    int dir;    /* the data directory */
    int epochs; /* STORE/epoch */
    int lock;   /* a file in it, locked while this process serves */

    struct phase phase;
    struct pasts pasts;

    pthread_rwlock_t tree; /* covers nodes, names, kept of each past; ids of open files */
    struct nodes nodes;
    struct past_names names;
    bool root_changes;      /* `tree`: a name in the data directory itself */
    atomic_uint lingering;  /* spaces; changed under `tree` */
    pthread_mutex_t seeing; /* taken last: covers pending, and what is noted of it (seen.c) */
    bool pending;
    int64_t root_time; /* of the data directory, after the last change of ours */
    bool changed_past; /* and of somebody else's since */
    _Atomic int64_t until;
    bool lasting;            /* what is noted reaches the disk first, as durable epochs need */
    pthread_mutex_t opening; /* taken after `tree`: covers node->opened, opened->handles */

    pthread_mutex_t making;   /* one freeze at a time; covers prepared */
    struct epoch *prepared;   /* for the next freeze; NULL: not yet made */
    _Atomic uint64_t numbers; /* up to this one they may have been given */
    uint64_t least;           /* numbers below it are not given */

    pthread_mutex_t list; /* covers oldest, last, older, newer, and which states there are */
    struct epoch *oldest, *last;
    struct epoch *_Atomic newest; /* of the newest freeze; NULL: none. What is read of it within a
                                     phase stays */

    pthread_mutex_t runs[LIVE_STRIPES]; /* of pages; by file and run */

    pthread_mutex_t rooming; /* taken first: covers rooms */
    unsigned rooms;          /* how often room was made */

    pthread_mutex_t tidying; /* who works on the storage of epochs that are not the newest */
    pthread_t keeper;        /* thread: prepares, tidies, starts writing back, watches the space */
    pthread_mutex_t keeping; /* covers wake, stop, tidied */
    pthread_cond_t woken, done;
    bool wake, stop, kept_up;

    struct opened *all_opened; /* `opening` */
    unsigned round;            /* of writing back; the keeper's */

    /* Old files that stay open while they are the newest epoch's, and how many may: each takes two
     * descriptors and a mapping. */
    _Atomic uint64_t pinned;
    uint64_t most_pinned;
    uint64_t most_epochs; /* each takes three */

    struct live_wal wal;

    _Atomic uint64_t writes, saved, kept, raced, freeze_us;
};

/* What is open of one node. */
struct opened {
    struct opened *prev, *next; /* `opening` */
    struct livedir *live;
    struct node *node;       /* changes of it: `tree` */
    unsigned handles;        /* `opening` */
    pthread_rwlock_t resize; /* calls share it; truncation has it alone, and only it changes what
                                follows. Taken before `tree` */
    int fd;
    bool writable;
    bool exempt;
    bool in_wal; /* a file in pg_wal */
    uint64_t id;
    uint64_t born;
    struct grip *_Atomic grip; /* changed under the past's `touching` */
    struct past *past;         /* NULL until it is needed; under `opening`, or resize alone */
    atomic_bool written;       /* since the keeper last looked */
    unsigned round;            /* `opening`: when it was written back */
    atomic_bool renamed;       /* another file took its place, and the directory was not synced */
};

/* Of that epoch, read once: it, if changes are saved in it. */
static inline struct epoch *live_if_saving(struct epoch *newest)
{
    return newest && atomic_load(&newest->saving) ? newest : NULL;
}

/* The newest epoch, when changes are saved in it. Read once for all steps of a change, under its
 * lock, within a phase. */
static inline struct epoch *live_saving(struct livedir *l)
{
    return live_if_saving(atomic_load(&l->newest));
}

/* Some freeze sees what was made when `born` was the newest. */
static inline bool live_is_seen(const struct epoch *e, bool exempt, uint64_t born)
{
    return e && !exempt && born < e->number;
}

/* ---- freeze.c ---- */

/* What a freeze needs could not be saved: all are given up, and from its return on nothing is saved
 * any more. Within a phase; any lock but `list`. */
void live_fail(struct livedir *l, int rc, const char *what);

/* All freezes are given up if somebody else changed the data directory, and none is made any more:
 * -ESTALE. */
int live_watch_others(struct livedir *l);

/* The epochs of a number, or in order; held, NULL: none. */
struct epoch *live_epoch(struct livedir *l, uint64_t number);
void live_append_epoch(struct livedir *l, struct epoch *e);
void live_remove_epoch(struct livedir *l, struct epoch *e);

/* Whether some freeze is wanted: else the newest epoch saves nothing any more. `list` is locked. */
void live_update_saving(struct livedir *l);

/* Work for the keeper. */
void live_wake(struct livedir *l);

/* An epoch for the next freeze. `making` is locked. */
int live_prepare(struct livedir *l, struct err *err);

/* ---- livefile.c ---- */

/* Attributes of a node, by its open file or its path. The tree is locked. */
int live_stat_node(struct livedir *l, struct node *n, struct live_node *out);

/* One more handle of the node. The tree is locked. fd: it is open already (or -1), and closed on
 * failure. */
int live_open_node(struct livedir *l, struct node *n, int flags, int fd, struct livefile **f);

/* Old files of epochs in which nothing is saved any more are not held for open files. */
void live_let_go(struct livedir *l);

/* Whoever was written: the kernel begins to write it back. */
void live_write_back(struct livedir *l);

/* ---- note.c ---- */

/* The name's present meaning is noted in the epoch, unless it is already, with the birth of `born`
 * (0: none). The tree is locked for writing. */
int live_note_name(struct livedir *l, struct epoch *e, const struct node *dir, const char *name,
                   uint64_t born);

/* ---- spaces.c: the tree is locked, for writing, but where another word stands ---- */

struct live_space {
    int fd;      /* its directory */
    uint64_t id; /* its inode number */
    char path[PATH_MAX];
};

/* Where a link that is to be made would lead to; or why it must not be made, in words. The tree is
 * not locked. */
int live_find_space(const struct livedir *l, const char *oid, const char *target,
                    struct live_space *s, struct err *err);
void live_close_space(struct live_space *s);

/* What there is of it is noted in the epoch. */
int live_note_space(struct livedir *l, struct epoch *e, const char *oid);

/* It is among the names from now on, with all that is in it; or it lingers there already. */
int live_add_space(struct livedir *l, const char *oid, const struct live_space *s, uint64_t born,
                   struct err *err);

/* Its link goes, or is there again. One that is empty does not linger. */
void live_set_lingering(struct livedir *l, struct node *space, bool lingers);

/* A tablespace's link: where it leads to, as it is shown. The tree is locked. */
bool live_space_target(const struct livedir *l, const struct node *link, char target[PATH_MAX]);

/* At the start: those that the links of the data directory lead to. */
int live_read_spaces(struct livedir *l, const char *data, struct err *err);

/* ---- seen.c ---- */

/* Before anything in the data directory is changed. */
void live_changes(struct livedir *l);

/* Around a change of a name in `dir`, which may be the data directory itself. The tree is locked for
 * writing. */
void live_root_changes(struct livedir *l, const struct node *dir);
void live_root_changed(struct livedir *l);

int live_note_root(struct livedir *l); /* what there is now is what was seen */
int live_note_end(struct livedir *l);  /* and we change nothing any more */
void live_note_lingering(struct livedir *l);

/* The number may be given from now on, also if the operating system crashes. `making` is locked. */
int live_reserve(struct livedir *l, uint64_t number);

/* Whether somebody else has changed a name in the data directory while it was served. */
bool live_is_changed_past(struct livedir *l);

/* NULL: nobody has changed anything since the process that served it last; or what was. crashed: the
 * operating system ended meanwhile, and what reached the disk may be older. */
const char *live_changed(struct livedir *l, bool crashed);

/* ---- walfiles.c ---- */

/* pg_wal, when it is a directory here. */
bool live_is_wal_dir(const struct node *d);

int live_wal_open(struct livedir *l, struct err *err);

/* Around a call that takes a segment's name, or links it, before the tree is locked and after; what
 * is no segment is left alone. again: its new name, by which it is to be written over; NULL: none. */
void live_wal_begin(struct livedir *l, struct wal_leaving *g, uint64_t dir, const char *name,
                    const char *again);
void live_wal_begin_link(struct livedir *l, struct wal_leaving *g, uint64_t number,
                         const char *again);
void live_wal_end(struct livedir *l, struct wal_leaving *g);

/* In between, with the tree locked for writing. true: `path`, the new name, is another file. */
bool live_wal_give_spare(struct livedir *l, struct wal_leaving *g, const struct node *n,
                         const char *path);
/* true: `path`, its name, has gone, and the file is kept. */
bool live_wal_keep(struct livedir *l, struct wal_leaving *g, const struct node *n,
                   const char *path);
/* `path` is the file itself under its new name: whoever has a link loses it. */
void live_wal_used_again(struct livedir *l, const struct wal_leaving *g, const char *path);

/* The disk is full: what is kept goes, as far as needed. false: that does not suffice. */
bool live_wal_shed(struct livedir *l);
bool live_wal_shed_one(struct livedir *l); /* the oldest; false: there is none */

/* ---- tidy.c ---- */

/* Storage of what was dropped or given up. */
int live_tidy(struct livedir *l);

/* ---- room.c ---- */

/* The oldest freezes are given up while the epochs take more than they may. */
void live_watch_space(struct livedir *l);

/* A call of the server found the disk full: the oldest log that is kept goes, or the oldest freeze.
 * true: try again. Outside of a phase, without a lock. */
struct room_made { /* during one call; zero at first */
    unsigned rounds;
    bool settled;
};
bool live_make_room(struct livedir *l, struct room_made *m);

/* ---- for tests: called between the steps of a change, where a delay is harmless ---- */

extern void (*_Atomic livedir_test_step)(const char *where); /* NULL but in tests */

static inline void live_step(const char *where)
{
    void (*step)(const char *) = atomic_load_explicit(&livedir_test_step, memory_order_acquire);

    if (step)
        step(where);
}

#endif
