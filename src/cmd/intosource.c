#include "cmd/intosource.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/stop.h"
#include "load/intosource.h"
#include "store/store.h"

int into_source_check(const struct source *source, const struct target_options *t,
                      const char *other, struct err *err)
{
    const char *option = source->request.freeze_by_lock            ? "--freeze=lock"
                         : other                                   ? other
                         : t->schema                               ? "--target-schema"
                         : t->request.mode != LOADING_SWAP         ? "--publish"
                         : t->request.unlogged                     ? "--unlogged"
                         : source->request.format != PG_FORMAT_CSV ? "--format"
                                                                   : NULL;

    return option ? err_set(err, EINVAL, "%s is not possible with --into=source", option) : 0;
}

static int held(void *view, struct err *err)
{
    return view_check_held(view, err);
}

static int release_view(void *view, struct err *err)
{
    return view_release(view, err);
}

/* Copies are not copied: all of them are in schemas of these names. */
static int leave_out_copies(struct tablelist *tables, struct err *err)
{
    int rc = tablelist_exclude(tables, "asofs.*", err);

    return rc < 0 ? rc : tablelist_exclude(tables, "asofs_*.*", err);
}

static int freeze_all_but_copies(struct source *s, struct view **view, struct err *err)
{
    int rc = leave_out_copies(&s->request.tables, err);

    if (rc == 0 && store_is(s->place))
        rc = err_set(err, EINVAL, "--into=source needs a running server; %s is a store", s->place);
    if (rc == 0)
        rc = source_open(s, err);
    return rc < 0 ? rc : source_freeze(s, view, err);
}

static int check_names(const struct pg_catalog *c, struct err *err)
{
    size_t i, k;

    for (i = 0; i < c->ntables; i++)
        for (k = 0; k < i; k++)
            if (strcmp(c->tables[i].rel.name, c->tables[k].rel.name) == 0)
                return err_set(err, EINVAL,
                               "%s.%s and %s.%s would be one table of the copy; take one of them "
                               "(--exclude-table)",
                               c->tables[k].rel.schema, c->tables[k].rel.name,
                               c->tables[i].rel.schema, c->tables[i].rel.name);
    return 0;
}

static int copy_within(struct source *s, struct target_options *t, struct view *view,
                       struct err *err)
{
    struct view_facts f;
    struct intosource_request req;
    int rc;

    view_get_facts(view, &f);
    rc = target_name(t, f.database, err);
    if (rc == 0)
        rc = check_names(f.catalog, err);
    if (rc < 0)
        return rc;
    req = (struct intosource_request){.name = t->name,
                                      .source = f.target,
                                      .snapshot_id = f.snapshot_id,
                                      .catalog = f.catalog,
                                      .plan = f.plan,
                                      .timezone = f.timezone,
                                      .description = f.source,
                                      .moment = f.moment,
                                      .lsn = f.lsn,
                                      .jobs = s->request.jobs,
                                      .worker_timeout_ms = s->request.worker_timeout_ms,
                                      .lock_timeout_ms = s->request.lock_timeout_ms,
                                      .publish_timeout_ms = t->request.publish_timeout_ms,
                                      .stop_fd = s->request.stop_fd,
                                      .quiet = s->request.quiet,
                                      .held = held,
                                      .release = release_view,
                                      .arg = view};
    return intosource_run(&req, err);
}

int into_source(struct source *source, struct target_options *t)
{
    struct view *view = NULL;
    struct stop stop;
    struct err err;
    int rc = stop_open(&stop, &err);

    source->request.stop_fd = stop.fd;
    if (rc == 0)
        rc = freeze_all_but_copies(source, &view, &err);
    if (rc == 0)
        rc = copy_within(source, t, view, &err);
    if (rc < 0)
        log_error("%s", err.text);
    view_free(view);
    source_close(source);
    stop_close(&stop, true);
    return rc < 0;
}
