/* asofs status, wait, verify and list: what is to be said of views that exist. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/subcommand.h"
#include "cmd/targetstatus.h"
#include "common/log.h"
#include "common/printable.h"
#include "common/units.h"
#include "view/inspect.h"
#include "view/mounted.h"

struct options {
    struct target_look look; /* of a second database, and then no view is looked at */
    bool json;
    bool quiet;
    bool help;
};

static int check_operands(const struct options *o, int n, int min, struct err *err)
{
    if (o->look.target)
        return n ? err_set(err, EINVAL, "either DIR or --target can be given") : 0;
    if (o->look.name || o->look.newer_than)
        return err_set(err, EINVAL, "--name and --newer-than are about a --target");
    return n < min ? err_set(err, EINVAL, "DIR is needed") : n;
}

/* Parse, and answer --help. The number of operands, or -1 with *status set. */
static int parse_options(struct options *o, const struct option_def *defs, const char *help,
                         int argc, char **argv, char **operands, int min, int max, int *status)
{
    struct err err;
    int n = option_parse(defs, false, o, argc, argv, operands, max, &err);

    if (n >= 0 && o->help) {
        fputs(help, stdout);
        *status = fflush(stdout) != 0;
        return -1;
    }
    if (n >= 0)
        n = check_operands(o, n, min, &err);
    if (n < 0)
        *status = usage_error(argv[0], &err);
    return n < 0 ? -1 : n;
}

/* ---- status ---- */

/* Time left, from bytes so far against the size in the source: text is about as long as its pages.
 */
static void estimate_left(const struct inspected_table *t, char *out, size_t room)
{
    double part = t->estimate ? (double)t->bytes / (double)t->estimate : 0;

    if (strcmp(t->state, "running") != 0 || part < 0.01)
        snprintf(out, room, "-");
    else
        units_format_seconds(part < 1 ? (int64_t)(t->seconds * (1 - part) / part) : 0, out, room);
}

static void print_table(const struct inspected_table *t)
{
    char size[32], estimate[32], rate[32] = "-", left[32];

    if (t->seconds > 0.01)
        units_format_size((uint64_t)((double)t->bytes / t->seconds), rate, sizeof(rate));
    estimate_left(t, left, sizeof(left));
    printable_out("%-9s %12llu %10s %10s %10s %7s  %s%s%s\n", t->state, (unsigned long long)t->rows,
                  units_format_size(t->bytes, size, sizeof(size)),
                  units_format_size(t->estimate, estimate, sizeof(estimate)), rate, left, t->file,
                  *t->error ? ": " : "", t->error);
}

static void print_whole(const struct inspected *i)
{
    double part = i->estimate ? (double)i->estimate_done / (double)i->estimate : 1;
    char size[32], left[32] = "";

    if (strcmp(i->state, "extracting") == 0 && part > 0.01)
        units_format_seconds((int64_t)(i->extract_seconds * (1 - part) / part), left, sizeof(left));
    printable_out("%s as of %s: %s, %zu table%s, %s", i->source, i->moment, i->state, i->ntables,
                  units_s(i->ntables), units_format_size(i->bytes, size, sizeof(size)));
    if (*left)
        printf(", %d%%, %s left", (int)(part * 100), left);
    putchar('\n');
    if (i->source_held || i->held_seconds > 0) /* a page view has never held anybody */
        printf("The source %s held for %.1f seconds.\n", i->source_held ? "is being" : "was",
               i->held_seconds);
}

static int view_status(const char *dir, bool json)
{
    struct inspected i;
    struct err err;
    size_t t;
    int status = 0;

    if (mounted_open(&i, dir, &err) < 0)
        return command_failed(&err);
    if (json) {
        fputs(i.json, stdout);
    } else {
        printf("%-9s %12s %10s %10s %10s %7s  %s\n", "state", "rows", "bytes", "source", "rate/s",
               "left", "file");
        for (t = 0; t < i.ntables; t++)
            print_table(&i.tables[t]);
        print_whole(&i);
    }
    for (t = 0; t < i.ntables; t++)
        status |= strcmp(i.tables[t].state, "failed") == 0 || *i.tables[t].error;
    inspect_free(&i);
    return fflush(stdout) != 0 ? 1 : status;
}

int cmd_status(int argc, char **argv)
{
    static const struct option_def defs[] = {
        OPTION_FLAG("json", 0, struct options, json),
        OPTION_CALL("target", 0, struct options, look.target, target_look_set),
        OPTION_TEXT("name", 0, struct options, look.name),
        OPTION_FLAG("help", 'h', struct options, help),
        OPTION_END,
    };
    static const char help[] =
        "Usage: asofs status [--json] DIR\n"
        "       asofs status [--json] --target=TARGET [--name=NAME]\n"
        "Tell how far a view is: a line for each table, the whole, how long the source was held.\n"
        "The exit status is 1 when a table failed.\n"
        "Of a second database: a line for each table of the copies made into it (of the one with\n"
        "that name), and which is current. The exit status is 1 when one has failed.\n";
    struct options o = {0};
    char *dir = NULL;
    int status;

    if (parse_options(&o, defs, help, argc, argv, &dir, 1, 1, &status) >= 0)
        status = o.look.target ? target_status(&o.look, o.json) : view_status(dir, o.json);
    target_look_free(&o.look);
    return status;
}

