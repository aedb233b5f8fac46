/*
 * live/: consistent cuts. Threads write, extend, cut off, empty, make, remove and rename files of a
 * live directory while it is frozen; each call's beginning and end is noted. Of every frozen tree:
 *
 *   - what it shows is, for each thread, what the first so many of its calls left;
 *   - no call is missing that had ended before one that is in it began;
 *   - calls that ended before the freeze began are in it, those that began after it are not;
 *   - it is the same later, after other freezes were dropped, after closing and opening again, and
 *     after a kill of the process that serves.
 *
 * ASOFS_LIVE_SEED, ASOFS_LIVE_ROUNDS (of about a second): for scripts/soak. ASOFS_LIVE_DELAYS: the
 * steps of changes and reads are drawn out, so that what is wrong with their order shows
 * (tests/check/live-mutants).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "fixture.h"
#include "live/livestate.h"
#include "livecut.h"

static unsigned rounds(unsigned usual)
{
    const char *text = getenv("ASOFS_LIVE_ROUNDS");

    return text ? (unsigned)atoi(text) : usual;
}

static uint64_t first_seed(void)
{
    const char *text = getenv("ASOFS_LIVE_SEED");

    return text ? strtoull(text, NULL, 10) : 1;
}

static void delay(const char *where)
{
    static __thread uint64_t seed;
    struct timespec t = {0, 0};

    (void)where;
    if (!seed)
        seed = (uint64_t)(uintptr_t)&seed;
    if (fixture_random_below(&seed, 24))
        return;
    t.tv_nsec = (long)fixture_random_below(&seed, 3000000);
    nanosleep(&t, NULL);
}

static void cuts_are_consistent(void **state)
{
    struct livecut *c = livecut_new(*state, first_seed());
    unsigned i, n = rounds(2);

    for (i = 0; i < n; i++) {
        livecut_open(c);
        livecut_run(c, 1000);
        livecut_check_again(c);
        livecut_close(c, i % 2 == 0);
        livecut_open(c);
        livecut_check_again(c);
        livecut_close(c, true);
    }
    livecut_say(c);
    livecut_free(c);
}

static void cuts_survive_kills(void **state)
{
    struct livecut *c = livecut_new(*state, first_seed() + 1000);
    unsigned i, n = rounds(2);

    for (i = 0; i < n; i++) {
        livecut_run_and_kill(c, 400 + 200 * (int)(i % 5));
        livecut_open(c);
        livecut_repeat_cut_short(c);
        livecut_check_again(c);
        livecut_run(c, 300);
        livecut_check_again(c);
        livecut_close(c, false);
    }
    livecut_say(c);
    livecut_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cuts_are_consistent, fixture_set_up_dir,
                                        fixture_tear_down_dir),
        cmocka_unit_test_setup_teardown(cuts_survive_kills, fixture_set_up_dir,
                                        fixture_tear_down_dir),
    };

    if (getenv("ASOFS_LIVE_DELAYS"))
        livedir_test_step = delay;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
