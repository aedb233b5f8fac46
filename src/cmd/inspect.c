/* asofs status, wait, verify and list: what is to be said of views that exist. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/subcommand.h"
#include "cmd/targetstatus.h"
#include "common/ask.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/printable.h"
#include "common/units.h"
#include "fs/mountpoint.h"
#include "view/inspect.h"
#include "replay/serverdir.h"

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

/* In a child. The kernel may know much of the directory by itself, but not this. */
static int await_answer(void *dir, FILE *out)
{
    (void)out;
    mountpoint_is_dead(dir);
    return 0;
}

/* Who waits for a process that has stopped is told so. */
static int open_view(struct inspected *i, const char *dir, struct err *err)
{
    struct buf nothing = {0};
    int rc = ask(await_answer, (char *)(uintptr_t)dir, &nothing, err);

    buf_free(&nothing);
    if (rc == -ETIMEDOUT)
        return err_set(
            err, ETIMEDOUT,
            "%s: the process that serves it does not answer; if it is stopped, let it go "
            "on (kill -CONT), or take the mount away (umount -l)",
            dir);
    return rc < 0 && rc != -EIO ? rc : inspect_open(i, dir, err);
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

    if (open_view(&i, dir, &err) < 0)
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
        status |= strcmp(i.tables[t].state, "failed") == 0;
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

    if (open_view(&i, operands[0], &err) < 0)
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
    if (open_view(&i, dir, &err) < 0)
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

struct listed {
    char *dir, *source;
    struct ask ask;
};

struct listing {
    struct listed *mounts;
    size_t n, room;
};

/* No flat files, but the data directory of a cluster: asofs pagefs. */
static bool is_data_directory(const char *dir)
{
    char *path = mem_printf("%s/PG_VERSION", dir);
    bool is = access(path, F_OK) == 0;

    free(path);
    return is;
}

static const char *other_state(const char *dir, const struct err *err)
{
    return mountpoint_is_dead(dir)                       ? "dead"
           : is_data_directory(dir)                      ? "pages"
           : strstr(err->text, strerror(EACCES)) != NULL ? "closed"
                                                         : "unknown";
}

#define LINE "%-10s %-27s %s  %s\n"

static void print_line(FILE *out, const char *state, const char *moment, const struct listed *l)
{
    fprintf(out, LINE, state, moment, l->dir, l->source); /* our parent makes it printable */
}

/* In a child: whoever serves the mount may have stopped. */
static int describe_mount(void *arg, FILE *out)
{
    const struct listed *l = arg;
    struct inspected i;
    struct err err;

    if (inspect_open(&i, l->dir, &err) < 0) {
        print_line(out, other_state(l->dir, &err), "-", l);
        return 0;
    }
    print_line(out, i.state, i.moment, l);
    inspect_free(&i);
    return 0;
}

static int add_mount(void *arg, const char *dir, const char *source)
{
    struct listing *l = arg;

    if (serverdir_has_mounted(dir))
        return 0;
    l->mounts = mem_grow(l->mounts, l->n + 1, &l->room, sizeof(*l->mounts));
    l->mounts[l->n++] = (struct listed){.dir = mem_strdup(dir), .source = mem_strdup(source)};
    return 0;
}

/* All are asked at once, so that many that do not answer take no longer than one. */
static int ask_all(struct listing *l, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < l->n && rc == 0; i++)
        rc = ask_start(&l->mounts[i].ask, describe_mount, &l->mounts[i], err);
    return rc;
}

static void print_answers(struct listing *l)
{
    int64_t deadline = clock_ms() + ASK_PATIENCE_MS;
    size_t i;

    for (i = 0; i < l->n; i++) {
        struct buf answer = {0};
        int rc = ask_wait(&l->mounts[i].ask, deadline, &answer);

        if (rc == 0)
            printable_out("%s", answer.data);
        else
            printable_out(LINE, rc == -ETIMEDOUT ? "no answer" : "unknown", "-", l->mounts[i].dir,
                          l->mounts[i].source);
        buf_free(&answer);
    }
}

static int list_mounts(struct err *err)
{
    struct listing l = {0};
    size_t i;
    int rc = inspect_each_mount(add_mount, &l, err);

    if (rc == 0)
        rc = ask_all(&l, err);
    if (rc == 0)
        print_answers(&l);
    for (i = 0; i < l.n; i++) {
        free(l.mounts[i].dir);
        free(l.mounts[i].source);
    }
    free(l.mounts);
    return rc;
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
    if (list_mounts(&err) < 0)
        return command_failed(&err);
    return fflush(stdout) != 0;
}
