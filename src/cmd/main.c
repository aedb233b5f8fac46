#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "common/io.h"
#include "common/log.h"
#include "common/proc.h"
#include "load/worker.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"mount", cmd_mount},
    {"extract", cmd_extract},
    {"status", cmd_status},
    {"load", cmd_load},
    {"copy", cmd_copy},
    {"wait", cmd_wait},
    {"verify", cmd_verify},
    {"list", cmd_list},
    {"view", cmd_view},
    {"prune", cmd_prune},
    {"base", cmd_base},
    {"store", cmd_store},
    {"pagefs", cmd_pagefs},
    {"live", cmd_live},
    {"worker", cmd_worker},
    {LOAD_DELETER, cmd_load_worker},
    {LOAD_LOADER, cmd_load_worker},
    {LOAD_INSERTER, cmd_load_worker},
    {"child", cmd_child},
    {"guard", cmd_guard},
};

static int print_help(FILE *out)
{
    fputs(
        "Usage: asofs COMMAND [OPTION]...\n"
        "A PostgreSQL database as of one point in time, every table a file.\n\n"
        "  asofs mount SOURCE DIR     mount a consistent, read-only view of a running server, or "
        "of a\n"
        "                             past moment out of a store\n"
        "  asofs extract SOURCE DIR   write the same view as plain files to a new directory\n"
        "  asofs copy SOURCE TARGET   fill a second database with the tables as of one moment\n"
        "  asofs load VIEW TARGET     the same from a view that is there\n"
        "  asofs status DIR           how far a view is, or copies in a second database "
        "(--target)\n"
        "  asofs wait DIR [TABLE]...  until tables of a view mounted with --nowait\n"
        "                             are complete, or a copy in a second database is "
        "current\n"
        "  asofs verify DIR           check every file against its checksum\n"
        "  asofs list                 the views mounted on this machine\n\n"
        "  asofs base ...             take bases from a server, keep their log coming, list them\n"
        "  asofs view ...             the past moments that a store keeps as views\n"
        "  asofs prune STORE          remove the bases and the log that nothing needs any more\n"
        "  asofs store ...            make a store, add a data directory to it, look inside\n"
        "  asofs pagefs STORE DIR     a view of a store as a writable data directory\n"
        "  asofs live STORE DIR       a server's data directory, to be frozen at any time\n\n"
        "  asofs COMMAND --help       the options of a command\n"
        "  asofs --version            the version\n\n"
        "SOURCE is a libpq connection string, URI or database name, as for psql, or a store.\n"
        "The manual is asofs(1).\n",
        out);
    return fflush(out) == 0 ? 0 : 1;
}

static int general(const char *arg)
{
    if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0 || strcmp(arg, "help") == 0)
        return print_help(stdout);
    if (strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0)
        return printf("asofs %s\n", PACKAGE_VERSION) < 0;
    log_error("unknown command \"%s\"", arg);
    fputs("Try \"asofs --help\".\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    size_t i;

    proc_reset_signals();
    proc_widen_limits();
    if (io_keep_std_fds() < 0)
        return 1;
    if (is_mounthelper(argv[0]))
        return cmd_mounthelper(argc, argv);
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    for (i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return general(argv[1]);
}
