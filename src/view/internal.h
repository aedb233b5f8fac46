/* What the files of view/ share. Not to be included from other rooms. */
#ifndef ASOFS_VIEW_INTERNAL_H
#define ASOFS_VIEW_INTERNAL_H

#include "common/buf.h"
#include "common/progress.h"
#include "extract/coordinator.h"
#include "view/live.h"

struct view {
    const struct view_request *req; /* borrowed */
    struct pg_target target;
    struct pg_conn *leader;         /* NULL once released */
    struct pg_server server;
    char *source;                   /* "dbname@host" */
    struct pg_catalog *catalog;
    struct pg_moment moment;
    struct plan plan;
    struct tree tree;
    struct pg_dump dump;
    struct coordinator *coordinator;
    struct buf meta[META_FILES];
    struct progress progress;
    int64_t started, frozen, extracted; /* clock_ms of the steps */
};

#endif
