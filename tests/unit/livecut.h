/* A live directory under threads that change it, and frozen trees of it that are checked (see
 * test_live_cut.c). Faults end the test. */
#ifndef ASOFS_UNIT_LIVECUT_H
#define ASOFS_UNIT_LIVECUT_H

#include <stdbool.h>
#include <stdint.h>

struct livecut;

struct livecut *livecut_new(const char *dir, uint64_t seed);
void livecut_free(struct livecut *c);

void livecut_open(struct livecut *c);
void livecut_close(struct livecut *c, bool cleanly);

/* Threads change, freezes are made, checked, dropped; for about so many milliseconds. */
void livecut_run(struct livecut *c, int ms);

/* The same in a child that is killed after that. */
void livecut_run_and_kill(struct livecut *c, int ms);

/* Calls that the kill cut short, as recovery would. */
void livecut_repeat_cut_short(struct livecut *c);

/* All frozen trees are what they were. */
void livecut_check_again(struct livecut *c);

/* Faults found are counted, and do not end the test: for mutants. */
void livecut_count_faults(struct livecut *c);
unsigned livecut_faults(const struct livecut *c);

void livecut_say(const struct livecut *c);

#endif
