/*
 * common/child and common/crew: children that answer pings. This program is its own child, as asofs
 * is: started with the word of a command, it does that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/proc.h"

#define WORD "ping"
#define NEVER (INT64_MAX / 2)
#define CREW 3
#define JOBS 8

enum { PING = CHILD_OWN, PONG };

/* How a child behaves: the first message says it. */
enum manner { ANSWERS, ENDS, SAYS_LOST, IS_STUCK, BABBLES, SAYS_READY_TWICE };

/* ---- the child ---- */

static int hear(struct msg_conn *c, struct msg *m, struct err *err)
{
    int rc;

    while ((rc = msg_next(c, m, err)) == 0) {
        rc = msg_receive(c, err);
        if (rc <= 0)
            break;
    }
    return rc;
}

static int say(struct msg_conn *c, uint32_t type, uint32_t job, struct err *err)
{
    struct buf frame = {0};
    int rc;

    msg_begin(&frame, type);
    buf_put_u32(&frame, job);
    rc = msg_send(c, &frame, err);
    buf_free(&frame);
    return rc;
}

/* That it was let go, and not killed, stands in its file. */
static int serve(struct msg_conn *c, enum manner manner, struct err *err)
{
    struct msg m;
    int rc = child_say_ready(c, err);

    if (rc == 0 && manner == SAYS_READY_TWICE)
        rc = child_say_ready(c, err);
    if (rc == 0 && manner == BABBLES)
        rc = say(c, PONG, JOBS, err); /* there is no such job */
    while (rc == 0 && (rc = hear(c, &m, err)) > 0)
        rc = manner == IS_STUCK ? 0 : say(c, PONG, reader_u32(&m.body), err);
    if (rc == 0 && write(CHILD_FD_FILE, ".", 1) != 1)
        rc = err_errno(err, "cannot say that I was let go");
    return rc;
}

static int live(struct msg_conn *c, struct err *err)
{
    enum manner manner;
    struct msg m;
    int rc = hear(c, &m, err);

    if (rc <= 0)
        return rc;
    manner = reader_u32(&m.body);
    if (manner == SAYS_LOST)
        return err_set(err, ENOSPC, "out of ink");
    return manner == ENDS ? 0 : serve(c, manner, err);
}

static int child_main(void)
{
    struct msg_conn c;
    struct err err;

    if (!child_was_started(true))
        return 2;
    child_enter(&c, "asofs-ping");
    return child_leave(&c, live(&c, &err), &err);
}

/* ---- the role ---- */

enum job_state { WAITING, RUNNING, DONE };

struct team {
    struct crew crew;
    enum manner first[CREW], then[CREW]; /* of a child's first process, and of those after it */
    unsigned started[CREW];
    enum job_state jobs[JOBS];
    unsigned njobs;
    unsigned job[CREW];
    int pipe[2]; /* the file of every child */
    unsigned nready, nanswers, nput_back;
    int answer; /* what the role says of an answer: CREW_RESTS */
    int next;   /* negative: there is no next job for this reason */
    char why[200];
    struct err err;
    int64_t ahead; /* of the clock */
};

static int configure(void *arg, unsigned i, struct buf *first, int *file_fd, struct err *err)
{
    struct team *t = arg;

    (void)err;
    assert_int_equal(*file_fd, -1);
    *file_fd = t->pipe[1];
    msg_begin(first, PING);
    buf_put_u32(first, t->started[i]++ ? t->then[i] : t->first[i]);
    return 0;
}

static void ready(void *arg, unsigned i)
{
    struct team *t = arg;

    (void)i;
    t->nready++;
}

static size_t left(void *arg)
{
    const struct team *t = arg;
    size_t i, n = 0;

    for (i = 0; i < t->njobs; i++)
        n += t->jobs[i] != DONE;
    return n;
}

static int next(void *arg, unsigned i, struct buf *frame, int *fd, struct err *err)
{
    struct team *t = arg;
    unsigned k;

    assert_int_equal(*fd, -1);
    if (t->next < 0)
        return err_set(err, -t->next, "no jobs today");
    for (k = 0; k < t->njobs && t->jobs[k] != WAITING; k++)
        ;
    if (k == t->njobs)
        return 0;
    t->jobs[k] = RUNNING;
    t->job[i] = k;
    msg_begin(frame, PING);
    buf_put_u32(frame, k);
    return 1;
}

