/*
 * Connections.
 *
 * Every transaction is made harmless as it begins (pg_begin): empty search_path so that no name is
 * looked up where we do not expect it, fixed text forms, row_security off so that a policy is an
 * error and never a silent filter, no server-side time-outs of the role or database, physical row
 * order. The settings are the transaction's own (SET LOCAL), not the session's: behind a pooler the
 * session goes to somebody else afterwards. SET takes no snapshot, which matters before LOCK.
 */
#include "pg/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#define OLDEST_VERSION 140000 /* TID range scans came with 14 */

void pg_target_init(struct pg_target *t, const char *source)
{
    *t = (struct pg_target){.source = mem_strdup(source)};
}

void pg_target_free(struct pg_target *t)
{
    free(t->source);
    free(t->host);
    free(t->hostaddr);
    free(t->port);
    *t = (struct pg_target){0};
}

void pg_target_put(struct buf *b, const struct pg_target *t)
{
    buf_put_str(b, t->source);
    buf_put_str(b, t->host);
    buf_put_str(b, t->hostaddr);
    buf_put_str(b, t->port);
}

void pg_target_get(struct reader *r, struct pg_target *t)
{
    t->source = reader_str(r);
    t->host = reader_str(r);
    t->hostaddr = reader_str(r);
    t->port = reader_str(r);
}

/* libpq marks what a dialog would not show: password, sslpassword, and what newer ones add. */
static bool is_secret(const PQconninfoOption *o)
{
    return strchr(o->dispchar, '*') && o->val;
}

/* As libpq tells it from the name of a database. */
static bool is_conninfo(const char *source)
{
    return strchr(source, '=') || strncmp(source, "postgresql://", 13) == 0 ||
           strncmp(source, "postgres://", 11) == 0;
}

/* With an @ left over in a part of a URI where a password would not be told from the rest of it. */
static bool has_stray_at(const char *source, const PQconninfoOption *opts)
{
    static const char *const parts[] = {"host", "port", "dbname"};
    const PQconninfoOption *o;
    size_t i;

    for (o = strstr(source, "://") ? opts : NULL; o && o->keyword; o++)
        for (i = 0; i < sizeof(parts) / sizeof(*parts); i++)
            if (strcmp(o->keyword, parts[i]) == 0 && o->val && strchr(o->val, '@'))
                return true;
    return false;
}

/*
 * libpq's errors of parsing quote the string, any part of which can be a secret: what stands
 * between the first and the last quotation mark is left out. A name of an option is told where
 * nothing looks like a password.
 */
static int fail_parse(const char *source, const char *why, struct err *err)
{
    const char *first = strchr(why, '"'), *last = strrchr(why, '"');
    size_t len = strcspn(why, "\n");

    if (!first || (strncmp(why, "invalid connection option", 25) == 0 && !strchr(source, '@') &&
                   !strcasestr(source, "pass")))
        err_set(err, EINVAL, "%.*s", (int)len, why);
    else
        err_set(err, EINVAL, "%.*s\"…%.*s", (int)(first - why), why, (int)strcspn(last, "\n"),
                last);
    return err_hint(err, "the connection string cannot be read%s",
                    first ? "; it is not shown, for a password can stand in it" : "");
}

int pg_target_parse(const char *source, PQconninfoOption **opts, struct err *err)
{
    char *why = NULL;
    int rc;

    *opts = is_conninfo(source) ? PQconninfoParse(source, &why) : NULL;
    if (!is_conninfo(source))
        return 0;
    if (!*opts) {
        rc = fail_parse(source, why ? why : "out of memory", err);
        PQfreemem(why);
        return rc;
    }
    if (!has_stray_at(source, *opts))
        return 0;
    PQconninfoFree(*opts);
    *opts = NULL;
    return err_set(err, EINVAL,
                   "the connection string has an @ that belongs to nothing: within a name or a "
                   "password of a URI, @ is written %%40, / %%2F, : %%3A and %% %%25");
}

