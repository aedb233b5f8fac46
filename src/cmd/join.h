/* asofs copy --join: workers of this host for a copy that is under way on another one. */
#ifndef ASOFS_CMD_JOIN_H
#define ASOFS_CMD_JOIN_H

#include "cmd/target.h"
#include "view/source.h"

/* SOURCE and TARGET were taken. Returns the exit status. */
int join_copy(struct source *source, struct target_options *t, int64_t timeout_ms);

/* What of the options is the leader's affair is refused. other: one more that was given; NULL: none. */
int join_check(const struct source *source, const struct target_options *t, const char *other,
               struct err *err);

#endif
