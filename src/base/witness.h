/*
 * Writes down, beside the log that is received, where the source's own ends and when (walsaid.h):
 * with that the time at which nothing was committed can be mounted too.
 *
 * A commit takes its time before its record is in the log. So a time counts with the end that the
 * log is seen to have some seconds later, by which the records of all that had such a time have long
 * been there.
 */
#ifndef ASOFS_BASE_WITNESS_H
#define ASOFS_BASE_WITNESS_H

#include <stdint.h>

#include "common/err.h"

struct witness;

/* Until it is stopped, every few seconds; what fails is tried again, and no failure of anything
 * else. Strings are borrowed. NULL: there is no thread to be had. */
struct witness *witness_start(const char *store, const char *conninfo, uint64_t system_identifier);
void witness_stop(struct witness *w); /* NULL is fine */

/* Once, of a second that the server's clock has passed already; waits until the next has begun. The
 * same of failures. */
void witness_second(const char *store, const char *conninfo, uint64_t system_identifier,
                    int64_t second, int stop_fd);

#endif
