/* asofs copy --into=source: separate tables in the first database itself. */
#ifndef ASOFS_CMD_INTOSOURCE_H
#define ASOFS_CMD_INTOSOURCE_H

#include "cmd/target.h"
#include "view/source.h"

/* SOURCE was taken. Returns the exit status. */
int into_source(struct source *source, struct target_options *t);

/* What of the options it has no use for is refused. other: one more that was given; NULL: none. */
int into_source_check(const struct source *source, const struct target_options *t,
                      const char *other, struct err *err);

#endif
