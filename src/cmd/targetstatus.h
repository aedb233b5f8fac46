/* asofs status and asofs wait of a second database: what schema asofs there says of its copies. */
#ifndef ASOFS_CMD_TARGETSTATUS_H
#define ASOFS_CMD_TARGETSTATUS_H

#include <stdbool.h>

#include "common/option.h"

struct target_look {
    char *target; /* NULL: it is not about a second database */
    char *name;
    char *newer_than;
};

/* The setter of an option --target (OPTION_CALL): a password in it is overwritten. */
int target_look_set(void *target, const char *value, struct err *err);

void target_look_free(struct target_look *look);

/* The exit status: 1 also when a copy has failed, or is lost. */
int target_status(const struct target_look *look, bool json);

/* Until the copy is current, and of a later moment than newer_than. The exit status. */
int target_wait(const struct target_look *look);

#endif
