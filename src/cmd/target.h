/* What the commands that fill a second database have in common: the options about TARGET. */
#ifndef ASOFS_CMD_TARGET_H
#define ASOFS_CMD_TARGET_H

#include "common/option.h"
#include "load/loading.h"

enum target_create { CREATE_MISSING, CREATE_NEVER };

struct target_options {
    struct loading_request request; /* but for `create`, and what is known later */
    char *name;                     /* of the copy; NULL: the name of the source's database */
    char *schema;                   /* that all tables go into; NULL: that of the source */
    enum target_create create;
};

extern const struct option_def target_options[];
extern const char target_help[];

void target_init(struct target_options *t);
void target_free(struct target_options *t); /* once more is fine */

/* Refuse options that exclude each other. */
int target_check(const struct target_options *t, struct err *err);

/* TARGET is copied out of argv, and a password in it is overwritten. */
void target_take(struct target_options *t, char *arg);

/* With the name of the source's database, unless one was given, the request is complete but for who
 * opens files. -EINVAL: it is no name for a copy. */
int target_name(struct target_options *t, const char *database, struct err *err);

/* Where a table of that schema goes; the caller's to free. */
char *target_schema_of(const struct target_options *t, const char *schema);

/* Two tables of the list would be one there. */
int target_check_list(const struct load_list *list, struct err *err);

#endif
