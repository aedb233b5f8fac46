#define FUSE_USE_VERSION 312

#include "fs/parking.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/mem.h"

enum { ARRIVING, PARKED, INTERRUPTED, LEAVING };

struct parked {
    struct parking *parking;
    fuse_req_t req;
    uint32_t node;
    struct fuse_file_info fi;
    bool is_open;
    int state;
    struct parked *next, **link; /* link: what points at us, while PARKED */
};

struct parking {
    pthread_mutex_t lock; /* protects the list and the state of what is in it */
    struct parked *first;
    bool closed;
    bool (*still_pending)(void *arg, uint32_t node);
    parking_answer answer;
    void *arg;
};

struct parking *parking_new(bool (*still_pending)(void *arg, uint32_t node), parking_answer answer,
                            void *arg)
{
    struct parking *p = mem_alloc(sizeof(*p));

    *p = (struct parking){.still_pending = still_pending, .answer = answer, .arg = arg};
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

static void detach_request(struct parked *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
}

/*
 * Called by libfuse, with the request's lock held, when the waiting program was interrupted;
 * perhaps already from within fuse_req_interrupt_func.
 */
static void on_interrupt(fuse_req_t req, void *arg)
{
    struct parked *w = arg;
    struct parking *p = w->parking;
    bool ours = false;

    pthread_mutex_lock(&p->lock);
    if (w->state == PARKED) {
        detach_request(w);
        ours = true;
    }
    if (w->state != LEAVING)
        w->state = INTERRUPTED; /* if ARRIVING: parking_add sees it */
    pthread_mutex_unlock(&p->lock);
    if (!ours)
        return;
    fuse_reply_err(req, EINTR);
    free(w);
}

/* From here on no interrupt reaches w: this waits for one that is running. */
static void answer_request(struct parking *p, struct parked *w)
{
    fuse_req_interrupt_func(w->req, NULL, NULL);
    p->answer(p->arg, w->req, w->node, &w->fi, w->is_open);
    free(w);
}

static void refuse_request(struct parked *w, int error)
{
    fuse_req_interrupt_func(w->req, NULL, NULL);
    fuse_reply_err(w->req, error);
    free(w);
}

void parking_add(struct parking *p, fuse_req_t req, uint32_t node, const struct fuse_file_info *fi,
                 bool is_open)
{
    struct parked *w = malloc(sizeof(*w));
    int error = 0;

    if (!w) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    *w = (struct parked){.parking = p, .req = req, .node = node, .is_open = is_open};
    if (fi)
        w->fi = *fi;
    fuse_req_interrupt_func(req, on_interrupt, w);
    pthread_mutex_lock(&p->lock);
    error = w->state == INTERRUPTED ? EINTR : p->closed ? EIO : 0;
    if (!error && p->still_pending(p->arg, node)) {
        w->state = PARKED;
        w->next = p->first;
        w->link = &p->first;
        if (w->next)
            w->next->link = &w->next;
        p->first = w;
        pthread_mutex_unlock(&p->lock);
        return; /* from here on it belongs to whoever detaches it */
    }
    w->state = LEAVING;
    pthread_mutex_unlock(&p->lock);
    if (error)
        refuse_request(w, error);
    else
        answer_request(p, w);
}

/* Take out all that are not pending any more (or all). */
static struct parked *take_requests(struct parking *p, bool all)
{
    struct parked *w, *next, *out = NULL;

    pthread_mutex_lock(&p->lock);
    p->closed |= all;
    for (w = p->first; w; w = next) {
        next = w->next;
        if (!all && p->still_pending(p->arg, w->node))
            continue;
        detach_request(w);
        w->state = LEAVING;
        w->next = out;
        out = w;
    }
    pthread_mutex_unlock(&p->lock);
    return out;
}

void parking_settled(void *parking)
{
    struct parking *p = parking;
    struct parked *w = take_requests(p, false), *next;

    for (; w; w = next) {
        next = w->next;
        answer_request(p, w);
    }
}

void parking_close(struct parking *p)
{
    struct parked *w, *next;

    for (w = take_requests(p, true); w; w = next) {
        next = w->next;
        refuse_request(w, EIO);
    }
}

void parking_free(struct parking *p)
{
    pthread_mutex_destroy(&p->lock);
    free(p);
}
