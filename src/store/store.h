/*
 * store/: what is kept, and where: bases, views and the shipped log of one cluster. It knows how
 * PostgreSQL writes its log, but speaks to no server, starts no process and no thread. May be called
 * from replay/, base/, view/ and cmd/; calls pages/ and common/ (and jansson, for the descriptions).
 *
 * A struct store is for one thread at a time; processes keep out of each other's way by the locks
 * below.
 *
 * STORE/ on disk:
 *
 *   store.json                format version, page size, and whose cluster it is
 *   lock                      held (flock) while the store itself is changed
 *   log/                      the shipped log (wal.h), where it does not lie elsewhere
 *   base/<id>/base.json       where the base's directory is, or on which base it is a layer; facts
 *   base/<id>/files           manifest, of a directory or a frozen tree (manifest.h)
 *   base/<id>/data/           the directory itself, of a base that was made here
 *   base/<id>/making          held (flock) while the base is being made; gone when it is complete
 *   base/<id>/                a layer, of a base that is one            (layer.h)
 *   view/<name>/view.json     base (and view) below it, state, facts
 *   view/<name>/              a layer                                   (layer.h)
 *   epoch/<n>/                what is kept of a live base's past        (live/)
 *   epoch/daemon              where it is served, a line, of who serves it; gone when nobody does
 *   freezing                  held (flock) while a freeze becomes a base, or ceases to be one
 *   advancing                 held (flock) while a base is advanced into a layer
 *   taking                    held (flock) while bases are taken, adopted, or all dropped
 *
 * <id> is a number, counted up; a layer's is larger than that of the base below it. What is not yet
 * complete, or no longer wanted, has another name (base/<id>.new, base/<id>.old, view/.<name>…) or
 * the file "making" that nobody holds, and is cleared by the next change of the store.
 *
 * JSON files are written beside and renamed. Directories are 0700. Unknown format versions are
 * refused.
 */
#ifndef ASOFS_STORE_STORE_H
#define ASOFS_STORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/err.h"
#include "pages/datadir.h"

#define STORE_FILE "store.json" /* its description; no directory without it is a store */
#define STORE_FORMAT 1
#define STORE_NAME_MAX 63

struct store;

int store_create(const char *path, struct err *err); /* path is missing or an empty directory */
int store_open(const char *path, struct store **s, struct err *err);
void store_close(struct store *s);
bool store_is(const char *path); /* a directory with a store.json */

const char *store_path(const struct store *s); /* absolute */

/* ---- whose cluster it is: kept for the rooms above, not understood ---- */

struct store_cluster {
    uint64_t system_identifier;
    uint32_t major;         /* 15 */
    uint32_t segment_bytes; /* of the log: a power of two, 1 MiB to 1 GiB */
    char *conninfo;         /* where the log comes from, without secrets; NULL: nowhere */
    char *slot;             /* NULL: none */
    /* LSN; 0: the slot is there, and the store's. Else it is to be made, beginning there: what has
     * its name and begins elsewhere is somebody else's. */
    uint64_t slot_mark;
    char *log;             /* absolute: the directory of the log; NULL: STORE/log */
    char *restore_command; /* NULL: none */
};

/* NULL until it was set. Owned by the store, as it was when that was opened or last set. */
const struct store_cluster *store_cluster(const struct store *s);

/* NULL: nothing is known again. Everything is copied. Refuses (-EINVAL), both named, another system identifier, major version or
 * segment size than those that are known. */
int store_set_cluster(struct store *s, const struct store_cluster *c, struct err *err);

/* Who takes, adopts or drops bases, and so sets it, is alone with that until *fd is closed. Never
 * waits: -EBUSY. */
int store_lock_cluster(struct store *s, int *fd, struct err *err);

/* Whether it may be set so, before work that takes long. */
int store_check_cluster(const struct store *s, const struct store_cluster *c, struct err *err);

/* The directory of the log, absolute. It need not exist. */
const char *store_wal_directory(const struct store *s);

/* ---- bases ---- */

/* Times in a store are from 1970 to 2262, so that they can be had in nanoseconds too: seconds. What
 * a clock says that is further out is kept as not known, and read from a file refused. */
