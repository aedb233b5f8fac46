/*
 * What one thread needs while it renders: memory that is used again and again, and what was wrong.
 */
#ifndef ASOFS_RENDER_WORK_H
#define ASOFS_RENDER_WORK_H

#include <stddef.h>
#include <stdint.h>

#include "render/out.h"
#include "render/type.h"

#define RENDER_NESTING 64 /* of values in values: rows, arrays, ranges */

struct render_zone;
struct render_toast;
struct render_blocks;

struct render_settings {
    const struct render_zone *zone; /* zone.h; NULL: UTC */
    /* Of the server, 0: newest. From 15 on a jsonpath has a number in parentheses where more follows, from 16 on
     * "char" has its high bytes as \ooo, from 17 on intervals may be infinite. */
    unsigned major;
};

struct render_work {
    const struct render_settings *settings;
    struct render_toast *toast; /* of the relation being rendered (toast.h); NULL: it has none */
    const char *fault;          /* what is wrong, a static text; NULL: nothing */

    struct render_blocks *blocks; /* of a TOAST table, read last (blocks.h); owned; NULL: none yet */

    /*
     * Buffers for values that are put together, in use from the first on. Who wants some for a while
     * keeps the number of those in use (used), and puts it back when he is done:
     *
     *   size_t mark = w->used;
     *   struct out *o = render_work_buffer(w);      empty, until w->used = mark
     */
    struct out **buffers;
    size_t used, nbuffers;
    unsigned nesting; /* of values in values, at the moment: at most RENDER_NESTING */
};

void render_work_init(struct render_work *w, const struct render_settings *s);
void render_work_free(struct render_work *w);

/* Give back buffers of more than so many bytes. None is in use. */
void render_work_trim(struct render_work *w, size_t most);

struct out *render_work_buffer(struct render_work *w);

/* `what`: a static text. Returns -EIO. */
int render_fail(struct render_work *w, const char *what);

#endif
