/*
 * Command lines: --name=value, short letters, and (for mount) the same names behind -o.
 *
 * A table describes the options; each has a setter that stores the value or says what is wrong with
 * it.
 */
#ifndef ASOFS_COMMON_OPTION_H
#define ASOFS_COMMON_OPTION_H

#include <stdbool.h>

#include "common/err.h"

struct option_def {
    const char *name; /* long name without dashes; NULL ends the table */
    char letter;      /* short form, or 0 */
    bool has_value;
    bool only_o; /* exists only behind -o (allow_other, uid=…) */
    /* value is NULL without has_value. 0, or negative with err filled (no need to name the option).
     */
    int (*set)(void *target, const char *value, struct err *err);
};

/*
 * Parse argv[1..]; operands (everything that is no option, and all behind "--") are collected in
 * argv order into operands[0..max). Returns their number, or negative (usage error) with err
 * filled. `take_o`: accept -o LIST.
 */
int option_parse(const struct option_def *defs, bool take_o, void *target, int argc, char **argv,
                 char **operands, int max, struct err *err);

/* One comma-separated list as behind -o; a comma inside a value is written "\,". */
int option_parse_list(const struct option_def *defs, void *target, const char *list,
                      struct err *err);

#endif
