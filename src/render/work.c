#include "render/work.h"

#include <errno.h>
#include <stdlib.h>

#include "common/mem.h"
#include "render/blocks.h"

void render_work_init(struct render_work *w, const struct render_settings *s)
{
    *w = (struct render_work){.settings = s};
}

void render_work_free(struct render_work *w)
{
    size_t i;

    for (i = 0; i < w->nbuffers; i++) {
        out_free(w->buffers[i]);
        free(w->buffers[i]);
    }
    free(w->buffers);
    render_blocks_free(w->blocks);
    *w = (struct render_work){0};
}

void render_work_trim(struct render_work *w, size_t most)
{
    size_t i;

    for (i = 0; i < w->nbuffers; i++)
        if (w->buffers[i]->room > most)
            out_free(w->buffers[i]);
}

struct out *render_work_buffer(struct render_work *w)
{
    struct out *o;

    if (w->used == w->nbuffers) {
        w->buffers = mem_resize(w->buffers, w->nbuffers + 1, sizeof(*w->buffers));
        w->buffers[w->nbuffers++] = mem_alloc(sizeof(struct out));
    }
    o = w->buffers[w->used++];
    o->n = 0;
    return o;
}

int render_fail(struct render_work *w, const char *what)
{
    w->fault = what;
    return -EIO;
}