/* The one secret in it, or NULL; *n: how many there are. Of what cannot be read, all is secret. */
static char *find_secret(const char *source, int *n)
{
    PQconninfoOption *opts, *o;
    char *secret = NULL;
    struct err ignored;

    *n = 0;
    if (pg_target_parse(source, &opts, &ignored) < 0)
        return mem_strdup(source);
    for (o = opts; o && o->keyword; o++) {
        if (!is_secret(o) || !*o->val)
            continue;
        free(secret);
        secret = mem_strdup(o->val);
        ++*n;
    }
    PQconninfoFree(opts);
    return secret;
}

/* Where a secret can stand: after each "password", and before the @ of a URI. */
static int count_places(const char *source)
{
    const char *p, *at = strchr(source, '@'), *scheme = strstr(source, "://");
    int n = 0;

    for (p = source; (p = strcasestr(p, "password")); p++)
        n++;
    if (scheme && at && memchr(scheme + 3, ':', at > scheme + 3 ? (size_t)(at - scheme - 3) : 0))
        n++;
    return n;
}

/* What is left of it holds no secret but a row of x. */
static bool is_clean(const char *source)
{
    int n;
    char *rest = find_secret(source, &n);
    bool clean = !rest || strspn(rest, "x") == strlen(rest);

    free(rest);
    return clean;
}

/*
 * The password may be written percent-encoded or with backslashes, or stand there twice (the last
 * one counts), so it cannot always be found by its value; then everything is overwritten: a lost
 * hint in `ps` is better than a secret in it.
 */
void pg_target_scrub(char *source)
{
    int n;
    char *secret = find_secret(source, &n);
    size_t len = strlen(source), slen = secret ? strlen(secret) : 0;
    char *at = secret ? strstr(source, secret) : NULL;
    bool one = n == 1 && count_places(source) == 1 && at && !strstr(at + 1, secret);

    if (!secret)
        return;
    memset(one ? at : source, 'x', one ? slen : len);
    if (!is_clean(source))
        memset(source, 'x', len);
    memset(secret, 0, slen);
    free(secret);
}

void pg_put_option(struct buf *conninfo, const char *key, const char *value)
{
    buf_printf(conninfo, "%s%s='", conninfo->len ? " " : "", key);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            buf_putc(conninfo, '\\');
        buf_putc(conninfo, *value);
    }
    buf_putc(conninfo, '\'');
}

char *pg_target_describe(const struct pg_conn *conn)
{
    const char *host = PQhost(conn->pq);

    if (!host || !*host || *host == '/')
        return mem_strdup(PQdb(conn->pq));
    return mem_printf("%s@%s", PQdb(conn->pq), host);
}

static void debug_notice(void *arg, const char *message)
{
    struct pg_conn *conn = arg;

    conn->notices++;
    log_debug("server: %.*s", (int)strcspn(message, "\n"), message);
}

static int connect_step_wait(struct pg_conn *conn, PostgresPollingStatusType want, int64_t deadline,
                             struct err *err)
{
    struct pollfd p[2] = {
        {.fd = PQsocket(conn->pq), .events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT},
        {.fd = conn->stop_fd, .events = POLLIN}};
    int64_t left = deadline - clock_ms();
    int n = poll(p, conn->stop_fd >= 0 ? 2 : 1, left > 0 ? (int)left : 0);

    if (n > 0 && p[1].revents)
        return err_set(err, EINTR, "interrupted");
    if (n == 0 || left <= 0)
        return err_set(err, ETIMEDOUT, "cannot connect to the server: no answer in time");
    return 0;
}

