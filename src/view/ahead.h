/*
 * Reading ahead of a program that reads a flat file whose bytes take work (flatfile_works) from its beginning
 * to its end.
 *
 * Threads make ready what follows, the further ahead the longer he has read in order, up to 2 MiB. A thread that
 * asks does by itself what none of them has begun, so nothing waits for threads that are busy, or not
 * there.
 *
 * What fails meanwhile is told to nobody: it is read again when it is asked for. All else is as of
 * flatfile_read.
 *
 *   ahead_new → ahead_begin → ahead_open … ahead_read … ahead_close → ahead_end → ahead_free
 *
 * Memory: 2 MiB for each of at most 4 readers; the others are read for when they ask.
 */
#ifndef ASOFS_VIEW_AHEAD_H
#define ASOFS_VIEW_AHEAD_H

#include <stdbool.h>

#include "common/err.h"
#include "common/flatfile.h"

struct ahead;
struct ahead_reader; /* of one file; its reads may come from several threads at once */

struct ahead *ahead_new(void);
/* The threads, which are what the calling thread is (replay/owner.h); a child has none of them. 0 or
 * -errno: those that could be started are at work. */
int ahead_begin(struct ahead *a, unsigned threads, struct err *err);
/* They are gone when it returns. What is read afterwards is read by who asks. */
void ahead_end(struct ahead *a);
void ahead_free(struct ahead *a); /* ended first; with the readers that are left. NULL is fine */

/* Whoever reads in order has several reads under way at once: nothing is made ready for him. Any thread. */
void ahead_leave_order(struct ahead *a);

/* The file outlives the reader, which no read is using any more when it is closed. Any thread. */
struct ahead_reader *ahead_open(struct ahead *a, const struct flatfile *f);
void ahead_close(struct ahead_reader *r);

/* As flatfile_read. */
int64_t ahead_read(struct ahead_reader *r, void *buffer, size_t size, uint64_t offset);

#endif
