/*
 * The checksum of a file (common/hash.h) out of its parts as they come by, from any thread. Only what goes on
 * where the last one ended is added; a part that comes a little early is kept until its turn, while there is
 * memory. Where something is missing the checksum waits for it: it can come by later. So it is of all bytes of the
 * file, in order, or it is not known.
 */
#ifndef ASOFS_VIEW_SUM_H
#define ASOFS_VIEW_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "render/memory.h"

struct sum;

/* Of a file of so many bytes. What is early takes of m, which is borrowed until free. */
struct sum *sum_new(uint64_t size, struct render_memory *m);
void sum_free(struct sum *s); /* NULL is fine */

/* These bytes of the file. true, once: they were the last that were missing, and this is the checksum. */
bool sum_add(struct sum *s, const void *bytes, size_t n, uint64_t offset, uint64_t *value);

/* Of a file without any, of which nothing comes by. */
uint64_t sum_of_nothing(void);

/* Give back what is early. */
void sum_trim(struct sum *s);

#endif
