/*
 * How far the kernel reads ahead of a program that reads a file of the mount from its beginning to its
 * end: 128 KiB, unless the mount's backing device says more. So much is soon there; with some MiB
 * several reads are under way while the program works, and they are larger.
 *
 * Only root may say it, and it counts only once the kernel has had the answer to its first request,
 * which takes it back.
 */
#ifndef ASOFS_FS_READAHEAD_H
#define ASOFS_FS_READAHEAD_H

#include <stdatomic.h>
#include <stdbool.h>

struct readahead {
    int fd; /* of the device's attribute, for writing; -1: none */
    atomic_bool begun;
};

/* Of what is mounted at the path. Where it may not be said, the rest does nothing. */
void readahead_open(struct readahead *r, const char *path);
/* With a later request; once more is fine. Any thread. True: now it does. */
bool readahead_begin(struct readahead *r);
void readahead_close(struct readahead *r);

#endif
