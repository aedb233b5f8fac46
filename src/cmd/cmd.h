/*
 * cmd/: the command line. main() and one file a subcommand: options in, messages out, exit status 0
 * (done), 1 (failed) or 2 (wrong usage). May use every room; is used by none.
 */
#ifndef ASOFS_CMD_CMD_H
#define ASOFS_CMD_CMD_H

#include <stdbool.h>

#define EXIT_USAGE 2

/* argv[0] is the name of the subcommand. Each returns the exit status. */
int cmd_mount(int argc, char **argv);
int cmd_mount_fake(int argc, char **argv); /* the options are looked at, and that is all */
int cmd_extract(int argc, char **argv);
int cmd_load(int argc, char **argv);
int cmd_copy(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_wait(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_list(int argc, char **argv);

/* The program under the names that mount(8) calls: argv is that of a mount helper. */
bool is_mounthelper(const char *argv0);
int cmd_mounthelper(int argc, char **argv);

int cmd_worker(int argc, char **argv);
int cmd_load_worker(int argc, char **argv); /* deleter, loader */
int cmd_pagefs(int argc, char **argv);
int cmd_live(int argc, char **argv);
int cmd_child(int argc, char **argv);
int cmd_guard(int argc, char **argv);
int cmd_base(int argc, char **argv);
int cmd_view(int argc, char **argv);
int cmd_prune(int argc, char **argv);
int cmd_store(int argc, char **argv);

#endif