static int connect_wait(struct pg_conn *conn, int64_t timeout_ms, struct err *err)
{
    int64_t deadline = clock_ms() + timeout_ms;
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;
    int rc;

    if (PQstatus(conn->pq) == CONNECTION_BAD)
        return pg_fail_text(err, ECONNRESET, "", PQerrorMessage(conn->pq));
    while (want != PGRES_POLLING_OK) {
        rc = connect_step_wait(conn, want, deadline, err);
        if (rc < 0)
            return rc;
        want = pg_connect_on(conn);
        if (want == PGRES_POLLING_FAILED)
            return pg_fail_text(err, ECONNRESET, "", PQerrorMessage(conn->pq));
        if (conn->received > PG_MOST_AT_ONCE)
            return pg_odd_answer(err, "more than %u MiB before it was ready",
                                 PG_MOST_AT_ONCE >> 20);
    }
    return 0;
}

/* Keep-alives let a silent network be noticed in about half a minute instead of two hours. */
static PGconn *start_connect(const struct pg_target *t, const struct pg_session *s)
{
    const char *keys[16], *values[16];
    int n = 0;

#define PUT(k, v) (keys[n] = (k), values[n] = (v), n++)
    PUT("keepalives_idle", "10");
    PUT("keepalives_interval", "5");
    PUT("keepalives_count", "4");
    PUT("tcp_user_timeout", "30000");
    PUT("dbname", t->source); /* expanded here: what it says overrides the above, what follows it */
    if (t->host && *t->host)
        PUT("host", t->host);
    if (t->hostaddr && *t->hostaddr)
        PUT("hostaddr", t->hostaddr);
    if (t->port && *t->port)
        PUT("port", t->port);
    PUT("application_name", s->application_name);
    PUT("client_encoding", ""); /* PGCLIENTENCODING must not shape our text */
    PUT(NULL, NULL);
#undef PUT
    return PQconnectStartParams(keys, values, 1);
}

/* Settings by SET LOCAL; TimeZone and those of newer servers are appended. */
static const char settings[] =
    "SET LOCAL search_path = '';"
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;"
    "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL idle_session_timeout = 0;"
    "SET LOCAL DateStyle = 'ISO, MDY'; SET LOCAL IntervalStyle = 'postgres';"
    "SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex';"
    "SET LOCAL xmlbinary = 'base64'; SET LOCAL xmloption = 'content';"
    "SET LOCAL standard_conforming_strings = on; SET LOCAL quote_all_identifiers = off;"
    "SET LOCAL array_nulls = on; SET LOCAL transform_null_equals = off;"
    "SET LOCAL row_security = off; SET LOCAL synchronize_seqscans = off;"
    "SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";

/*
 * A backend in the middle of a statement that has nothing to say notices our end by itself, and
 * gives locks and snapshot back. Servers on systems without POLLRDHUP refuse it.
 */
#define NOTICE_END "SET LOCAL client_connection_check_interval = 1000"

/* Also the first transaction of the session: a pooler that allows none says so here. */
static int try_notice_end(struct pg_conn *conn, struct err *err)
{
    int rc = pg_run(conn, "BEGIN; " NOTICE_END, err);

    if (PQstatus(conn->pq) == CONNECTION_BAD)
        return rc < 0 ? rc : pg_fail(conn, NULL, err);
    if (rc == -EINTR || rc == -ETIMEDOUT)
        return rc;
    conn->can_notice_end = rc == 0;
    pg_rollback(conn);
    return 0;
}

/* libpq knows the server's encoding from the start of the connection on. */
static bool knows_no_encoding(const struct pg_conn *conn)
{
    const char *encoding = PQparameterStatus(conn->pq, "server_encoding");

    return encoding && strcmp(encoding, "SQL_ASCII") == 0;
}

int pg_begin_sql(struct pg_conn *conn, enum pg_access access, bool repeatable, struct buf *sql,
                 struct err *err)
{
    int rc;