#define STORE_TIME_MAX (INT64_MAX / 1000000000)

/* From when on the log makes a base into moments that can be shown. LSNs and seconds since 1970. */
struct store_base_facts {
    uint64_t start_lsn;      /* redo point: replay begins here */
    uint64_t consistent_lsn; /* earliest moment that can be shown; 0: only replay can tell */
    int64_t start_time;      /* 0: not known, as below */
    int64_t consistent_time;
    uint32_t timeline;
    bool plain; /* store add-base: nothing is known */
};

/* Adopt a directory in place. f: what is known of it, or NULL. *id: "1", "2", …; freed by the
 * caller. */
int store_add_base(struct store *s, const char *directory, const struct store_base_facts *f,
                   char **id, struct err *err);

/* A base that is made here, in STORE/base/<id>/. Nobody sees it before it is complete; what a
 * process leaves behind that ends before is cleared. */
struct store_making;
int store_begin_base(struct store *s, struct store_making **m, struct err *err);
const char *store_making_path(const struct store_making *m); /* absolute, an empty directory */
/* The directory is <path>/data, its tablespaces may lie beside it below <path>, and all of it is on
 * the disk. Frees m also on failure, which leaves nothing. */
int store_finish_base(struct store_making *m, const struct store_base_facts *f, char **id,
                      struct err *err);
void store_abandon_base(struct store_making *m); /* removed; NULL is fine */

/*
 * A view that nobody serves, closed and on the disk, becomes a layer on the base that it stands on:
 * a base with an id of its own. It is a view no more. On failure it still is one, or is gone.
 */
int store_finish_layer(struct store *s, const char *view, const struct store_base_facts *f,
                       char **id, struct err *err);

int store_base_facts(struct store *s, const char *id, struct store_base_facts *f, struct err *err);

/*
 * A base whose directory was copied or moved, with the store or without it: names, types and sizes
 * are compared, `prove` vouches for the contents (or returns a negative errno), and from then on
 * the files as they are now are the base. 1: so it is; 0: it is as it was, or a layer. Links to
 * tablespaces that lie in the store are made to lead there.
 */
struct store_rebased {
    const struct manifest *was, *now; /* the same entries */
    struct disk *disk;                /* of the directory */
};
int store_rebase_base(struct store *s, const char *id,
                      int (*prove)(void *arg, const struct store_rebased *r, struct err *err),
                      void *arg, struct err *err);

/*
 * A live base: a data directory that a server writes while asofs serves it, one in a store. It is not
 * read itself. What is: its freezes, each a base of its own once it was added, whose directory is a tree
 * that is there only while the live base is served.
 */
struct store_live {
    char *id, *directory; /* absolute */
    char *mount; /* where it is served, or was when its daemon was killed; NULL: it is not */
};

/* A stopped cluster, adopted in place. -EEXIST: the store has one. */
int store_add_live(struct store *s, const char *directory, char **id, struct err *err);

/* 1: there it is, to be freed; 0: there is none, and *l is empty. */
int store_find_live(struct store *s, struct store_live *l, struct err *err);
/* Without `mount`: who serves is not asked, and may not answer. */
int store_find_live_base(struct store *s, struct store_live *l, struct err *err);
void store_live_free(struct store_live *l);

/* A process serves from this store now. Where one was killed, its mount point may be another's since. */
bool store_is_served(const struct store *s);
bool store_is_served_at(const char *path); /* which may be no store */

/* Which store's freezes are shown, as who serves them says in status.json ("epochs"): freed by the caller;
 * NULL: it has none. */
char *store_epochs_id(const char *store);
bool store_is_shown(const char *store, const char *mount); /* false: something else is, by now */

/* What whoever serves says in status.json, to be released by the caller; NULL: nothing that can be read,
 * with the cause in *why (may be NULL) if it is no JSON. 0, or -errno: it cannot be opened. */
int store_read_status(const char *mount, json_t **status, json_error_t *why);

