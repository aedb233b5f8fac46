/*
 * From which base a moment is reached: the newest that is early enough, is there (a freeze may have
 * been given up, or not be served now: that is noted), and is not on a branch that was left; and how
 * far the log leads from it. What a command fetches is not looked at.
 */
#ifndef ASOFS_REPLAY_CHOICE_H
#define ASOFS_REPLAY_CHOICE_H

#include "replay/moment.h"
#include "replay/pagewal.h"

struct choice_request {
    struct store *store;
    const struct moment *moment;
    const char *log, *restore_command; /* pagewal_read() */
    const char *only; /* the base that it is reached from, whatever others there are; NULL: any */
};

struct choice {
    struct store *store;         /* borrowed, as is the moment */
    const struct moment *moment; /* that is asked for */
    char **ids;
    struct moment_base *bases; /* oldest first; after them those on branches that were left */
    unsigned n_bases, n_left, base;
    struct pagewal log;
    struct wal_list all; /* the log, with what the base that was chosen has itself */
    char *own;           /* its pg_wal */
    bool gap;            /* `all` ends where a segment is missing that a freeze has cut */
    struct wal_segment missing, there;
    struct wal_reach reach; /* from that base */
    const char *lost;       /* a freeze that was given up, and is early enough; NULL: none */
};

/* -ERANGE, -ENOENT: there is no such base, or the log does not reach the moment. -ESTALE, -ENOTCONN:
 * there is only what is not there now. On failure too
 * choice_free is next. What the request names is borrowed until then. */
int choice_make(struct choice *c, const struct choice_request *req, struct err *err);

/* 1: the next older base that is early enough; 0: there is none. -errno: as choice_make. */
int choice_make_older(struct choice *c, struct err *err);

const struct moment_base *choice_base(const struct choice *c);

/* The log from the base that was chosen up to what begins at `before`. */
struct wal_way choice_way(const struct choice *c, uint64_t before);

void choice_free(struct choice *c);

#endif
