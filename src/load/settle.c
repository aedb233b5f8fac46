#include "load/settle.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/stop.h"
#include "pg/publish.h"
#include "pg/record.h"
#include "pg/snaptable.h"

#define PATIENCE_MS 30000 /* for a server that is just starting again, or a session cut off */
#define LOOK_AGAIN_MS 200

static bool is_lost(int rc)
{
    return rc == -ECONNRESET || rc == -ETIMEDOUT || rc == -EPROTO || rc == -EINTR;
}

static int connect_anew(const struct settle_request *req, int stop_fd, int64_t until,
                        struct pg_conn **conn, struct err *err)
{
    char *title = mem_printf("asofs %s", req->name);
    int64_t most = req->timeout_ms < PATIENCE_MS ? req->timeout_ms : PATIENCE_MS;
    struct pg_session session = {.application_name = title,
                                 .timezone = "UTC",
                                 .stop_fd = stop_fd,
                                 .connect_timeout_ms = most,
                                 .query_timeout_ms = most};
    int rc;

    while ((rc = pg_second_open(conn, req->target, &session, NULL, err)) < 0 && rc != -EINTR &&
           clock_ms() < until)
        stop_within(stop_fd, LOOK_AGAIN_MS);
    free(title);
    return rc;
}

/* 1: it is committed; 0: it is not; negative: that is not known. */
static int find_outcome(struct pg_conn **conn, const struct settle_request *req,
                        const char *transaction, int stop_fd, struct err *err)
{
    int64_t until = clock_ms() + PATIENCE_MS;
    struct pg_conn *anew = NULL;
    struct err ignored;
    int rc = connect_anew(req, stop_fd, until, &anew, err);

    if (rc == 0)
        rc = pg_publish_find(anew, transaction, PATIENCE_MS, err);
    if (rc >= 0 && pg_record_prepare(anew, req->name, &ignored) == 0) {
        pg_conn_close(*conn);
        *conn = anew;
    } else {
        pg_conn_close(anew);
    }
    return rc;
}

int settle_publish(struct pg_conn **conn, const struct settle_request *req, int rc, struct err *err)
{
    char *transaction = mem_strdup(pg_publish_committing(*conn));
    struct err why;
    int found;

    if (!is_lost(rc))
        goto out;
    if (!*transaction) {
        err_hint(err, "nothing was published");
        goto out;
    }
    found = find_outcome(conn, req, transaction, rc == -EINTR ? -1 : req->stop_fd, &why);
    if (found > 0) {
        log_note("the answer to COMMIT was lost (%s), but the server says that it was done: the "
                 "copy is published",
                 err->text);
        rc = 0;
    } else if (found == 0) {
        err_hint(err, "the answer to COMMIT was lost; the server says that nothing was published");
    } else {
        err_hint(err,
                 "the answer to COMMIT was lost, and whether the copy is published cannot be "
                 "asked: %s; asofs.view tells",
                 why.text);
    }
out:
    free(transaction);
    return rc;
}