struct store_freeze {
    uint64_t number;
    const char *view; /* a view that it was made for alone, and goes with; NULL: it stays */
    bool rung;        /* one of many, made at a pace: it may go when there are enough later ones */
};

#define STORE_FREEZES ".asofs/frozen" /* below the mount: a directory for each freeze, by number */
char *store_freeze_path(const struct store_live *l, uint64_t number); /* freed by the caller */

/* The number that its next freeze will have, as who serves it says. -ENOENT, -ENOTCONN: nobody does. */
int store_next_freeze(const struct store_live *l, uint64_t *number);

/* A freeze of the live base, which is served, becomes a base; its tree is walked. */
int store_add_frozen(struct store *s, const struct store_freeze *z,
                     const struct store_base_facts *f, char **id, struct err *err);

/* 1: the base is a freeze, of that number, made for *view alone (freed by the caller; NULL: it
 * stays); 0: it is of another kind. */
int store_is_frozen(struct store *s, const char *id, uint64_t *number, char **view,
                    struct err *err);

/* The base is a freeze that was given up, as who serves it says: nothing can be shown from it. */
bool store_is_lost(struct store *s, const char *id);
/* The base is a freeze that is a rung; what is not understood is none. */
bool store_is_rung(struct store *s, const char *id);

/* Waits until no other process freezes or drops a freeze; ended by closing *fd. */
int store_lock_freezes(struct store *s, int *fd, struct err *err);

/* -EBUSY, by name: a view, a layer or a freeze stands on it. A directory that was adopted stays. */
int store_drop_base(struct store *s, const char *id, struct err *err);

/* Names of bases (without the live one) and views, NULL-terminated, sorted (bases: oldest first); freed
 * with store_names_free. */
int store_bases(struct store *s, char ***ids, struct err *err);
int store_views(struct store *s, char ***names, struct err *err);
bool store_has_base(struct store *s, const char *id); /* still; bases are dropped */
void store_names_free(char **names);

/*
 * A new view of a base (NULL: the newest), or, "view/<name>", over another view, which must be
 * complete and stand on a base itself: it is the layer below, and is not written. A name is 1 to 63
 * letters, digits, "_", "-" and ".", not beginning with ".".
 */
int store_create_view(struct store *s, const char *name, const char *base,
                      const char *const *hidden, struct err *err);
bool store_has_view(struct store *s, const char *name);
/* -EINVAL: it cannot be the name of a view. Whoever makes a path of one has it looked at before. */
int store_check_view_name(const char *name, struct err *err);
/* -EBUSY: in use, or another view stands on it */
int store_drop_view(struct store *s, const char *name, struct err *err);

/* What a view shows. */
struct store_view_facts {
    bool complete;     /* the moment is reached and on the disk: the view is not written any more */
    char *target;      /* in words: "time 2026-11-16 08:00:00+00"; NULL: a view that just is open */
    uint64_t lsn;      /* the split point; 0: not known (yet) */
    int64_t time_us;   /* since 1970, of the last commit shown; 0: not known */
    uint32_t timeline; /* 0: not known */
};

/* The caller holds the view, or nobody else has it yet. Whoever says complete has called
 * datadir_complete and closed it. */
int store_set_view_facts(struct store *s, const char *name, const struct store_view_facts *f,
                         struct err *err);
int store_view_facts(struct store *s, const char *name, struct store_view_facts *f,
                     struct err *err);
void store_view_facts_free(struct store_view_facts *f);

/*
 * A note: bytes that are remembered of a complete view, beside what it shows (view/<view>/notes/<name>), until it is
 * dropped. Whoever cannot read one can do without. Replaced as a whole, or as it was; when somebody else is
 * writing one of this view, nothing is written.
 */
int store_write_note(struct store *s, const char *view, const char *name, const void *bytes,
                     size_t len, struct err *err);
/* *bytes is freed by the caller. -ENOENT: there is none; -EINVAL: it is damaged, or of another version. */
int store_read_note(struct store *s, const char *view, const char *name, char **bytes, size_t *len,
                    struct err *err);

enum { STORE_READ_ONLY = 1, STORE_DURABLE = 2, STORE_NO_BASE_CHECK = 4 };

