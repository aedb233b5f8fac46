#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check_allocated(void *p, size_t size)
{
    if (!p && size) {
        fprintf(stderr, "asofs: out of memory (%zu bytes wanted)\n", size);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return check_allocated(calloc(1, size), size);
}

void *mem_array(size_t n, size_t size)
{
    return check_allocated(calloc(n ? n : 1, size), size);
}

void *mem_resize(void *old, size_t n, size_t size)
{
    return check_allocated(reallocarray(old, n ? n : 1, size), size);
}

char *mem_strdup(const char *s)
{
    return s ? check_allocated(strdup(s), 1) : NULL;
}

char *mem_printf(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0)
        s = NULL;
    va_end(ap);
    return check_allocated(s, 1);
}

void *mem_grow(void *array, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return array;
    *room = *room ? *room * 2 : 8;
    return mem_resize(array, *room, size);
}

void mem_free_texts(char **texts)
{
    size_t i;

    for (i = 0; texts && texts[i]; i++)
        free(texts[i]);
    free(texts);
}
