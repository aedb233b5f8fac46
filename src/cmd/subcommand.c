#include "cmd/subcommand.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/cmd.h"
#include "common/log.h"
#include "common/mem.h"

int command_failed(const struct err *err)
{
    log_error("%s", err->text);
    return 1;
}

int command_printed(int status)
{
    struct err err;

    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    err_errno(&err, "cannot write to standard output");
    return command_failed(&err);
}

int usage_error(const char *command, const struct err *err)
{
    log_error("%s: %s", command, err->text);
    fprintf(stderr, "Try \"asofs %s --help\".\n", command);
    return EXIT_USAGE;
}

static int run_one(const struct subcommands *all, const struct subcommand *c, void *options,
                   const bool *help, int argc, char **argv)
{
    char *operands[SUBCOMMAND_OPERANDS] = {NULL};
    char *called = mem_printf("%s %s", all->name, c->name);
    struct err err;
    int status, n = option_parse(c->options, false, options, argc, argv, operands, c->most, &err);

    if (n >= 0 && !*help && n < c->needed)
        n = err_set(&err, EINVAL, "%s needed", c->operands);
    if (n < 0) {
        status = usage_error(called, &err);
    } else if (*help) {
        fputs(c->help, stdout);
        status = command_printed(0);
    } else {
        umask(0077); /* what is in a store is its owner's alone, and all of it is his to change */
        if (all->ignore_sigpipe)
            signal(SIGPIPE, SIG_IGN);
        status = c->run(options, operands);
    }
    option_free(c->options, options);
    free(called);
    return status;
}

int subcommand_main(const struct subcommands *all, void *options, const bool *help, int argc,
                    char **argv)
{
    struct err err;
    size_t i;

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(all->help, stdout);
        return command_printed(0);
    }
    for (i = 0; argc > 1 && i < all->n; i++)
        if (strcmp(argv[1], all->list[i].name) == 0)
            return run_one(all, &all->list[i], options, help, argc - 1, argv + 1);
    if (argc > 1)
        err_set(&err, EINVAL, "unknown command \"%s\"", argv[1]);
    else
        err_set(&err, EINVAL, "a command is needed");
    return usage_error(all->name, &err);
}
