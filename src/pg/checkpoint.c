#include "pg/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "pg/internal.h"
#include "pg/postmaster.h"

static int no_server(const char *data, struct err *err)
{
    return err_set(err, ENOTCONN,
                   "no server runs on %s (it has no " PG_POSTMASTER_FILE "): there is nothing to "
                   "connect to for a checkpoint",
                   data);
}

static int find_server(const char *data, struct buf *conninfo, struct err *err)
{
    struct pg_postmaster p;
    int rc = pg_postmaster_read(data, &p);

    if (rc == -ENOENT)
        return no_server(data, err);
    if (rc < 0)
        return err_set(err, -rc, "cannot read %s/" PG_POSTMASTER_FILE ": %s", data, strerror(-rc));
    if (*p.socket_dir)
        pg_put_option(conninfo, "host", p.socket_dir);
    else
        pg_put_option(conninfo, "host", strcmp(p.address, "*") == 0 ? "localhost" : p.address);
    pg_put_option(conninfo, "port", p.port);
    if (!getenv("PGDATABASE"))
        pg_put_option(conninfo, "dbname", "postgres");
    if (!*p.port || (!*p.socket_dir && !*p.address))
        rc = err_set(err, ENOTCONN,
                     "the server on %s is not connected to: its " PG_POSTMASTER_FILE
                     " tells no socket and no address",
                     data);
    pg_postmaster_free(&p);
    return rc;
}

/* Its end is waited for as long as it takes. */
static int checkpoint_on(struct pg_conn *conn, uint64_t system, struct err *err)
{
    uint64_t found = 0;
    int rc = pg_ask_identifier(conn, &found, err);

    if (rc == 0 && found != system)
        rc = err_set(err, EINVAL, "the server that answers is of another cluster (%llu, not %llu)",
                     (unsigned long long)found, (unsigned long long)system);
    if (rc < 0)
        return rc;
    pg_conn_set_patience(conn, 0);
    return pg_run(conn, "CHECKPOINT", err);
}

int pg_checkpoint(const char *data, uint64_t system, int stop_fd, struct err *err)
{
    struct buf conninfo = {0};
    struct pg_conn *conn = NULL;
    int rc = find_server(data, &conninfo, err);

    if (rc == 0)
        rc = pg_open_base(conninfo.data, stop_fd, 0, &conn, err);
    if (rc == 0)
        rc = checkpoint_on(conn, system, err);
    pg_conn_close(conn);
    buf_free(&conninfo);
    return rc < 0 && rc != -ENOTCONN ? err_prefix(err, "no checkpoint of the server on %s", data)
                                     : rc;
}
