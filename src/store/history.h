/*
 * The history of a timeline (PostgreSQL's <tli>.history): of which timelines it is the
 * continuation, and where it left each of them.
 */
#ifndef ASOFS_STORE_HISTORY_H
#define ASOFS_STORE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* The timeline was left at `end`, where the next one (of the last: the history's own) begins. */
struct history_turn {
    uint32_t timeline;
    uint64_t end;
};

struct history {
    uint32_t timeline;
    struct history_turn *turns; /* oldest first */
    size_t n;
};

/* "0000000A.history". The first timeline has none. */
#define HISTORY_NAME_MAX 17
void history_name(uint32_t timeline, char out[HISTORY_NAME_MAX]);
bool history_parse_name(const char *name, uint32_t *timeline);

/* h->timeline is set; what is no history is refused by name (dir is for the message). Pure. */
int history_parse(const char *text, const char *dir, struct history *h, struct err *err);
int history_read(int dir_fd, const char *dir, uint32_t timeline, struct history *h,
                 struct err *err);
void history_free(struct history *h);

/* Which part of a timeline lies on the way to h->timeline; false: none of it. */
bool history_part(const struct history *h, uint32_t timeline, uint64_t *begin, uint64_t *end);

#endif
