/* The copy becomes current, or its label says what it is. */
#include "load/internal.h"

#include <errno.h>
#include <string.h>

#include "load/settle.h"
#include "pg/objects.h"
#include "pg/publish.h"
#include "pg/sequences.h"

static struct pg_label label_of(const struct loading *l, const char *state)
{
    return (struct pg_label){.name = l->req.name,
                             .state = state,
                             .moment = l->list->moment,
                             .lsn = l->list->lsn,
                             .source = l->list->source,
                             .tables = (int64_t)l->list->n,
                             .rows = (int64_t)l->rows_loaded,
                             .objects = l->req.mode == LOADING_OBJECTS};
}

int loading_label(struct loading *l, const char *state, struct err *err)
{
    struct pg_label label = label_of(l, state);

    if (strcmp(state, "current") != 0)
        label.moment = NULL; /* what is there is of no moment */
    return pg_publish_label(l->conn, &label, l->req.publish_timeout_ms, err);
}

static int publish_in_place(struct loading *l, struct err *err)
{
    int rc = pg_snaptable_check_again(l->conn, l->tables, l->list->n, err);

    if (rc == 0)
        rc = pg_sequences_raise(l->conn, l->tables, l->list->n, err);
    return rc < 0 ? rc : loading_label(l, "current", err);
}

static int compare_rows(const struct loading *l, struct err *err)
{
    size_t i;

    for (i = 0; i < l->list->n; i++) {
        const struct table_work *w = &l->work[i];

        if (w->is_expected && w->rows != w->expected)
            return err_set(err, EIO, "%s has %llu rows, and %llu came into the second database",
                           l->list->tables[i].file, (unsigned long long)w->expected,
                           (unsigned long long)w->rows);
    }
    return 0;
}

static int publish(struct loading *l, struct err *err)
{
    struct pg_label label = label_of(l, "current");

    if (l->req.mode == LOADING_SWAP)
        return pg_publish_swap(l->conn, l->shadows, &label, l->req.publish_timeout_ms, err);
    if (l->req.mode == LOADING_ROWS)
        return pg_publish_rows(l->conn, l->shadows, &label, l->req.publish_timeout_ms, err);
    if (l->req.mode == LOADING_OBJECTS)
        return pg_objects_publish(l->conn, &label, l->run, l->req.publish_timeout_ms, err);
    return publish_in_place(l, err);
}

int loading_publish(struct loading *l, struct err *err)
{
    struct settle_request settle = {.target = &l->target,
                                    .name = l->req.name,
                                    .timeout_ms = l->req.worker_timeout_ms,
                                    .stop_fd = l->req.stop_fd};
    int rc = compare_rows(l, err);

    if (rc < 0)
        return rc;
    pg_conn_set_patience(l->conn,
                         0); /* a statement that changes many rows says nothing meanwhile */
    rc = publish(l, err);
    if (rc < 0)
        rc = settle_publish(&l->conn, &settle, rc, err);
    l->published = rc == 0;
    return rc;
}
