/* asofs extract: the same view as plain files, in a new directory that appears whole or not at all.
 */
#include <errno.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/source.h"
#include "common/log.h"
#include "common/stop.h"

static const struct option_def defs[] = {
    SOURCE_OPTION_DEFS,
    {0},
};

static int print_help(void)
{
    printf("Usage: asofs extract [OPTION]... SOURCE DIR\n"
           "Write the tables of a PostgreSQL database, as of now, as files to the new directory "
           "DIR.\n\n"
           "SOURCE is a libpq connection string, URI or database name, as for psql, or a store.\n"
           "DIR must not exist; it appears when every file is complete. Intermediate data is kept\n"
           "beside it, so --spool has no effect here.\n\n"
           "%s",
           source_help);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int extract_into(struct source_options *o, struct outdir *d, struct err *err)
{
    struct view *v = NULL;
    int rc = source_open(o, err);

    if (rc == 0)
        rc = source_extract_files(o, d, &v, err);
    if (rc == 0)
        view_print_summary(v, d->path);
    view_free(v);
    source_release(o);
    return rc;
}

static int extract(struct source_options *o, const char *dir)
{
    struct stop stop;
    struct outdir d;
    struct err err;
    int rc = stop_open(&stop, &err);

    o->request.stop_fd = stop.fd;
    if (rc == 0)
        rc = outdir_open(&d, dir, &err);
    if (rc == 0) {
        rc = extract_into(o, &d, &err);
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

int cmd_extract(int argc, char **argv)
{
    struct source_options o;
    char *operands[2];
    struct err err;
    int n, status;

    source_init(&o);
    n = option_parse(defs, false, &o, argc, argv, operands, 2, &err);
    if (n >= 0 && source_check(&o, &err) < 0)
        n = -EINVAL;
    if (n < 0)
        status = usage_error("extract", &err);
    else if (o.help)
        status = print_help();
    else if (o.version)
        status = printf("asofs %s\n", PACKAGE_VERSION) < 0;
    else if (n < 2 && !(n == 1 && o.dry_run)) {
        err_set(&err, EINVAL, "SOURCE and DIR are needed");
        status = usage_error("extract", &err);
    } else {
        source_take(&o, operands[0]);
        status = o.dry_run ? source_dry_run(&o) : extract(&o, operands[1]);
    }
    source_free(&o);
    return status;
}
