#include "cmd/join.h"

#include <errno.h>

#include "common/log.h"
#include "common/stop.h"
#include "load/join.h"
#include "store/store.h"

int join_check(const struct source *source, const struct target_options *t, const char *other,
               struct err *err)
{
    const struct snapshot_request *r = &source->request;
    const char *option = other                         ? other
                         : r->freeze_by_lock           ? "--freeze=lock"
                         : r->tables.n                 ? "to choose tables (-t, -T, --tables-from)"
                         : r->format != PG_FORMAT_CSV  ? "--format"
                         : r->encoding                 ? "--encoding"
                         : r->hold_limit_ms            ? "--hold-limit"
                         : source->page.moment.kind    ? "a past moment"
                         : t->schema                   ? "--target-schema"
                         : t->request.mode             ? "--publish"
                         : t->request.unlogged         ? "--unlogged"
                         : t->create != CREATE_MISSING ? "--create"
                                                       : NULL;

    if (option)
        return err_set(err, EINVAL, "%s is not possible with --join: that is the leader's affair",
                       option);
    if (!t->name)
        return err_set(err, EINVAL, "--join needs --name=NAME, which copy is meant");
    if (store_is(source->place))
        return err_set(err, EINVAL, "--join needs a running server; %s is a store", source->place);
    return 0;
}

int join_copy(struct source *source, struct target_options *t, int64_t timeout_ms)
{
    struct join_request req = {.name = t->name,
                               .source = source->place,
                               .target = t->request.target,
                               .spool_dir = source->request.spool_dir,
                               .jobs = source->request.jobs,
                               .wait_ms = timeout_ms,
                               .worker_timeout_ms = source->request.worker_timeout_ms,
                               .lock_timeout_ms = source->request.lock_timeout_ms,
                               .quiet = source->request.quiet};
    struct stop stop;
    struct err err;
    int rc = stop_open(&stop, &err);

    req.stop_fd = stop.fd;
    if (rc == 0)
        rc = join_run(&req, &err);
    if (rc < 0)
        log_error("%s", err.text);
    stop_close(&stop, true);
    return rc < 0;
}