static int answered(void *arg, unsigned i, struct msg *m, struct err *err)
{
    struct team *t = arg;

    if (m->type != PONG || reader_u32(&m->body) != t->job[i])
        return CREW_NONSENSE;
    t->nanswers++;
    t->crew.children[i].heard = 0; /* the crew sets it */
    if (t->answer == CREW_RESTS)
        t->jobs[t->job[i]] = DONE;
    else
        err_set(err, EIO, "nobody asked for that");
    return t->answer;
}

static int lost(void *arg, unsigned i, bool had_job, const char *why, struct err *err)
{
    struct team *t = arg;

    (void)err;
    assert_int_equal(t->crew.children[i].pid, 0);
    snprintf(t->why, sizeof(t->why), "%s", why);
    if (had_job)
        t->jobs[t->job[i]] = WAITING;
    t->nput_back += had_job;
    return 0;
}

static const struct crew_role role = {.word = WORD,
                                      .title = "pinger",
                                      .silence_option = "--patience",
                                      .configure = configure,
                                      .ready = ready,
                                      .left = left,
                                      .next = next,
                                      .answered = answered,
                                      .lost = lost};

/* ---- the loop ---- */

static struct team *new_team(unsigned n, unsigned njobs)
{
    struct team *t = mem_alloc(sizeof(*t));

    crew_init(&t->crew, &role, t, n, NEVER);
    assert_int_equal(pipe(t->pipe), 0);
    t->njobs = njobs;
    t->answer = CREW_RESTS;
    return t;
}

static void free_team(struct team *t)
{
    crew_free(&t->crew);
    close(t->pipe[0]);
    close(t->pipe[1]);
    free(t);
}

static int turn(struct team *t)
{
    struct pollfd polls[CREW];
    int rc = crew_work(&t->crew, clock_ms() + t->ahead, &t->err);

    if (rc < 0)
        return rc;
    crew_set_polls(&t->crew, polls);
    poll(polls, t->crew.n, 20);
    return crew_hear(&t->crew, polls, &t->err);
}

static void work_until_done(struct team *t)
{
    while (left(t))
        assert_int_equal(turn(t), 0);
}

static void work_until_busy(struct team *t, unsigned i)
{
    while (t->crew.children[i].state != CHILD_BUSY)
        assert_int_equal(turn(t), 0);
}

static int work_until_it_ends(struct team *t)
{
    int rc;

    while ((rc = turn(t)) == 0)
        ;
    return rc;
}

/* ---- the tests ---- */

static void jobs_are_handed_out_and_everybody_is_let_go(void **state)
{
    struct team *t = new_team(CREW, JOBS);
    unsigned i, started = 0;
    char let_go[CREW + 1];

    (void)state;
    work_until_done(t);
    for (i = 0; i < CREW; i++)
        while (t->crew.children[i].state == CHILD_JOINING)
            assert_int_equal(turn(t), 0);
    assert_in_range(t->nready, 1, CREW);
    assert_int_equal(crew_joined(&t->crew), t->nready);
    assert_int_equal(t->nput_back, 0);
    for (i = 0; i < CREW; i++)
        started += t->crew.children[i].pid > 0;
    crew_end(&t->crew);
    for (i = 0; i < CREW; i++)
        assert_int_equal(t->crew.children[i].state, CHILD_EMPTY);
    assert_int_equal(read(t->pipe[0], let_go, sizeof(let_go)), started);
    free_team(t);
}

static void there_are_no_more_children_than_jobs(void **state)
{
    struct team *t = new_team(CREW, 1);

    (void)state;
    work_until_done(t);
    assert_int_equal(t->started[0] + t->started[1] + t->started[2], 1);
    assert_int_equal(t->crew.children[0].state, CHILD_IDLE);
    assert_int_equal(turn(t), 0); /* nothing waits: it stays idle */
    assert_int_equal(t->crew.children[0].state, CHILD_IDLE);
    free_team(t);
}

