/* Frames (pages/frames.h) whose checksums are put right, so that a fuzz target reaches the records. */
#ifndef ASOFS_TESTS_FUZZ_FRAMESRIGHT_H
#define ASOFS_TESTS_FUZZ_FRAMESRIGHT_H

#include <string.h>

#include "pages/frames.h"

static inline void frames_put_right(uint8_t *data, size_t size, const struct frames_kind *k,
                                    uint64_t id)
{
    const struct frames_header h = frames_header(k, id);
    size_t at = FRAMES_START;
    uint32_t len;

    if (size < sizeof(h))
        return;
    memcpy(data, &h, sizeof(h));
    for (; size - at >= FRAMES_HEAD; at += FRAMES_HEAD + len) {
        memcpy(&len, data + at, sizeof(len));
        if (len > size - at - FRAMES_HEAD)
            return;
        frames_head((char *)data + at, data + at + FRAMES_HEAD, len);
    }
}

#endif
