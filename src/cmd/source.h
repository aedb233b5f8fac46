/*
 * The options of the commands that take a SOURCE: rows of the members of a struct source, and what
 * mount and extract have in common besides.
 *
 *   struct options {
 *       struct source from;
 *       …
 *   };
 *   static const struct option_def defs[] = {
 *       OPTION_ROWS(struct options, from, source_options),
 *       …
 */
#ifndef ASOFS_CMD_SOURCE_H
#define ASOFS_CMD_SOURCE_H

#include <stdbool.h>

#include "common/option.h"
#include "view/source.h"

/* The setters of --tables and --exclude-table (OPTION_CALL), into a struct tablelist. */
int source_set_tables(void *tables, const char *v, struct err *err);
int source_set_exclude_table(void *tables, const char *v, struct err *err);

extern const struct option_def source_options[];   /* what is taken from where, and how */
extern const struct option_def flatfile_options[]; /* how the files are, and where they wait */
extern const char *const source_render_names[];    /* of enum snapshot_render, NULL after them */

/* Commands that freeze SOURCE to show it in DIR. */
struct source_command {
    struct source source; /* begun by source_init, ended by source_free */
    bool dry_run, debug, help, version;
};

extern const struct option_def source_command_options[]; /* with those of its source */
extern const char source_help[];                         /* the help text of all these */

struct source_command_def {
    const char *name;
    const struct option_def *options; /* of the target */
    bool take_o;
    const char *operands; /* "SOURCE and DIR" */
    int (*print_help)(void);
    bool (*alone)(const void *target); /* SOURCE is the only operand; NULL: never */
};

/*
 * Parse into `target`, of which c is a part; help, version and wrong usage are answered. True: go
 * on, with two operands, the second perhaps not with dry_run; else *status is all that is
 * left.
 */
bool source_command_parse(struct source_command *c, const struct source_command_def *def,
                          void *target, int argc, char **argv, char *operands[2], int *status);

/* SOURCE is taken out of argv; from now on as much is told as was asked for. */
void source_command_begin(struct source_command *c, char *source);

/* --dry-run: freeze, print, release. Returns the exit status. */
int source_dry_run(struct source *s);

#endif