    buf_printf(sql, "BEGIN TRANSACTION ISOLATION LEVEL %s, %s;%s;SET LOCAL client_encoding = %s",
               repeatable ? "REPEATABLE READ" : "READ COMMITTED",
               access == PG_READ_WRITE ? "READ WRITE" : "READ ONLY", settings,
               knows_no_encoding(conn) ? "'SQL_ASCII'" : "'UTF8'");
    if (PQserverVersion(conn->pq) >= 170000)
        buf_puts(sql, ";SET LOCAL transaction_timeout = 0");
    if (conn->can_notice_end)
        buf_puts(sql, ";" NOTICE_END);
    buf_puts(sql, ";SET LOCAL TimeZone = ");
    rc = pg_put_literal(conn, sql, conn->timezone, err);
    if (rc < 0 || !conn->lc_monetary)
        return rc;
    buf_puts(sql, ";SET LOCAL lc_monetary = ");
    return pg_put_literal(conn, sql, conn->lc_monetary, err);
}

int pg_begin(struct pg_conn *conn, enum pg_access access, bool repeatable, const char *more,
             struct err *err)
{
    struct buf sql = {0};
    int rc = pg_begin_sql(conn, access, repeatable, &sql, err);

    if (rc == 0 && more)
        buf_printf(&sql, ";%s", more);
    if (rc == 0)
        rc = pg_run(conn, sql.data, err);
    buf_free(&sql);
    return rc;
}

void pg_rollback(struct pg_conn *conn)
{
    struct err ignored;

    pg_run(conn, "ROLLBACK", &ignored);
}

static int refuse_version(struct pg_conn *conn, struct err *err)
{
    const char *version = PQparameterStatus(conn->pq, "server_version");

    return err_set(err, ENOTSUP, "the server is PostgreSQL %s; asofs needs 14 or later",
                   version ? version : "of a version it does not tell");
}

int pg_conn_open(struct pg_conn **out, const struct pg_target *t, const struct pg_session *s,
                 struct err *err)
{
    struct pg_conn *conn;
    PQconninfoOption *opts;
    int rc = pg_target_parse(t->source, &opts, err);

    if (rc < 0)
        return rc;
    PQconninfoFree(opts);
    conn = mem_alloc(sizeof(*conn));
    conn->stop_fd = s->stop_fd;
    conn->query_timeout_ms = s->query_timeout_ms;
    conn->timezone = mem_strdup(s->timezone);
    conn->lc_monetary = mem_strdup(s->lc_monetary);
    conn->pq = start_connect(t, s);
    if (!conn->pq) {
        rc = err_set(err, ENOMEM, "out of memory");
        goto fail;
    }
    PQsetNoticeProcessor(conn->pq, debug_notice, conn);
    rc = connect_wait(conn, s->connect_timeout_ms, err);
    if (rc < 0)
        goto fail;
    if (PQserverVersion(conn->pq) < OLDEST_VERSION) {
        rc = refuse_version(conn, err);
        goto fail;
    }
    if (PQsetnonblocking(conn->pq, 1) != 0) {
        rc = pg_fail(conn, NULL, err);
        goto fail;
    }
    rc = try_notice_end(conn, err);
    if (rc < 0)
        goto fail;
    *out = conn;
    return 0;
fail:
    pg_conn_close(conn);
    return rc;
}

void pg_conn_close(struct pg_conn *conn)
{
    if (!conn)
        return;
    PQfinish(conn->pq);
    free(conn->timezone);
    free(conn->lc_monetary);
    free(conn);
}

void pg_conn_pin(const struct pg_conn *conn, struct pg_target *t)
{
    const char *host = PQhost(conn->pq);
    const char *addr = PQhostaddr(conn->pq);

    free(t->host);
    free(t->hostaddr);
    free(t->port);
    t->host = mem_strdup(host);
    t->hostaddr = mem_strdup(host && *host == '/' ? "" : addr);
    t->port = mem_strdup(PQport(conn->pq));
}

void pg_conn_set_stop_fd(struct pg_conn *conn, int stop_fd)
{
    conn->stop_fd = stop_fd;
}

void pg_conn_set_patience(struct pg_conn *conn, int64_t query_timeout_ms)
{
    conn->query_timeout_ms = query_timeout_ms;
}

int pg_conn_socket(const struct pg_conn *conn)
{
    return PQsocket(conn->pq);
}

