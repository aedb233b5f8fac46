#include "replay/pagewal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "store/livewal.h"
#include "store/walsaid.h"
#include "replay/moment.h"
#include "replay/segment.h"

int pagewal_read(struct store *s, const char *dir, const char *command, struct pagewal *log,
                 struct err *err)
{
    const struct store_cluster *c = store_cluster(s);
    int rc;

    *log = (struct pagewal){.dir = dir ? dir : store_wal_directory(s),
                            .command = command || dir ? command : c->restore_command,
                            .list = {.segment_bytes = c->segment_bytes}};
    if (log->command)
        return 0;
    if (!dir)
        livewal_bring(s);
    rc = wal_read(log->dir, c->segment_bytes, &log->list, err);
    return rc == -ENOENT && !dir && !c->log ? 0 : rc;
}

int pagewal_reach(const struct store *s, const struct wal_way *way, struct wal_reach *r,
                  struct err *err)
{
    struct wal_said said[WALSAID_MAX];
    size_t n = walsaid_read(store_path(s), said);
    uint32_t towards = wal_newest(way->list, way->timeline, way->from);
    int rc = wal_reach(way, r, err);
    int64_t us = rc == 0 && r->end ? walsaid_proves(said, n, way->list, towards, r->end) : 0;

    if (us > r->time_us)
        r->time_us = us;
    return rc;
}

char **pagewal_env(const struct store *s, const struct pagewal *log)
{
    char **env = mem_array(4, sizeof(*env));

    env[0] = mem_printf("ASOFS_LOG=%s", log->dir);
    env[1] = mem_printf(SEGMENT_SYSTEM_ENV "=%" PRIu64, store_cluster(s)->system_identifier);
    env[2] = mem_printf(SEGMENT_BYTES_ENV "=%" PRIu32, store_cluster(s)->segment_bytes);
    return env;
}

int pagewal_check_readable(const struct pg_programs *p, const char *path, struct err *err)
{
    if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0 && errno == EACCES)
        return err_errno(err, "PostgreSQL's user (%u) cannot read the log segment %s",
                         (unsigned)p->as.uid, path);
    return 0;
}

int pagewal_check_missing(const struct pg_programs *p, const char *dir, const char *segment,
                          struct err *err)
{
    char *path = mem_printf("%s/%s", dir, segment);
    int rc = *segment ? pagewal_check_readable(p, path, err) : 0;

    free(path);
    return rc;
}

const char *pagewal_target_timeline(const struct pagewal *log, const struct wal_list *all,
                                    const struct store_base_facts *base,
                                    char out[PAGEWAL_TIMELINE_MAX])
{
    uint32_t towards = moment_towards(base, all);

    if (log->command)
        return "latest";
    if (!wal_has_history(all, towards))
        return "current";
    snprintf(out, PAGEWAL_TIMELINE_MAX, "%u", towards);
    return out;
}
