/* What loading.c, crews.c and publish.c share. */
#ifndef ASOFS_LOAD_INTERNAL_H
#define ASOFS_LOAD_INTERNAL_H

#include "common/crew.h"
#include "extract/guest.h"
#include "load/gate.h"
#include "load/loading.h"
#include "pg/shadow.h"
#include "pg/snaptable.h"

struct table_work {
    char *clear_sql;
    char *first_copy_sql, *copy_sql; /* of the first part, which may have a header; of the others */
    char *drop;                      /* load/part.h */
    enum pg_format format;
    bool portable;        /* the binary form of its columns means the same on both sides */
    bool *skip;           /* with request.direct: columns that are not extracted */
    bool referred_to;     /* by foreign keys of listed tables */
    uint32_t first_chunk; /* its number, and that of its first part in `parts` */
    size_t *steps;        /* numbers in loading.steps */
    size_t nsteps, steps_room;
    uint64_t rows, expected;
    bool is_expected;  /* `expected` is known */
    bool told;         /* that it is loaded */
    char checksum[17]; /* that was noted; or "" */
};

struct part_place {
    int fd; /* borrowed; -1: to be opened */
    uint64_t offset, len, rows, checksum;
    bool told;      /* that it is complete */
    bool loaded;    /* its bytes need not be there any more */
    uint64_t lines; /* of it, when loaded; 0: not known */
};

struct loading {
    struct loading_request req;
    struct pg_target target;
    struct pg_conn *conn; /* holds the name of the copy */
    struct pg_server server;
    const struct load_list *list;
    struct pg_snaptable *tables; /* as the list */
    struct table_work *work;     /* as the list */
    struct part_place *parts;
    size_t nparts;
    int64_t run;
    const char *lc_monetary;    /* of the sessions that load; NULL: as it is there */
    struct pg_shadows *shadows; /* NULL: in place */
    struct pg_shadow_job *steps;
    size_t nsteps;
    struct gate *gate;
    struct extract_direct direct; /* with request.direct, as its tables */
    struct extract_direct_table *direct_tables;
    bool shared;    /* others may join */
    uint32_t *shut; /* then: tables that they may not load into yet */
    size_t nshut;
    struct crew deleters, loaders;
    struct gate_job *jobs;  /* in work: of each deleter, then of each loader */
    int *files;             /* as jobs: opened for it, or -1 */
    struct gate_job *freed; /* loaded, and loading_freed has not named them */
    size_t nfreed, freed_room;
    bool left_something; /* there may be shadows */
    bool labelled;       /* in place: the old copy is not current any more */
    bool published;
    int64_t started; /* clock_ms */
    size_t ntables_loaded;
    uint64_t rows_loaded, bytes_loaded, bytes_told;
};

/* crews.c: who does what, and what comes of it */
void loading_make_crews(struct loading *l);
int loading_job_done(struct loading *l, const struct gate_job *job, uint64_t rows, uint64_t bytes,
                     struct err *err);

/* forms.c: refuses what would be another value there, and finds lc_monetary of the sessions that
 * load, and which tables are portable. After pg_snaptable_check. */
int loading_check_forms(struct loading *l, struct err *err);

/* direct.c: what stands in place of files, when the statements are made. */
void loading_make_direct(struct loading *l);
int loading_open_shared(struct loading *l, struct err *err); /* tables that are open by now */

/* publish.c: the state of the copy as readers see it */
int loading_label(struct loading *l, const char *state, struct err *err);

/* objects.c: LOADING_OBJECTS */
int loading_objects_open(struct loading *l, struct err *err);
int loading_objects_begin(struct loading *l, struct err *err);
/* What is of no copy that is current goes. */
void loading_objects_end(struct loading *l);

#endif