int pg_conn_check(struct pg_conn *conn, struct err *err)
{
    int rc = pg_take_input(conn, false, err);

    if (rc == 0 && PQstatus(conn->pq) == CONNECTION_BAD)
        return pg_fail_text(err, ECONNRESET, "", PQerrorMessage(conn->pq));
    return rc;
}

int pg_conn_next_message(struct pg_conn *conn, struct msg_conn *socket, struct msg *m,
                         struct err *err)
{
    struct pollfd p[2] = {{.fd = socket->fd, .events = POLLIN},
                          {.fd = conn ? pg_conn_socket(conn) : -1, .events = POLLIN}};
    int rc;

    for (;;) {
        rc = msg_next(socket, m, err);
        if (rc != 0)
            return rc;
        if (poll(p, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return err_errno(err, "poll failed");
        }
        if (p[1].revents && (rc = pg_conn_check(conn, err)) < 0)
            return rc;
        if (p[0].revents && (rc = msg_receive(socket, err)) <= 0)
            return rc;
    }
}

bool pg_conn_is_ready(const struct pg_conn *conn)
{
    return PQtransactionStatus(conn->pq) == PQTRANS_INTRANS;
}

static int put_escaped(struct pg_conn *conn, struct buf *sql, char *escaped, const char *name,
                       struct err *err)
{
    if (!escaped)
        return err_set(err, EILSEQ, "the name \"%s\" cannot be quoted: %s", name,
                       PQerrorMessage(conn->pq));
    buf_puts(sql, escaped);
    PQfreemem(escaped);
    return 0;
}

int pg_put_identifier(struct pg_conn *conn, struct buf *sql, const char *name, struct err *err)
{
    return put_escaped(conn, sql, PQescapeIdentifier(conn->pq, name, strlen(name)), name, err);
}

int pg_put_literal(struct pg_conn *conn, struct buf *sql, const char *text, struct err *err)
{
    return put_escaped(conn, sql, PQescapeLiteral(conn->pq, text, strlen(text)), text, err);
}

int pg_put_relation(struct pg_conn *conn, struct buf *sql, const char *schema, const char *name,
                    struct err *err)
{
    int rc = pg_put_identifier(conn, sql, schema, err);