/* ---- wait ---- */

static int view_wait(char **operands, int n)
{
    struct inspected i;
    struct err err;
    int k, rc = 0;

    if (mounted_open(&i, operands[0], &err) < 0)
        return command_failed(&err);
    for (k = 1; k < n && rc == 0; k++) {
        const struct inspected_table *t = inspect_find(&i, operands[k]);

        rc = t ? inspect_wait(operands[0], t, &err)
               : err_set(&err, ENOENT, "the view has no table \"%s\"", operands[k]);
    }
    for (k = 0; n == 1 && k < (int)i.ntables && rc == 0; k++)
        rc = inspect_wait(operands[0], &i.tables[k], &err);
    inspect_free(&i);
    return rc < 0 ? command_failed(&err) : 0;
}

int cmd_wait(int argc, char **argv)
{
    static const struct option_def defs[] = {
        OPTION_CALL("target", 0, struct options, look.target, target_look_set),
        OPTION_TEXT("name", 0, struct options, look.name),
        OPTION_TEXT("newer-than", 0, struct options, look.newer_than),
        OPTION_FLAG("help", 'h', struct options, help),
        OPTION_END,
    };
    static const char help[] =
        "Usage: asofs wait DIR [TABLE]...\n"
        "       asofs wait --target=TARGET --name=NAME [--newer-than=TIME]\n"
        "Wait until these tables (default: all) of a view mounted with --nowait are complete.\n"
        "TABLE is schema.table or a file below DIR; those named come first in the queue.\n"
        "Of a second database: wait until the copy of that name is current, and of a moment later\n"
        "than TIME.\n";
    char *operands[1024];
    struct options o = {0};
    int status, n = parse_options(&o, defs, help, argc, argv, operands, 1, 1024, &status);
    struct err err;

    if (n >= 0 && o.look.target && !o.look.name) {
        err_set(&err, EINVAL, "--name is needed");
        status = usage_error(argv[0], &err);
    } else if (n >= 0) {
        status = o.look.target ? target_wait(&o.look) : view_wait(operands, n);
    }
    target_look_free(&o.look);
    return status;
}

/* ---- verify ---- */

/* 0 right, 1 wrong or not to be read. */
static int verify_table(const char *dir, const struct inspected_table *t, bool quiet)
{
    struct err err;

    if (inspect_verify(dir, t, &err) < 0)
        return command_failed(&err);
    if (!quiet)
        printable_out("%s: OK\n", t->file);
    return 0;
}

int cmd_verify(int argc, char **argv)
{
    static const struct option_def defs[] = {
        OPTION_FLAG("quiet", 'q', struct options, quiet),
        OPTION_FLAG("help", 'h', struct options, help),
        OPTION_END,
    };
    static const char help[] =
        "Usage: asofs verify [-q] DIR\n"
        "Read every file of a view, or of a directory made by `asofs extract`, and compare size "
        "and\n"
        "checksum with .asofs/tables.csv. The exit status is 1 when one differs.\n";
    struct options o = {0};
    struct inspected i;
    struct err err;
    size_t t, wrong = 0;
    char *dir;
    int status;

    if (parse_options(&o, defs, help, argc, argv, &dir, 1, 1, &status) < 0)
        return status;
    if (mounted_open(&i, dir, &err) < 0)
        return command_failed(&err);
    for (t = 0; t < i.ntables; t++)
        wrong += (size_t)verify_table(dir, &i.tables[t], o.quiet);
    if (wrong)
        log_error("%zu of %zu file%s %s not as %s should be", wrong, i.ntables, units_s(i.ntables),
                  wrong == 1 ? "is" : "are", wrong == 1 ? "it" : "they");
    inspect_free(&i);
    return fflush(stdout) != 0 || wrong > 0;
}

/* ---- list ---- */

static void print_mount(void *arg, const struct mounted *m)
{
    (void)arg;
    printable_out("%-10s %-27s %s  %s\n", m->state, m->moment, m->dir, m->source);
}

int cmd_list(int argc, char **argv)
{
    static const struct option_def defs[] = {
        OPTION_FLAG("help", 'h', struct options, help),
        OPTION_END,
    };
    static const char help[] =
        "Usage: asofs list\n"
        "The views mounted on this machine: state, moment, directory, source.\n";
    struct options o = {0};
    struct err err;
    int status;

    if (parse_options(&o, defs, help, argc, argv, NULL, 0, 0, &status) < 0)
        return status;
    if (mounted_each(print_mount, NULL, &err) < 0)
        return command_failed(&err);
    return fflush(stdout) != 0;
}
