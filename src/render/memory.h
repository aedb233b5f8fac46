/*
 * How much memory may be taken for what is kept to be found again, and could be made again: text, maps. One account for all
 * that render; from any thread.
 */
#ifndef ASOFS_RENDER_MEMORY_H
#define ASOFS_RENDER_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct render_memory;

struct render_memory *render_memory_new(uint64_t bytes);
void render_memory_free(struct render_memory *m); /* NULL is fine */

/* All of it, or false: so much is not left. */
bool render_memory_take(struct render_memory *m, uint64_t bytes);
void render_memory_give(struct render_memory *m, uint64_t bytes); /* back */
uint64_t render_memory_left(const struct render_memory *m);

#endif
