/* asofs view: the views that a store keeps: list them, drop them, verify them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/subcommand.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "common/printable.h"
#include "common/units.h"
#include "store/check.h"
#include "replay/livefreeze.h"
#include "replay/making.h"
#include "base/place.h"

struct options {
    bool all;
    bool help;
};

/* ---- list ---- */

struct line { /* collected first: the columns are as wide as what is in them */
    char *name, *state, *bytes, *base, *moment;
};

/* In words: whose work it is now, or what it has come to. */
static const char *state_of(struct store *s, const char *name, const struct store_view_facts *f)
{
    struct err ignored;
    int fd;

    if (f->complete)
        return "complete";
    if (!f->target)
        return "open";
    return making_lock(s, name, false, &fd, &ignored) == 1 ? "replaying" : "unfinished";
}

static char *moment_of(const struct store_view_facts *f)
{
    char lsn[LSN_TEXT_MAX];

    if (!f->target)
        return mem_strdup("-");
    if (!f->complete || !f->lsn)
        return mem_strdup(f->target);
    return mem_printf("%s (up to %s)", f->target, lsn_text(f->lsn, lsn));
}

static int read_line(struct store *s, const char *name, struct line *l, struct err *err)
{
    char *path = mem_printf("view/%s", name), size[32];
    struct store_view_facts f = {0};
    struct err ignored;
    int rc = store_view_facts(s, name, &f, err);

    if (rc == 0)
        rc = store_read_view(s, name, &l->base, err);
    if (rc == 0) {
        l->name = mem_strdup(name);
        l->state = mem_printf("%s%s", state_of(s, name, &f),
                              store_view_in_use(s, name, &ignored) == 1 ? ", in use" : "");
        l->bytes = mem_strdup(units_format_size(place_bytes(s, path), size, sizeof(size)));
        l->moment = moment_of(&f);
    }
    store_view_facts_free(&f);
    free(path);
    return rc;
}

static void free_line(struct line *l)
{
    free(l->name);
    free(l->state);
    free(l->bytes);
    free(l->base);
    free(l->moment);
}

static int wider(int width, const char *text)
{
    return (int)strlen(text) > width ? (int)strlen(text) : width;
}

static void print_lines(const struct line *lines, size_t n)
{
    int name = 4, state = 5, bytes = 6, base = 4;
    size_t i;

    for (i = 0; i < n; i++) {
        name = wider(name, lines[i].name);
        state = wider(state, lines[i].state);
        bytes = wider(bytes, lines[i].bytes);
        base = wider(base, lines[i].base);
    }
    printf("%-*s  %-*s  %*s  %-*s  %s\n", name, "name", state, "state", bytes, "stored", base,
           "base", "moment");
    for (i = 0; i < n; i++)
        printable_out("%-*s  %-*s  %*s  %-*s  %s\n", name, lines[i].name, state, lines[i].state,
                      bytes, lines[i].bytes, base, lines[i].base, lines[i].moment);
}

/* Those that cannot be read are told; the others are listed all the same. A view that is gone by
 * now is none. */
static int list_views(struct store *s, bool all, struct err *err)
{
    char **names = NULL, **p;
    struct line *lines = NULL;
    size_t n = 0, room = 0;
    int status = 0, rc = store_views(s, &names, err);

    for (p = names; rc == 0 && *p; p++) {
        if (!all && making_is_temporary(*p))
            continue;
        lines = mem_grow(lines, n, &room, sizeof(*lines));
        lines[n] = (struct line){0};
        if (read_line(s, *p, &lines[n], err) == 0) {
            n++;
            continue;
        }
        free_line(&lines[n]);
        if (store_has_view(s, *p))
            status = command_failed(err);
    }
    if (rc == 0)
        print_lines(lines, n);
    while (n)
        free_line(&lines[--n]);
    free(lines);
    if (names)
        store_names_free(names);
    return rc < 0 ? rc : status;
}

static int run_list(const void *options, char **operands)
{
    const struct options *o = options;
    struct store *s = NULL;
    struct err err;
    int rc = place_open(operands[0], &s, &err);

    if (rc == 0)
        rc = list_views(s, o->all, &err);
    store_close(s);
    return rc < 0 ? command_failed(&err) : command_printed(rc);
}

/* ---- drop ---- */

static int run_drop(const void *options, char **operands)
{
    struct store *s = NULL;
    struct err err;
    int rc = place_open(operands[0], &s, &err);

    (void)options;
    if (rc == 0)
        rc = making_drop_view(s, operands[1], &err);
    if (rc == 0)
        livefreeze_clear(s);
    store_close(s);
    return rc < 0 ? command_failed(&err) : 0;
}

/* ---- verify ---- */

static void print_line(void *arg, const char *line)
{
    (void)arg;
    puts(line);
}

static int run_verify(const void *options, char **operands)
{
    struct check_report r = {0};
    struct store *s = NULL;
    struct err err;
    int rc = place_open(operands[0], &s, &err);

    (void)options;
    if (rc == 0)
        rc = store_check_view(s, operands[1], print_line, NULL, &r, &err);
    store_close(s);
    if (rc < 0)
        return command_failed(&err);
    printf("Looked at %" PRIu64 " file%s with %" PRIu64 " stored page%s. ", r.files,
           units_s(r.files), r.pages, units_s(r.pages));
    if (r.findings)
        printf("Findings: %" PRIu64 ".\n", r.findings);
    else
        printf("Nothing is wrong.\n");
    return command_printed(r.findings > 0);
}

/* ---- which of them ---- */

static const struct option_def only_help[] = {
    OPTION_FLAG("help", 'h', struct options, help),
    OPTION_END,
};
static const struct option_def with_all[] = {
    OPTION_FLAG("all", 'a', struct options, all),
    OPTION_FLAG("help", 'h', struct options, help),
    OPTION_END,
};

static const struct subcommand subcommands[] = {
    {"list", "STORE is",
     "Usage: asofs view list STORE [--all]\n"
     "The views of a store: name, state, bytes stored, base, and which moment they show.\n\n"
     "  -a, --all     also those that a mount makes for itself\n",
     with_all, 1, 1, run_list},
    {"drop", "STORE and NAME are",
     "Usage: asofs view drop STORE NAME\n"
     "Remove a view and all its pages. The base and the log stay. A view in use is refused.\n",
     only_help, 2, 2, run_drop},
    {"verify", "STORE and NAME are",
     "Usage: asofs view verify STORE NAME\n"
     "Look at every file of a view and what it stands on: descriptions, names, side page tables, "
     "the\n"
     "checksum of every stored page, and whether the base is as it was. The exit status is 1 when\n"
     "something is wrong.\n",
     only_help, 2, 2, run_verify},
};

static const char general_help[] =
    "Usage: asofs view COMMAND STORE ...\n"
    "The views of past moments that a store keeps (asofs mount STORE DIR --at=TIME "
    "--view=NAME).\n\n"
    "  asofs view list STORE           which there are, and what they show\n"
    "  asofs view drop STORE NAME      remove one\n"
    "  asofs view verify STORE NAME    check every stored page of one\n\n"
    "The manual is asofs-view(1).\n";

int cmd_view(int argc, char **argv)
{
    static const struct subcommands all = {"view", general_help, subcommands,
                                           sizeof(subcommands) / sizeof(*subcommands), false};
    struct options o = {0};

    return subcommand_main(&all, &o, &o.help, argc, argv);
}
