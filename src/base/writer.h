/*
 * Who writes a store: the commands that make, follow and drop bases open it through here.
 *
 * PostgreSQL's programs never run as root, and what they write must be theirs. So root becomes the
 * owner of the store (or --run-as) for everything that is done to bases, connections included; that
 * he was root is kept only to make the store's directory in a place of root's, and to remove it
 * again. The whole process changes, and does not change back.
 */
#ifndef ASOFS_BASE_WRITER_H
#define ASOFS_BASE_WRITER_H

#include "pg/programs.h"
#include "store/store.h"

struct writer {
    const char *path;          /* of the store; borrowed, as is: */
    const char *run_as;        /* NULL: the owner of the store, or postgres */
    struct pg_identity who;    /* what PostgreSQL's programs are to be run as */
    struct pg_identity became; /* of who was root: who that is now */
    struct store *store;       /* open, until writer_close; NULL: not yet */
    bool made_directory;       /* by us */
    bool fresh;                /* the store was made by us */
};

/*
 * Open the store at w->path as who writes it. needs_programs: PostgreSQL's programs will be run, so
 * it cannot be root, and a store of root's is given to him who it is; otherwise root stays root in
 * a store of its own. writer_close is due also after a failure.
 */
int writer_open(struct writer *w, bool needs_programs, struct err *err);

/* The same with needs_programs; the store is made when there is none. */
int writer_open_or_make(struct writer *w, struct err *err);

/* rc: what came of it; negative: a store that was made here is removed. Who was root has nothing
 * left of it afterwards. */
void writer_close(struct writer *w, int rc);

#endif