static void a_killed_child_is_replaced_and_its_job_put_back(void **state)
{
    struct team *t = new_team(1, 2);

    (void)state;
    t->first[0] = IS_STUCK;
    work_until_busy(t, 0);
    kill(t->crew.children[0].pid, SIGKILL);
    work_until_done(t);
    assert_string_equal(t->why, "it ended");
    assert_int_equal(t->nput_back, 1);
    assert_int_equal(t->started[0], 2);
    assert_int_equal(t->nready, 2);
    assert_int_equal(crew_joined(&t->crew), 1);
    free_team(t);
}

/* Whoever is killed while idle is noticed when it is given a job, at the latest. */
static void one_that_is_gone_when_its_job_comes_is_replaced(void **state)
{
    struct team *t = new_team(1, 1);

    (void)state;
    work_until_done(t);
    kill(t->crew.children[0].pid, SIGKILL);
    while (!proc_has_ended(t->crew.children[0].pid))
        usleep(1000);
    t->njobs = 2;
    work_until_done(t);
    assert_string_equal(t->why, "it is gone");
    assert_int_equal(t->nput_back, 1);
    free_team(t);
}

static void a_silent_child_is_killed(void **state)
{
    struct team *t = new_team(1, 1);

    (void)state;
    t->first[0] = IS_STUCK;
    work_until_busy(t, 0);
    t->crew.silence_ms = 7000;
    assert_int_equal(crew_work(&t->crew, t->crew.children[0].heard + 6999, &t->err), 0);
    assert_int_equal(t->nput_back, 0);
    assert_int_equal(crew_work(&t->crew, t->crew.children[0].heard + 7000, &t->err), 0);
    assert_string_equal(t->why, "nothing came from it for 7 seconds (--patience)");
    assert_int_equal(t->nput_back, 1);
    t->crew.silence_ms = NEVER;
    work_until_done(t);
    assert_int_equal(t->started[0], 2);
    free_team(t);
}

static void one_that_never_becomes_ready_is_given_up(void **state)
{
    struct team *t = new_team(2, 2);

    (void)state;
    t->first[0] = t->then[0] = ENDS;
    t->first[1] = IS_STUCK;
    t->ahead = 1000000; /* no pause is waited for */
    while (t->crew.children[0].state != CHILD_GIVEN_UP || t->crew.children[1].state != CHILD_BUSY)
        assert_int_equal(turn(t), 0);
    assert_int_equal(t->started[0], CREW_MAX_FAILURES);
    assert_int_equal(t->nput_back, 0);
    assert_false(t->crew.children[0].joined);
    kill(t->crew.children[1].pid, SIGKILL); /* the other one goes on, and is replaced */
    work_until_done(t);
    assert_int_equal(t->started[0], CREW_MAX_FAILURES);
    assert_int_equal(t->started[1], 2);
    free_team(t);
}

static void between_two_that_fail_is_a_pause(void **state)
{
    struct team *t = new_team(1, 1);
    const struct child *k = &t->crew.children[0];

    (void)state;
    t->first[0] = ENDS;
    while (!k->failures)
        assert_int_equal(turn(t), 0);
    assert_int_equal(crew_work(&t->crew, k->not_before - 1, &t->err), 0);
    assert_int_equal(k->state, CHILD_EMPTY);
    assert_int_equal(crew_work(&t->crew, k->not_before, &t->err), 0);
    assert_int_equal(k->state, CHILD_JOINING);
    work_until_done(t);
    assert_int_equal(k->failures, 0);
    free_team(t);
}

static void when_nobody_is_left_the_last_ones_words_are_told(void **state)
{
    struct team *t = new_team(2, 2);

    (void)state;
    t->first[0] = t->then[0] = t->first[1] = t->then[1] = SAYS_LOST;
    t->ahead = 1000000;
    assert_int_equal(work_until_it_ends(t), -ECONNRESET);
    assert_string_equal(t->err.text, "no pinger is left: out of ink");
    assert_int_equal(t->started[0], CREW_MAX_FAILURES);
    assert_int_equal(t->started[1], CREW_MAX_FAILURES);
    free_team(t);
}

