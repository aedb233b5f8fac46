#include "replay/rungs.h"

#include <errno.h>
#include <stdlib.h>

#include "common/log.h"
#include "replay/livefreeze.h"
#include "replay/making.h"

/* The bases that are rungs, oldest first: ids is store_bases', cut down to them. */
static int list_rungs(struct store *s, char ***ids, size_t *n, struct err *err)
{
    int rc = store_bases(s, ids, err);
    char **id;

    *n = 0;
    if (rc < 0)
        return rc;
    for (id = *ids; *id; id++)
        if (store_is_rung(s, *id))
            (*ids)[(*n)++] = *id;
        else
            free(*id);
    (*ids)[*n] = NULL;
    return 0;
}

static void drop_rung(struct store *s, const char *id)
{
    struct err err;
    int rc = livefreeze_drop(s, id, &err);

    if (rc == -EBUSY)
        log_debug("%s", err.text);
    else if (rc < 0)
        log_error("the rung that is base %s was not dropped: %s", id, err.text);
}

static void drop_old(struct store *s, unsigned keep)
{
    struct err err;
    size_t n = 0, i;
    char **ids;

    if (making_check_none(s, &err) < 0) {
        log_debug("%s", err.text);
        return;
    }
    if (list_rungs(s, &ids, &n, &err) < 0) {
        log_error("no old rung was dropped: %s", err.text);
        return;
    }
    for (i = 0; i + keep < n; i++)
        drop_rung(s, ids[i]);
    store_names_free(ids);
}

int rungs_make(struct store *s, const struct pg_programs *p, unsigned keep, char **id,
               struct err *err)
{
    int rc = livefreeze_make(s, p, &(struct store_freeze){.rung = true}, id, err);

    if (rc == 0)
        drop_old(s, keep);
    return rc;
}

int rungs_newest(struct store *s, uint64_t *number, struct err *err)
{
    char **ids, *view = NULL;
    size_t n;
    int rc = list_rungs(s, &ids, &n, err);

    if (rc < 0)
        return rc;
    rc = n ? store_is_frozen(s, ids[n - 1], number, &view, err) : 0;
    free(view);
    store_names_free(ids);
    return rc;
}

int64_t rungs_first(int64_t newest, int64_t now, int64_t every)
{
    if (!newest || newest > now + every)
        return now;
    return newest + every < now ? now : newest + every;
}

/* At the same pace, without those that were missed. */
int64_t rungs_next(int64_t due, int64_t now, int64_t every)
{
    if (due > now + every)
        return now + every; /* the clock was set back */
    return due > now ? due + every : now + every - (now - due) % every;
}
