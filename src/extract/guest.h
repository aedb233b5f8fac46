/*
 * A guest of the coordinator: somebody with children and sockets of his own, who takes part in its
 * turns and is told of each chunk whose bytes are in their place, before the whole file is there.
 * (load/ is one: its delete and loader workers run while the extraction goes on. Who knows both
 * rooms makes one known to the other.)
 *
 * All functions are called by the thread that extracts. What returns int ends the extraction when
 * it is negative.
 */
#ifndef ASOFS_EXTRACT_GUEST_H
#define ASOFS_EXTRACT_GUEST_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct extract_guest {
    size_t (*npolls)(void *arg); /* always the same */
    void (*set_polls)(void *arg, struct pollfd *polls);
    int (*hear)(void *arg, const struct pollfd *polls, struct err *err);
    int (*work)(void *arg, int64_t now, struct err *err); /* whenever there may be something to do */

    /* Chunk number `chunk` of the table, in the order of its file. fd: a spool file, which stays as
     * it is until the view is freed; or -1: it is in the file written into the directory, which is
     * complete, from this offset on. */
    void (*chunk)(void *arg, size_t table, uint32_t chunk, int fd, uint64_t offset, uint64_t len);
    void *arg;
};

#endif
