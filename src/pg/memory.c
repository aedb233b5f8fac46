#include "pg/memory.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/columns.h"
#include "pg/heaps.h"
#include "pg/internal.h"
#include "pg/recalled.h"
#include "pg/usable.h"

/* Those that are texts; when it was started does not matter any more. */
static void list_texts(struct pg_server *s, char ***texts)
{
    texts[0] = &s->version_text;
    texts[1] = &s->database;
    texts[2] = &s->user;
    texts[3] = &s->encoding;
    texts[4] = &s->search_path;
    texts[5] = &s->lc_monetary;
    texts[6] = &s->system_identifier;
}

/* ---- asking ---- */

/* Every relation as a table of its own, which may be named as one. */
static int ask_everything(struct pg_conn *conn, const struct pg_server *server, struct pg_memory *m,
                          struct err *err)
{
    struct pg_catalog *c = mem_alloc(sizeof(*c));
    struct pg_heaps *h = NULL;
    int rc;

    conn->keeper = m;
    rc = pg_usable_read(conn, server, c, err);
    if (rc == 0)
        rc = pg_columns_read(conn, c, false, err);
    if (rc == 0)
        rc = pg_heaps_read(conn, c, &h, err);
    conn->keeper = NULL;
    pg_heaps_free(h);
    pg_catalog_free(c);
    return rc;
}

static void keep_server(struct pg_memory *m, struct pg_server *server)
{
    char **texts[PG_MEMORY_TEXTS];
    size_t i;

    list_texts(server, texts);
    m->version = server->version;
    for (i = 0; i < PG_MEMORY_TEXTS; i++)
        m->server[i] = mem_strdup(*texts[i]);
}

int pg_memory_make(struct pg_conn *conn, struct pg_memory **m, struct err *err)
{
    struct pg_memory *new = mem_alloc(sizeof(*new));
    struct pg_server server = {0};
    int rc = pg_conn_inspect(conn, &server, err);

    *m = NULL;
    if (rc == 0)
        rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);
    if (rc == 0) {
        rc = ask_everything(conn, &server, new, err);
        pg_rollback(conn);
    }
    keep_server(new, &server);
    pg_server_free(&server);
    if (rc == 0)
        *m = new;
    else
        pg_memory_free(new);
    return rc;
}

/* ---- answering ---- */

struct pg_conn *pg_memory_connect(const struct pg_memory *m)
{
    struct pg_conn *conn = mem_alloc(sizeof(*conn));

    conn->memory = m;
    conn->stop_fd = -1;
    return conn;
}

void pg_memory_server(const struct pg_memory *m, struct pg_server *server)
{
    char **texts[PG_MEMORY_TEXTS];
    size_t i;

    *server = (struct pg_server){.version = m->version, .started = mem_strdup("")};
    list_texts(server, texts);
    for (i = 0; i < PG_MEMORY_TEXTS; i++)
        *texts[i] = mem_strdup(m->server[i]);
}
