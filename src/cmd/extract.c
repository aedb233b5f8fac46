/* asofs extract: the same view as plain files, in a new directory that appears whole or not at all.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/objects.h"
#include "cmd/source.h"
#include "cmd/subcommand.h"
#include "common/log.h"
#include "common/stop.h"
#include "store/store.h"
#include "view/frame.h"

struct options {
    struct source_command c;
    bool large_objects;
    char *name;
};

static int set_compress(void *level, const char *v, struct err *err)
{
    return frame_read_level(v, level, err);
}

static const struct option_def options[] = {
    OPTION_ROWS(struct options, c, source_command_options),
    OPTION_CHOICE("render", 0, struct options, c.source.request.render, source_render_names),
    OPTION_CALL("compress", 0, struct options, c.source.request.compress, set_compress),
    OPTION_FLAG("large-objects", 0, struct options, large_objects),
    OPTION_TEXT("name", 0, struct options, name),
    OPTION_END,
};

static int print_help(void)
{
    printf(
        "Usage: asofs extract [OPTION]... SOURCE DIR\n"
        "Write the tables of a PostgreSQL database, as of now, as files to the new directory "
        "DIR.\n\n"
        "SOURCE is a libpq connection string, URI or database name, as for psql, or a store.\n"
        "DIR must not exist; it appears when every file is complete. Intermediate data is kept\n"
        "beside it, so --spool has no effect here.\n\n"
        "      --render=WHEN         of a store: tables straight from its pages: auto (where it "
        "is\n"
        "                            quicker than copying them), always (all that can be), never\n"
        "      --compress=zstd[:LEVEL]  tables that are rendered as .csv.zst (level 1 to 19, "
        "default: 3);\n"
        "                            all that can be rendered are\n"
        "      --large-objects       SOURCE holds the files as large objects, put there by\n"
        "                            asofs copy --large-objects: write them to DIR\n"
        "      --name=NAME           of that copy (default: the only one there is)\n\n"
        "%s",
        source_help);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int extract_into(struct source *source, struct outdir *d, struct err *err)
{
    struct view *v = NULL;
    int rc = source_open(source, err);

    if (rc == 0)
        rc = source_extract_files(source, d, &v, err);
    if (rc == 0)
        view_print_summary(v, d->path);
    view_free(v);
    source_release(source);
    return rc;
}

static int extract_and_publish(struct source *source, const char *dir)
{
    struct stop stop;
    struct outdir d;
    struct err err;
    int rc = stop_open(&stop, &err);

    source->request.stop_fd = stop.fd;
    if (rc == 0)
        rc = outdir_open(&d, dir, &err);
    if (rc == 0) {
        rc = extract_into(source, &d, &err);
        if (rc == 0)
            rc = outdir_publish(&d, &err);
        else
            outdir_abandon(&d);
    }
    if (rc < 0)
        log_error("%s", err.text);
    stop_close(&stop, true);
    return rc < 0;
}

/* What would be silently without effect. */
static const char *without_effect(const struct options *o)
{
    const struct source *s = &o->c.source;

    if (!o->large_objects)
        return o->name ? "--name" : NULL;
    return s->request.format != PG_FORMAT_CSV   ? "--format"
           : s->request.compress                ? "--compress"
           : s->page.moment.kind != MOMENT_NONE ? "a moment"
           : o->c.dry_run                       ? "--dry-run"
                                                : NULL;
}

/* Then everything that can be is rendered. */
static int check_compress(struct snapshot_request *r, const char *place, struct err *err)
{
    if (!r->compress)
        return 0;
    if (!store_is(place))
        return err_set(err, EINVAL,
                       "--compress is possible where tables are rendered, and so only of a store");
    if (r->render == SNAPSHOT_COPY || r->format == PG_FORMAT_BINARY)
        return err_set(err, EINVAL, "--compress does not go with --%s",
                       r->render == SNAPSHOT_COPY ? "render=never" : "format=binary");
    r->render = SNAPSHOT_RENDER;
    return 0;
}

static int check_and_extract(struct options *o, char **operands)
{
    const char *what = without_effect(o);
    struct err err;

    if (what) {
        err_set(&err, EINVAL, "%s does not go %s --large-objects", what,
                o->large_objects ? "with" : "without");
        return usage_error("extract", &err);
    }
    if (check_compress(&o->c.source.request, operands[0], &err) < 0)
        return usage_error("extract", &err);
    source_command_begin(&o->c, operands[0]);
    return o->c.dry_run       ? source_dry_run(&o->c.source)
           : o->large_objects ? objects_extract(&o->c.source, o->name, operands[1])
                              : extract_and_publish(&o->c.source, operands[1]);
}

int cmd_extract(int argc, char **argv)
{
    static const struct source_command_def def = {"extract",        options,    false,
                                                  "SOURCE and DIR", print_help, NULL};
    struct options o = {0};
    char *operands[2];
    int status;

    source_init(&o.c.source);
    o.c.source.request.render = SNAPSHOT_RENDER_WHERE_IT_PAYS;
    if (source_command_parse(&o.c, &def, &o, argc, argv, operands, &status))
        status = check_and_extract(&o, operands);
    source_free(&o.c.source);
    free(o.name);
    return status;
}
