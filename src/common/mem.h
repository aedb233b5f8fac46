/*
 * Memory that is there. These abort with a message when memory is exhausted: there is nothing
 * sensible that start-up or a worker could do then. Code that answers a reader of a mount uses
 * malloc and reports ENOMEM instead.
 */
#ifndef ASOFS_COMMON_MEM_H
#define ASOFS_COMMON_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);                       /* zeroed */
void *mem_array(size_t n, size_t size);             /* zeroed, overflow checked */
void *mem_resize(void *old, size_t n, size_t size); /* overflow checked; new part not zeroed */
char *mem_strdup(const char *s);                    /* NULL gives NULL */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* An array that ends with NULL, and its texts; NULL is fine. */
void mem_free_texts(char **texts);

/* Make room for one more element: grows `array` (of elements of `size`) when n == *room. */
void *mem_grow(void *array, size_t n, size_t *room, size_t size);

#endif