    if (rc < 0)
        return rc;
    buf_putc(sql, '.');
    return pg_put_identifier(conn, sql, name, err);
}

void pg_put_element(struct buf *array, const char *text)
{
    buf_puts(array, array->len > 1 ? "," : "");
    if (!text) {
        buf_puts(array, "NULL");
        return;
    }
    buf_putc(array, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_putc(array, '\\');
        buf_putc(array, *text);
    }
    buf_putc(array, '"');
}

enum {
    SERVER_VERSION,
    DATABASE,
    USER,
    ENCODING,
    SEARCH_PATH,
    LC_MONETARY,
    IN_RECOVERY,
    LOCK_SLOTS,
    DEADLOCK_TIMEOUT,
    STARTED
};

static int read_facts(struct pg_conn *conn, struct pg_answer **a, struct err *err)
{
    static const struct pg_wanted wanted = {"ttttttbnit", 1, 1};

    return pg_ask(
        conn,
        "SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_database(),"
        " current_user, pg_catalog.current_setting('server_encoding'),"
        " pg_catalog.current_schemas(true)::pg_catalog.text,"
        " pg_catalog.current_setting('lc_monetary'), pg_catalog.pg_is_in_recovery(),"
        " pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int8 "
        "OPERATOR(pg_catalog.*)"
        " (pg_catalog.current_setting('max_connections')::pg_catalog.int8 OPERATOR(pg_catalog.+)"
        "  pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int8),"
        " (SELECT s.setting FROM pg_catalog.pg_settings s"
        "  WHERE s.name OPERATOR(pg_catalog.=) 'deadlock_timeout'),"
        " extract(epoch FROM pg_catalog.pg_postmaster_start_time())::pg_catalog.text",
        0, NULL, &wanted, a, err);
}

int pg_ask_identifier(struct pg_conn *conn, uint64_t *system_identifier, struct err *err)
{
    static const struct pg_wanted wanted = {"n", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, "SELECT system_identifier FROM pg_catalog.pg_control_system()", 0, NULL,
                    &wanted, &a, err);

    *system_identifier = rc == 0 ? pg_number(a, 0, 0) : 0;
    pg_answer_free(a);
    return rc;
}

/* Everyone may call pg_control_system() by default, but a site can revoke that: then we do without.
 */
static char *read_system_identifier(struct pg_conn *conn)
{
    static const struct pg_wanted wanted = {"n", 1, 1};
    struct pg_answer *a;
    struct err ignored;
    char *id;

    if (pg_ask(conn, "SELECT system_identifier FROM pg_catalog.pg_control_system()", 0, NULL,
               &wanted, &a, &ignored) < 0)
        return mem_strdup("");
    id = mem_strdup(pg_text(a, 0, 0));
    pg_answer_free(a);
    return id;
}

int pg_conn_inspect(struct pg_conn *conn, struct pg_server *server, struct err *err)
{
    struct pg_answer *a = NULL;
    int rc = pg_run(conn, "BEGIN READ ONLY; SET LOCAL statement_timeout = 0", err);

    if (rc == 0)
        rc = read_facts(conn, &a, err);
    if (rc < 0)
        return rc;
    rc = pg_run(conn, "COMMIT", err);
    *server = (struct pg_server){
        .version = PQserverVersion(conn->pq),
        .version_text = mem_strdup(pg_text(a, 0, SERVER_VERSION)),
        .database = mem_strdup(pg_text(a, 0, DATABASE)),
        .user = mem_strdup(pg_text(a, 0, USER)),
        .encoding = mem_strdup(pg_text(a, 0, ENCODING)),
        .search_path = mem_strdup(pg_text(a, 0, SEARCH_PATH)),
        .lc_monetary = mem_strdup(pg_text(a, 0, LC_MONETARY)),
        .in_recovery = pg_true(a, 0, IN_RECOVERY),
        .lock_slots = pg_integer(a, 0, LOCK_SLOTS),
        .deadlock_timeout_ms = pg_integer(a, 0, DEADLOCK_TIMEOUT),
        .system_identifier = read_system_identifier(conn),
        .started = mem_strdup(pg_text(a, 0, STARTED)),
    };
    pg_answer_free(a);
    return rc;
}

int pg_conn_check_encoding(struct pg_conn *conn, const struct pg_server *server,
                           const char *encoding, struct err *err)
{
    static const char sql[] =
        "SELECT e.id >= 0, e.id = s.id OR 'SQL_ASCII' IN ($1, $2) OR EXISTS (SELECT FROM"
        " pg_catalog.pg_conversion c WHERE c.condefault AND c.conforencoding = s.id"
        " AND c.contoencoding = e.id)"
        " FROM (SELECT pg_catalog.pg_char_to_encoding($1) AS id) e,"
        " (SELECT pg_catalog.pg_char_to_encoding($2) AS id) s";
    const char *values[] = {encoding, server->encoding};
    static const struct pg_wanted wanted = {"BB", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = pg_ask(conn, sql, 2, values, &wanted, &a, err);
    if (rc < 0)
        return rc;
    pg_rollback(conn);
    if (!pg_true(a, 0, 0))
        rc = err_set(err, EINVAL, "the server knows no encoding \"%s\"", encoding);
    else if (!pg_true(a, 0, 1))
        rc = err_set(err, EINVAL,
                     "the server cannot convert its encoding %s to %s; try --encoding=%s",
                     server->encoding, encoding, server->encoding);
    pg_answer_free(a);
    return rc;
}

void pg_server_free(struct pg_server *server)
{
    free(server->version_text);
    free(server->database);
    free(server->user);
    free(server->encoding);
    free(server->search_path);
    free(server->lc_monetary);
    free(server->system_identifier);
    free(server->started);
    *server = (struct pg_server){0};
}