/* A view of a store, open. Its parts live as long as it. -EBUSY: another process serves it.
 * -EROFS: it is complete, and only read. */
struct store_view;
int store_open_view(struct store *s, const char *name, unsigned flags,
                    void (*complain)(void *arg, const char *text), void *arg, struct store_view **v,
                    struct datadir_recovery *recovery, struct err *err);
struct datadir *store_view_datadir(struct store_view *v);
const struct stat *store_view_root(struct store_view *v); /* the base's directory: owner, mode */
const struct store_base *store_view_base(struct store_view *v);
int store_close_view(struct store_view *v, struct err *err);

/* ---- parts, for looking inside ---- */

/* A base, resolved: the directory that it stands on, and the layers above that. */
struct store_base {
    char *id;           /* as asked for */
    char *directory_id; /* the base that is the directory */
    char *directory;    /* absolute */
    bool is_frozen;     /* that is the tree of a freeze */
    struct stat root;
    struct disk *disk; /* of the directory */
    struct manifest *manifest;
    unsigned n_layers;                   /* fewer than DATADIR_LAYERS: a view comes on top */
    char *layer_ids[DATADIR_LAYERS];     /* the id of a base, or "view/<name>" */
    struct disk *layers[DATADIR_LAYERS]; /* oldest first */
};

/* Refuses a parent that is missing or not older, and too many layers. The files of the directory
 * are not compared with the manifest. On failure *b is empty. */
int store_open_base(struct store *s, const char *id, struct store_base *b, struct err *err);
void store_close_base(struct store_base *b);

/* All that lies below a view: its base, and the view that it stands on, if any. */
int store_open_below_view(struct store *s, const char *name, struct store_base *b, struct err *err);

/* The base that a view stands on, as view.json says; freed by the caller. */
int store_read_view(struct store *s, const char *name, char **base, struct err *err);

/* The directory of a view or base. */
int store_view_disk(struct store *s, const char *name, struct disk **d, struct err *err);

/* Lock a view against writers, and with `exclusive` against everybody. Never waits: -EBUSY. The
 * lock ends when *fd is closed (in every process that has it). */
int store_lock_view(struct store *s, const char *name, bool exclusive, int *fd, struct err *err);

/* 1: somebody writes it now. */
int store_view_in_use(struct store *s, const char *name, struct err *err);

/* ---- descriptions ---- */

enum store_description_type { STORE_JSON, BASE_JSON, VIEW_JSON };

/* Integers and texts as the keys of the same names. What may be missing is 0 or NULL then; LSNs are
 * texts. */
struct store_description {
    int64_t format;
    /* store.json; after page_bytes all may be missing, the first three together */
    int64_t page_bytes;
    char *system_identifier; /* decimal */
    int64_t major, segment_bytes;
    char *conninfo, *slot, *log, *restore_command;
    char *slot_mark; /* an LSN; only with slot */
    /* base.json */
    char *kind; /* "directory", "layer", "live" or "frozen" */
    char *path; /* of a directory and a live one, absolute */
    char *live; /* of a frozen one: the id of the live one */
    int64_t epoch;
    char *view;   /* of a frozen one: for which it was made; may be missing */
    int64_t rung; /* of a frozen one: 1, or missing */
    char
        *parent; /* of a layer: the id of the base below it. view.json: "view/<name>", or missing */
    char *start_lsn, *consistent_lsn;    /* may be missing; the others only with start_lsn */
    int64_t start_time, consistent_time; /* may be missing */
    /* view.json */
    char *base;
    char *state;        /* "open", "replaying" or "complete" */
    char *target, *lsn; /* may be missing, as may what follows */
    int64_t time_us;
    int64_t timeline; /* base.json, view.json: may be missing */
};

/* Read a description from its bytes; `file` is what messages call it. Refuses keys that are
 * missing, of another type or unknown, and values that cannot be, each by name. On failure *d is
 * empty. */
int store_parse(enum store_description_type type, const char *bytes, size_t len, const char *file,
                struct store_description *d, struct err *err);
void store_description_free(struct store_description *d);

#endif
