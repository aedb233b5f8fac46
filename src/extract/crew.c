#include "extract/crew.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"

struct crew *crew_new(unsigned n)
{
    struct crew *c = mem_alloc(sizeof(*c));
    unsigned i;

    c->n = n;
    c->slots = mem_array(n, sizeof(*c->slots));
    c->spools = mem_array(n + 1, sizeof(*c->spools));
    for (i = 0; i < n; i++)
        c->slots[i].number = i + 1;
    for (i = 0; i <= n; i++)
        c->spools[i].fd = -1;
    return c;
}

void crew_free(struct crew *c)
{
    unsigned i;

    if (!c)
        return;
    for (i = 0; i < c->n; i++)
        slot_kill(&c->slots[i]);
    for (i = 0; i <= c->n; i++)
        spool_close(&c->spools[i]);
    free(c->slots);
    free(c->spools);
    free(c);
}

int crew_open_spool(struct crew *c, unsigned i, struct err *err)
{
    return c->spools[i].fd >= 0 ? 0 : spool_open(&c->spools[i], c->spool_dir, err);
}

int crew_start(struct crew *c, unsigned i, struct err *err)
{
    struct msg_config config = {
        .number = i + 1,
        .target = *c->target,
        .timezone = (char *)(uintptr_t)c->timezone,
        .snapshot_id = (char *)(uintptr_t)c->snapshot_id,
        .lock_sql = (char *)(uintptr_t)c->lock_sql,
        .timeout_ms = (uint64_t)c->worker_timeout_ms,
        .debug = log_get_level() == LOG_LEVEL_DEBUG,
    };
    int rc = crew_open_spool(c, i, err);

    if (rc == 0)
        rc = slot_start(&c->slots[i], &config, c->spools[i].fd, err);
    return rc;
}

unsigned crew_joined(const struct crew *c)
{
    unsigned i, n = 0;

    for (i = 0; i < c->n; i++)
        n += c->slots[i].joined;
    return n;
}
