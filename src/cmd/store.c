/* asofs store: make a store, adopt bases, look inside. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/subcommand.h"
#include "common/mem.h"
#include "common/printable.h"
#include "common/units.h"
#include "store/check.h"
#include "store/store.h"
#include "base/place.h"

struct options {
    char *view;
    bool help;
};

static const struct option_def only_help[] = {
    OPTION_FLAG("help", 'h', struct options, help),
    OPTION_END,
};
static const struct option_def with_view[] = {
    OPTION_TEXT("view", 0, struct options, view),
    OPTION_FLAG("help", 'h', struct options, help),
    OPTION_END,
};

/* ---- create, add-base, drop-view ---- */

static int run_create(const void *options, char **operands)
{
    struct err err;
    int rc;

    (void)options;
    rc = place_check_new(operands[0], &err);
    if (rc == 0)
        rc = store_create(operands[0], &err);
    return rc < 0 ? command_failed(&err) : 0;
}

static int run_add_base(const void *options, char **operands)
{
    struct store *s = NULL;
    struct err err;
    char *id = NULL;
    int rc;

    (void)options;
    rc = place_open(operands[0], &s, &err);
    if (rc == 0)
        rc = store_add_base(s, operands[1], NULL, &id, &err);
    if (rc == 0)
        printf("%s\n", id);
    free(id);
    store_close(s);
    return rc < 0 ? command_failed(&err) : command_printed(0);
}

static int run_drop_view(const void *options, char **operands)
{
    struct store *s = NULL;
    struct err err;
    int rc;

    (void)options;
    rc = place_open(operands[0], &s, &err);
    if (rc == 0)
        rc = store_drop_view(s, operands[1], &err);
    store_close(s);
    return rc < 0 ? command_failed(&err) : 0;
}

/* ---- list ---- */

/* 0, or 1 for one that cannot be opened: the others are told all the same. */
static int print_base(struct store *s, const char *id)
{
    struct store_base b;
    struct err err;

    if (store_open_base(s, id, &b, &err) < 0) {
        printf("base %s  cannot be opened\n", id);
        return command_failed(&err);
    }
    if (b.n_layers > 1)
        printf("base %s  a layer on base %s\n", id, b.layer_ids[b.n_layers - 2]);
    else if (b.n_layers)
        printable_out("base %s  a layer on %s\n", id, b.directory);
    else
        printable_out("base %s  %s\n", id, b.directory);
    store_close_base(&b);
    return 0;
}

static int print_view(struct store *s, const char *name)
{
    struct err err;
    char *base = NULL;
    int rc = store_read_view(s, name, &base, &err);

    if (rc == 0)
        rc = store_view_in_use(s, name, &err);
    if (rc >= 0)
        printable_out("view %s  of base %s%s\n", name, base, rc ? ", in use" : "");
    else
        printf("view %s  cannot be opened\n", name);
    free(base);
    return rc >= 0 ? 0 : command_failed(&err);
}

static int run_list(const void *options, char **operands)
{
    char **bases = NULL, **views = NULL, **p;
    struct store *s = NULL;
    struct err err;
    int rc, status = 0;

    (void)options;
    rc = place_open(operands[0], &s, &err);
    if (rc == 0)
        rc = store_bases(s, &bases, &err);
    if (rc == 0)
        rc = store_views(s, &views, &err);
    for (p = bases; rc == 0 && *p; p++)
        status |= print_base(s, *p);
    for (p = views; rc == 0 && *p; p++)
        status |= print_view(s, *p);
    store_names_free(bases);
    store_names_free(views);
    store_close(s);
    return rc < 0 ? command_failed(&err) : command_printed(status);
}

/* ---- check ---- */

static void print_line(void *arg, const char *line)
{
    (void)arg;
    puts(line);
}

static int run_check(const void *options, char **operands)
{
    struct check_report r = {0};
    struct store *s = NULL;
    struct err err;
    int rc;

    (void)options;
    rc = place_open(operands[0], &s, &err);
    if (rc == 0)
        rc = store_check(s, print_line, NULL, &r, &err);
    store_close(s);
    if (rc < 0)
        return command_failed(&err);
    printf("Looked at: bases %" PRIu64 ", views %" PRIu64 ", difference files %" PRIu64
           ", stored pages %" PRIu64 ". ",
           r.bases, r.views, r.files, r.pages);
    if (r.findings)
        printf("Findings: %" PRIu64 ".\n", r.findings);
    else
        printf("Nothing is wrong.\n");
    return command_printed(r.findings > 0);
}

/* ---- map ---- */

/* Collected first: the columns are as wide as the widest number. */
struct map {
    struct map_line {
        uint64_t first, last, unreadable;
        char *place;
    } * lines;
    size_t n, room;
};

