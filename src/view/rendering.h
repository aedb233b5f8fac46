/*
 * What of a page view is rendered straight from its frozen pages (render/), in threads of its own:
 * each table is measured once, when somebody asks for its size, and from then on read at any place,
 * by any thread that has entered as the owner of the store.
 *
 *   rendering_new → rendering_add … → rendering_begin → rendering_prefer … → rendering_stop
 *   → rendering_free
 *
 * What becomes of a table is told in the results of its snapshot (extract/result.h).
 */
#ifndef ASOFS_VIEW_RENDERING_H
#define ASOFS_VIEW_RENDERING_H

#include "common/err.h"
#include "pages/datadir.h"
#include "pg/control.h"
#include "view/lengths.h"

struct pg_identity;
struct rendering;
struct snapshot;

/*
 * Does it pay to render tables of so many bytes, in place of copying them, where a server would first
 * have to make a checkpoint of so many bytes of replayed log? 0: there is none to be made.
 */
bool rendering_pays(uint64_t bytes, uint64_t replayed);

struct rendering_request {
    struct datadir *pages; /* borrowed until rendering_free */
    const struct pg_control *control;
    const struct pg_identity *as; /* borrowed too: who the threads have entered as */
    unsigned threads;
    uint64_t memory; /* bytes that may be taken to keep text that was rendered to measure it */
    const struct lengths_notes *notes; /* what is measured is remembered there; NULL: nowhere */
};

struct rendering *rendering_new(const struct rendering_request *q);
void rendering_free(struct rendering *r); /* stopped first; NULL is fine */

/* What is rendered of one more snapshot, which outlives r; its number is that of the call, from 0. */
void rendering_add(struct rendering *r, struct snapshot *s);

/* A table of that snapshot; NULL: it is copied. For who neither measures nor serves it. */
struct rendered;
struct rendered *rendering_table(const struct rendering *r, size_t snapshot, size_t table);

/*
 * The threads begin, which are what the calling thread is; tables of little are measured first,
 * without being asked for. eager: all are, and it returns when they are; -errno: one failed, or
 * stop_fd became readable (-EINTR; -1: none).
 */
int rendering_begin(struct rendering *r, bool eager, int stop_fd, struct err *err);
void rendering_stop(struct rendering *r); /* the threads are gone; NULL is fine */

/* Somebody waits for this table of that snapshot. From any thread. */
void rendering_prefer(struct rendering *r, size_t snapshot, uint32_t table);

#endif
