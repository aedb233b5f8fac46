/*
 * Text as frames of zstd (RFC 8878), each by itself: several behind one another are the whole, for every
 * program that reads the format. With the length of their text and a checksum, as the zstd program makes them.
 */
#ifndef ASOFS_VIEW_FRAME_H
#define ASOFS_VIEW_FRAME_H

#include <stdbool.h>

#include "common/err.h"
#include "render/out.h"

#define FRAME_LEVEL_DEFAULT 3
#define FRAME_LEVEL_MAX 19 /* above, reading one takes much memory */
#define FRAME_SUFFIX ".zst"

/* "zstd" or "zstd:LEVEL", from 1 on. Refused, too, where asofs was built without libzstd. */
int frame_read_level(const char *text, int *level, struct err *err);

struct frame; /* what makes them; of one thread */

struct frame *frame_new(int level);
void frame_free(struct frame *f); /* NULL is fine */

/* The frame of so many bytes of text, in place of what `to` holds. 0 or -errno. */
int frame_make(struct frame *f, const char *text, size_t n, struct out *to);

#endif
