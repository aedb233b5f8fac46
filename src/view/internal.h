/* What the files of view/ share. Not to be included from other rooms. */
#ifndef ASOFS_VIEW_INTERNAL_H
#define ASOFS_VIEW_INTERNAL_H

#include <pthread.h>

#include "common/buf.h"
#include "common/progress.h"
#include "extract/coordinator.h"
#include "view/snapshot.h"

struct cluster; /* cluster.h */

struct view {
    struct cluster *cluster; /* a view of several databases: but for source and tree nothing of the
                                rest is used */
    const struct view_request *req; /* borrowed */
    struct pg_target target;
    struct pg_conn *leader; /* NULL once released */
    struct pg_server server;
    const char *encoding; /* of the files */
    char *source;         /* "dbname@host" */
    struct pg_catalog *catalog;
    struct pg_moment moment;
    struct plan plan;
    struct tree tree;
    struct pg_dump dump;
    struct crew *crew;
    struct coordinator *coordinator;
    struct progress progress;
    int64_t started, locked, frozen; /* clock_ms: begin, first lock, snapshot */
    void (*settled)(void *arg);
    void *settled_arg;

    bool threaded; /* extraction runs in `thread` */
    pthread_t thread;
    int halt_fd; /* eventfd that stops it; -1 without */

    pthread_mutex_t lock; /* protects the two below */
    bool reported;        /* the texts below are final */
    struct buf meta[META_FILES];
};

/* Of a cluster: the view that *node belongs to, and its number there. */
struct view *cluster_member(const struct view *v, uint32_t *node);
struct view *cluster_first(const struct view *v);
void cluster_free(struct view *v);

/* The view that answers for a node, whose number there is *node afterwards. */
static inline struct view *view_of_node(const struct view *v, uint32_t *node)
{
    return v->cluster ? cluster_member(v, node) : (struct view *)(uintptr_t)v;
}

static inline struct results *view_results(const struct view *v)
{
    return coordinator_results(v->coordinator);
}

#endif
