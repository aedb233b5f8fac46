/*
 * Requests that have to wait for a file: they are parked, never holding a handler thread, and
 * answered when the file is settled, or with EINTR when the waiting program is interrupted.
 *
 * Lock order: libfuse's request lock, then ours. A request is detached from the list under our
 * lock, and answered without it.
 */
#ifndef ASOFS_FS_PARKING_H
#define ASOFS_FS_PARKING_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

struct parking;

/* Answers a request whose file is not pending any more. */
typedef void (*parking_answer)(void *arg, fuse_req_t req, uint32_t node, struct fuse_file_info *fi,
                               bool is_open);

/* still_pending is asked under the lock, so that no settling between asking and parking is missed.
 */
struct parking *parking_new(bool (*still_pending)(void *arg, uint32_t node), parking_answer answer,
                            void *arg);
/* Answer all that are parked with EIO, and from now on those that come too. */
void parking_close(struct parking *p);
void parking_free(struct parking *p);

/* Park, or answer at once when the file is settled by now. fi may be NULL (getattr). */
void parking_add(struct parking *p, fuse_req_t req, uint32_t node, const struct fuse_file_info *fi,
                 bool is_open);

/* Some files may be settled now: answer those who waited for them. */
void parking_settled(void *parking);

#endif
