/* Unit tests of fs/parking: each request is answered once, and when. libfuse's part is played here:
 * nothing of it is linked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FUSE_USE_VERSION 312

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fs/parking.h"

#define ANSWERED (-1) /* by parking_answer; else the errno */

struct fuse_req {
    pthread_mutex_t lock; /* held while func runs, as in libfuse */
    fuse_interrupt_func_t func;
    void *data;
    bool interrupted;
    atomic_int answers;
    int what;
    struct fuse_file_info fi; /* of the answer */
    bool is_open;
};

int fuse_reply_err(fuse_req_t req, int error)
{
    req->answers++;
    req->what = error;
    return 0;
}

void fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
    pthread_mutex_lock(&req->lock);
    req->func = func;
    req->data = data;
    if (req->interrupted && func)
        func(req, data);
    pthread_mutex_unlock(&req->lock);
}

static void interrupt(struct fuse_req *req)
{
    pthread_mutex_lock(&req->lock);
    req->interrupted = true;
    if (req->func)
        req->func(req, req->data);
    pthread_mutex_unlock(&req->lock);
}

/* ---- files ---- */

#define MANY 4000

static atomic_bool settled[MANY];

static bool is_pending(void *arg, uint32_t node)
{
    return !((atomic_bool *)arg)[node];
}

static void answer(void *arg, fuse_req_t req, uint32_t node, struct fuse_file_info *fi,
                   bool is_open)
{
    assert_false(is_pending(arg, node));
    req->fi = *fi;
    req->is_open = is_open;
    fuse_reply_err(req, ANSWERED);
}

static struct fuse_req *new_requests(size_t n)
{
    struct fuse_req *r = calloc(n, sizeof(*r));
    size_t i;

    assert_non_null(r);
    for (i = 0; i < n; i++)
        pthread_mutex_init(&r[i].lock, NULL);
    return r;
}

static void assert_waits(const struct fuse_req *r)
{
    assert_int_equal(r->answers, 0);
}

static void assert_answer(const struct fuse_req *r, int what)
{
    assert_int_equal(r->answers, 1);
    assert_int_equal(r->what, what);
}

static struct parking *new_parking(void)
{
    size_t i;

    for (i = 0; i < MANY; i++)
        settled[i] = false;
    return parking_new(is_pending, answer, settled);
}

static void settle(struct parking *p, uint32_t node)
{
    settled[node] = true;
    parking_settled(p);
}

static void settled_at_once(void **state)
{
    struct parking *p = new_parking();
    struct fuse_req *r = new_requests(1);

    (void)state;
    settled[3] = true;
    parking_add(p, r, 3, NULL, false);
    assert_answer(r, ANSWERED);
    assert_false(r->is_open);
    assert_null(r->func);
    parking_settled(p);
    assert_answer(r, ANSWERED);
    parking_free(p);
    free(r);
}

static void waits_for_its_own(void **state)
{
    struct parking *p = new_parking();
    struct fuse_req *r = new_requests(3);
    struct fuse_file_info fi = {.flags = 0x8000};

    (void)state;
    parking_add(p, &r[0], 0, &fi, true);
    parking_add(p, &r[1], 1, NULL, false);
    parking_add(p, &r[2], 1, &fi, true);
    fi.flags = 0; /* the caller's is gone by then */
    settle(p, 2);
    assert_waits(&r[1]);
    settle(p, 1);
    assert_waits(&r[0]);
    assert_answer(&r[1], ANSWERED);
    assert_answer(&r[2], ANSWERED);
    settle(p, 0);
    assert_answer(&r[0], ANSWERED);
    assert_true(r[0].is_open);
    assert_int_equal(r[0].fi.flags, 0x8000);
    assert_null(r[0].func);
    parking_free(p);
    free(r);
}

static void interrupted_while_it_waits(void **state)
{
    struct parking *p = new_parking();
    struct fuse_req *r = new_requests(4);
    size_t i;

    (void)state;
    for (i = 0; i < 4; i++)
        parking_add(p, &r[i], 0, NULL, false);
    interrupt(&r[3]); /* the first of the list, one within, the last */
    interrupt(&r[1]);
    interrupt(&r[0]);
    assert_answer(&r[0], EINTR);
    assert_answer(&r[1], EINTR);
    assert_waits(&r[2]);
    assert_answer(&r[3], EINTR);
    settle(p, 0);
    assert_answer(&r[2], ANSWERED);
    parking_free(p);
    free(r);
}

static void interrupted_before_it_came(void **state)
{
    struct parking *p = new_parking();
    struct fuse_req *r = new_requests(2);

    (void)state;
    r[0].interrupted = r[1].interrupted = true;
    parking_add(p, &r[0], 0, NULL, false);
    assert_answer(&r[0], EINTR);
    settled[1] = true;
    parking_add(p, &r[1], 1, NULL, false); /* nobody waits for this one either */
    assert_answer(&r[1], EINTR);
    settle(p, 0);
    assert_answer(&r[0], EINTR);
    parking_free(p);
    free(r);
}

static void closed(void **state)
{
    struct parking *p = new_parking();
    struct fuse_req *r = new_requests(3);

    (void)state;
    parking_add(p, &r[0], 0, NULL, false);
    parking_add(p, &r[1], 0, NULL, true);
    parking_close(p);
    assert_answer(&r[0], EIO);
    assert_answer(&r[1], EIO);
    parking_add(p, &r[2], 0, NULL, false);
    assert_answer(&r[2], EIO);
    settle(p, 0);
    assert_answer(&r[0], EIO);
    parking_free(p);
    free(r);
}

/* ---- all at once ---- */

struct race {
    struct parking *p;
    struct fuse_req *r;
    atomic_uint added;
};

/* Behind the requests, and a little ahead of them. */
static void *interrupt_each(void *arg)
{
    struct race *race = arg;
    unsigned i;

    for (i = 0; i < MANY; i++) {
        while (race->added + 2 < i)
            sched_yield();
        if (i % 3 != 0)
            interrupt(&race->r[i]);
    }
    return NULL;
}

static void *settle_each(void *arg)
{
    struct race *race = arg;
    unsigned i;

    for (i = 0; i < MANY; i++) {
        while (race->added + 2 < i)
            sched_yield();
        if (i % 4 != 0)
            settle(race->p, i);
    }
    return NULL;
}

static void one_answer_whoever_comes_first(void **state)
{
    struct race race = {.p = new_parking(), .r = new_requests(MANY)};
    pthread_t t[2];
    unsigned i;

    (void)state;
    assert_int_equal(pthread_create(&t[0], NULL, interrupt_each, &race), 0);
    assert_int_equal(pthread_create(&t[1], NULL, settle_each, &race), 0);
    for (i = 0; i < MANY; i++) {
        parking_add(race.p, &race.r[i], i, NULL, false);
        race.added = i + 1;
    }
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    assert_waits(&race.r[0]);
    parking_close(race.p);
    assert_answer(&race.r[0], EIO);
    for (i = 0; i < MANY; i++)
        assert_int_equal(race.r[i].answers, 1);
    parking_free(race.p);
    free(race.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settled_at_once),
        cmocka_unit_test(waits_for_its_own),
        cmocka_unit_test(interrupted_while_it_waits),
        cmocka_unit_test(interrupted_before_it_came),
        cmocka_unit_test(closed),
        cmocka_unit_test(one_answer_whoever_comes_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
