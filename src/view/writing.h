/*
 * Tables that are rendered (rendered.h), as plain files: each is written from its beginning to its end,
 * by all threads together.
 *
 *   writing_begin → writing_table … → writing_sync → writing_end
 */
#ifndef ASOFS_VIEW_WRITING_H
#define ASOFS_VIEW_WRITING_H

#include "common/err.h"
#include "view/rendered.h"

struct writing;

/* The threads are what the calling thread is: who reads the pages has entered as their owner.
 * compress: the level of the frames (frame.h) that the files are, of some MiB of text each; 0: plain text. */
int writing_begin(struct writing **w, unsigned threads, int compress, struct err *err);
void writing_end(struct writing *w); /* NULL is fine */

struct writing_request {
    struct rendered *table; /* open */
    int fd;                 /* of an empty file */
    const char *path;       /* it, for messages */
    uint64_t
        chunk_size; /* bytes of the file after which a chunk of chunks.csv ends with the next row */
    int stop_fd;    /* readable: give up (-EINTR); -1: none */
};

/* One table after the other; the calling thread waits. What became of it, and of what chunks it is, is
 * in the results then. */
int writing_table(struct writing *w, const struct writing_request *r, struct err *err);

/* After the last table: what was written of all of them is on disk, but for what is left to whoever syncs
 * their file system; or could not be brought there. */
int writing_sync(struct writing *w, struct err *err);

#endif
