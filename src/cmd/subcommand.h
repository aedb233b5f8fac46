/* Commands that have commands of their own (asofs store create, asofs base list …), and how what
 * came of one is told. */
#ifndef ASOFS_CMD_SUBCOMMAND_H
#define ASOFS_CMD_SUBCOMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/option.h"

struct subcommand {
    const char *name, *operands /* that are needed: "STORE and NAME are" */, *help;
    const struct option_def *options;
    int needed, most;                                 /* operands; at most SUBCOMMAND_OPERANDS */
    int (*run)(const void *options, char **operands); /* the exit status */
};

#define SUBCOMMAND_OPERANDS 3

struct subcommands {
    const char *name; /* of the command above them */
    const char *help;
    const struct subcommand *list;
    size_t n;
    bool ignore_sigpipe; /* while one of them runs */
};

/*
 * Find the one that argv[1] names, parse its options into `options`, and run it, with a umask of
 * 077; *help: a member of `options`, set by --help. The texts of its options are freed. Returns the
 * exit status.
 */
int subcommand_main(const struct subcommands *all, void *options, const bool *help, int argc,
                    char **argv);

/* What is wrong is said once, on standard error; returns the exit status. */
int command_failed(const struct err *err);

/* What was printed is only done when it is out: the status, or that of a failure. */
int command_printed(int status);

/* Print "asofs: COMMAND: TEXT" and the hint to --help; returns EXIT_USAGE. */
int usage_error(const char *command, const struct err *err);

#endif