static void of_a_closed_crew_nobody_is_started_or_replaced(void **state)
{
    struct team *t = new_team(2, 2);

    (void)state;
    t->crew.closed = true;
    assert_int_equal(turn(t), 0);
    assert_int_equal(t->started[0] + t->started[1], 0);
    t->first[0] = IS_STUCK;
    assert_int_equal(crew_start(&t->crew, 0, &t->err), 0);
    t->crew.children[1].state = CHILD_GIVEN_UP; /* it could not come in time */
    work_until_busy(t, 0);
    kill(t->crew.children[0].pid, SIGKILL);
    assert_int_equal(work_until_it_ends(t), -ECONNRESET);
    assert_string_equal(t->err.text, "no pinger is left: it ended");
    assert_int_equal(t->started[0], 1);
    assert_int_equal(t->nput_back, 1);
    free_team(t);
}

static void what_makes_no_sense_costs_a_child_its_place(void **state)
{
    static const enum manner manners[] = {BABBLES, SAYS_READY_TWICE};
    struct team *t;
    size_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        t = new_team(1, 1);
        t->first[0] = manners[i];
        work_until_done(t);
        assert_int_equal(t->started[0], 2);
        assert_string_equal(t->why, "it sent a message that makes no sense");
        free_team(t);
    }
}

static void the_role_can_send_a_child_away(void **state)
{
    struct team *t = new_team(1, 1);

    (void)state;
    t->answer = CREW_UNWANTED;
    while (!t->nput_back)
        assert_int_equal(turn(t), 0);
    assert_string_equal(t->why, "nobody asked for that");
    t->answer = CREW_NONSENSE;
    while (t->nput_back == 1)
        assert_int_equal(turn(t), 0);
    assert_string_equal(t->why, "it sent a message that makes no sense");
    t->answer = CREW_RESTS;
    work_until_done(t);
    assert_int_equal(t->started[0], 3);
    free_team(t);
}

static void what_moves_is_not_silent(void **state)
{
    struct team *t = new_team(1, 1);

    (void)state;
    t->answer = CREW_GOES_ON;
    while (!t->nanswers)
        assert_int_equal(turn(t), 0);
    assert_true(t->crew.children[0].heard > 0);
    assert_int_equal(t->crew.children[0].state, CHILD_BUSY);
    free_team(t);
}

static void the_role_can_end_the_work(void **state)
{
    struct team *t = new_team(1, 1);

    (void)state;
    t->answer = -EROFS;
    assert_int_equal(work_until_it_ends(t), -EROFS);
    assert_string_equal(t->err.text, "nobody asked for that");
    free_team(t);
    t = new_team(1, 1);
    t->next = -ENXIO;
    assert_int_equal(work_until_it_ends(t), -ENXIO);
    assert_string_equal(t->err.text, "no jobs today");
    free_team(t);
}

static void a_damaged_farewell_is_one(void **state)
{
    struct reader r = {0};
    struct buf b = {0};
    struct err why;

    (void)state;
    buf_put_u32(&b, EBUSY);
    buf_put_str(&b, "a queue");
    r = (struct reader){.p = b.data, .left = b.len};
    assert_true(child_get_lost(&r, &why));
    assert_int_equal(why.code, EBUSY);
    assert_string_equal(why.text, "a queue");
    r = (struct reader){.p = b.data, .left = b.len - 1};
    assert_false(child_get_lost(&r, &why));
    buf_free(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_handed_out_and_everybody_is_let_go),
        cmocka_unit_test(there_are_no_more_children_than_jobs),
        cmocka_unit_test(a_killed_child_is_replaced_and_its_job_put_back),
        cmocka_unit_test(one_that_is_gone_when_its_job_comes_is_replaced),
        cmocka_unit_test(a_silent_child_is_killed),
        cmocka_unit_test(one_that_never_becomes_ready_is_given_up),
        cmocka_unit_test(between_two_that_fail_is_a_pause),
        cmocka_unit_test(when_nobody_is_left_the_last_ones_words_are_told),
        cmocka_unit_test(of_a_closed_crew_nobody_is_started_or_replaced),
        cmocka_unit_test(what_makes_no_sense_costs_a_child_its_place),
        cmocka_unit_test(the_role_can_send_a_child_away),
        cmocka_unit_test(what_moves_is_not_silent),
        cmocka_unit_test(the_role_can_end_the_work),
        cmocka_unit_test(a_damaged_farewell_is_one),
    };

    if (argc == 2 && strcmp(argv[1], WORD) == 0)
        return child_main();
    if (getenv("UNDER_VALGRIND")) {
        puts("the program starts itself, which would be valgrind");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
