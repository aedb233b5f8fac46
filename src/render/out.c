#include "render/out.h"

#include <stdlib.h>

#include "common/mem.h"

void out_free(struct out *o)
{
    free(o->p);
    *o = (struct out){0};
}

void out_grow(struct out *o, size_t more)
{
    size_t room = o->room ? o->room : 256;

    while (room - o->n < more)
        room *= 2;
    o->p = mem_resize(o->p, room, 1);
    o->room = room;
}
