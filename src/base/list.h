/*
 * What a store holds, as facts: its bases, from which moment to which each can be mounted, its log
 * with the gaps, and what the server keeps for it (asofs base list).
 */
#ifndef ASOFS_BASE_LIST_H
#define ASOFS_BASE_LIST_H

#include "store/wal.h"
#include "store/store.h"

struct base_listed {
    char *id;
    char *error;     /* why it cannot be opened: nothing else of it is known then; or NULL */
    char *below;     /* the id of the base that it is a layer on; NULL: it is none */
    char *directory; /* that it stands on */
    struct store_base_facts facts;
    /* The log of it, with what its own pg_wal has, goes as far as wal_end without a gap; if not as
     * far as its first moment, `missing` is the segment that it ends at. */
    uint64_t wal_end;     /* LSN; 0: as `missing` says */
    int64_t wal_end_time; /* the last time that can be mounted, seconds since 1970; 0: none yet */
    char missing[25];
    uint64_t freeze; /* the number of the freeze that it is; 0: it is none */
    int64_t
        frozen_at; /* of a freeze: seconds since 1970; 0: not known, as the live base is not served */
    char *made_for;  /* of a freeze: the view that it goes with; NULL: it stays */
    bool rung;       /* of a freeze: it goes when there are enough later ones */
    bool kept_known; /* of a freeze: the live base is served, and says how much is kept since it */
    uint64_t kept;   /* bytes, until the next freeze */
    uint32_t left_for; /* the timeline that went another way: nothing can be mounted; 0: none */
};

struct wal_gap {
    char first[25], last[25]; /* segments that are missing */
};

struct base_list {
    struct store_live live;    /* empty: there is none */
    struct base_listed *bases; /* oldest first */
    size_t n;
    bool of_cluster;  /* false: none is known yet, and what follows is empty */
    char *log;        /* the directory */
    size_t segments;  /* in it */
    uint64_t bytes;   /* of them, each as a whole one */
    int64_t received; /* the time of the newest file, which proves nothing; 0: there is none */
    struct wal_gap *gaps;
    size_t n_gaps;
    char *restore_command; /* NULL: none */
    char *conninfo, *slot; /* NULL: none */
};

/*
 * Root becomes the owner of the store for good (writer.h), and stays root where that is root. A
 * base that cannot be opened is no failure. The list is to be freed in any case.
 */
int base_list_read(const char *store, const char *run_as, struct base_list *l, struct err *err);
void base_list_free(struct base_list *l);

struct slot_listed {
    uint64_t retained; /* bytes of log that the server keeps for it */
    bool active;       /* somebody receives it */
};

/* Ask the server; it may be away, which takes some seconds. Only of a list with a slot. */
int base_list_slot(const struct base_list *l, struct slot_listed *slot, struct err *err);

#endif
