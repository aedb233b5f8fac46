/* Stands in for render/varlena.c, where a value is compressed or in a TOAST table: none of these is. */
#include "render/varlena.h"

int render_varlena_open(struct render_work *w, const char *p, size_t size, struct render_value *v)
{
    (void)p;
    (void)size;
    (void)v;
    return render_fail(w, "no such values here");
}
