/*
 * A page out of a short input: the first byte tells how many of the bytes after it, times 4, stand at
 * the front of the page (header and line pointers); the others stand at its end (rows). Between them are
 * zeros.
 */
#ifndef ASOFS_TESTS_HEAPINPUT_H
#define ASOFS_TESTS_HEAPINPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "render/heap.h"

static inline char *heapinput_page(const uint8_t *data, size_t size)
{
    char *page = calloc(1, RENDER_BLOCK);
    size_t front = size ? data[0] * 4u : 0, left = size ? size - 1 : 0;

    if (front > left)
        front = left;
    left = left - front > RENDER_BLOCK - front ? RENDER_BLOCK - front : left - front;
    if (front)
        memcpy(page, data + 1, front);
    if (left)
        memcpy(page + RENDER_BLOCK - left, data + 1 + front, left);
    return page;
}

#endif