static void add_run(void *arg, const struct map_run *run)
{
    struct map *m = arg;

    m->lines = mem_grow(m->lines, m->n, &m->room, sizeof(*m->lines));
    m->lines[m->n++] = (struct map_line){run->first, run->first + run->count - 1, run->unreadable,
                                         mem_strdup(run->place)};
}

static void print_map(const struct map *m, const char *file, uint64_t size)
{
    int width = m->n ? snprintf(NULL, 0, "%" PRIu64, m->lines[m->n - 1].last) : 0;
    const struct map_line *l;

    printable_out("%s: %" PRIu64 " byte%s\n", file, size, units_s(size));
    for (l = m->lines; l < m->lines + m->n; l++) {
        printable_out("%*" PRIu64 "-%-*" PRIu64 "  %s", width, l->first, width, l->last, l->place);
        if (l->unreadable)
            printf("  UNREADABLE: %" PRIu64 " of %" PRIu64 " page%s", l->unreadable,
                   l->last - l->first + 1, units_s(l->last - l->first + 1));
        putchar('\n');
    }
}

/* The one view of a store; it need not be named. */
static int only_view(struct store *s, char **name, struct err *err)
{
    char **views;
    int rc = store_views(s, &views, err);

    if (rc < 0)
        return rc;
    if (!views[0])
        rc = err_set(err, ENOENT, "%s has no view", store_path(s));
    else if (views[1])
        rc =
            err_set(err, EINVAL, "%s has several views: say which with --view=NAME", store_path(s));
    else
        *name = mem_strdup(views[0]);
    store_names_free(views);
    return rc;
}

static int run_map(const void *options, char **operands)
{
    const struct options *o = options;
    char *view = mem_strdup(o->view);
    struct map map = {0};
    struct store *s = NULL;
    struct err err;
    uint64_t size;
    int rc = place_open(operands[0], &s, &err);

    if (rc == 0 && !view)
        rc = only_view(s, &view, &err);
    if (rc == 0)
        rc = store_map(s, view, operands[1], &size, add_run, &map, &err);
    if (rc == 0)
        print_map(&map, operands[1], size);
    store_close(s);
    while (map.n)
        free(map.lines[--map.n].place);
    free(map.lines);
    free(view);
    return rc < 0 ? command_failed(&err) : command_printed(0);
}

/* ---- which of them ---- */

static const struct subcommand subcommands[] = {
    {"create", "STORE is",
     "Usage: asofs store create STORE\n"
     "Make a store in a new or empty directory.\n",
     only_help, 1, 1, run_create},
    {"add-base", "STORE and DIR are",
     "Usage: asofs store add-base STORE DIR\n"
     "Adopt a data directory in place as a base, and print its id. DIR is never written, and must\n"
     "not change from now on.\n",
     only_help, 2, 2, run_add_base},
    {"list", "STORE is",
     "Usage: asofs store list STORE\n"
     "The bases and views of a store, one a line.\n",
     only_help, 1, 1, run_list},
    {"check", "STORE is",
     "Usage: asofs store check STORE\n"
     "Look at everything in a store: descriptions, bases, names, side page tables, and the "
     "checksum\n"
     "of every stored page. Nothing is changed. A view in use is not looked into. The exit status\n"
     "is 1 when something is wrong.\n",
     only_help, 1, 1, run_check},
    {"map", "STORE and FILE are",
     "Usage: asofs store map STORE FILE [--view=NAME]\n"
     "Print the size of a file, and which of its 8 KiB pages come from where: the view, a layer, "
     "the\n"
     "base, or none (zero). FILE is a path below the data directory, such as base/5/1259. A store\n"
     "with one view needs no --view.\n",
     with_view, 2, 2, run_map},
    {"drop-view", "STORE and NAME are",
     "Usage: asofs store drop-view STORE NAME\n"
     "Remove a view and all its pages. Bases stay.\n",
     only_help, 2, 2, run_drop_view},
};

static const char general_help[] =
    "Usage: asofs store COMMAND STORE ...\n"
    "A store holds bases (data directories, never written) and views (what differs from them).\n\n"
    "  asofs store create STORE            make one\n"
    "  asofs store add-base STORE DIR      adopt a data directory in place\n"
    "  asofs store list STORE              its bases and views\n"
    "  asofs store check STORE             look whether everything in it is right\n"
    "  asofs store map STORE FILE          which page of a file comes from where\n"
    "  asofs store drop-view STORE NAME    remove a view\n\n"
    "The manual is asofs-store(1).\n";

int cmd_store(int argc, char **argv)
{
    static const struct subcommands all = {"store", general_help, subcommands,
                                           sizeof(subcommands) / sizeof(*subcommands), false};
    struct options o = {0};

    return subcommand_main(&all, &o, &o.help, argc, argv);
}
