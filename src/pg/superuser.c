#include "pg/superuser.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "pg/internal.h"

#define CONNECT_PATIENCE_MS 60000

/* ---- connecting ---- */

/*
 * What libpq would take from our environment is said here. The options outdo ALTER ROLE and ALTER
 * DATABASE SET; role=none keeps the session a superuser's. No password is asked for, and none is
 * told: another server may stand at the socket, which is in a directory of its user's.
 */
static char *make_conninfo(const struct superuser *s, const char *user)
{
    static const char *const plain[][2] = {
        {"hostaddr", ""},         {"port", PRIVATECONF_PORT},
        {"sslmode", "disable"},   {"gssencmode", "disable"},
        {"requirepeer", ""},      {"channel_binding", "disable"},
        {"replication", "false"}, {"target_session_attrs", "any"},
        {"password", ""},         {"passfile", "/nonexistent"},
    };
    struct buf b = {0}, options = {0};
    size_t i;

    buf_puts(&options, "-c session_preload_libraries= -c local_preload_libraries="
                       " -c dynamic_library_path=$libdir -c jit=off -c role=none"
                       " -c search_path=public -c statement_timeout=0 -c asofs.recovered=on");
    if (s->conf->programs->major >= 17)
        buf_puts(&options, " -c event_triggers=off -c transaction_timeout=0");
    pg_put_option(&b, "host", s->conf->run_dir);
    pg_put_option(&b, "user", user);
    pg_put_option(&b, "options", options.data);
    for (i = 0; i < sizeof(plain) / sizeof(*plain); i++)
        pg_put_option(&b, plain[i][0], plain[i][1]);
    buf_free(&options);
    return buf_steal(&b);
}

static int open_conn(struct superuser *s, const char *conninfo, const char *database,
                     struct pg_conn **conn, struct err *err)
{
    struct pg_session session = {.application_name = "asofs",
                                 .timezone = "UTC",
                                 .stop_fd = s->stop_fd,
                                 .connect_timeout_ms = CONNECT_PATIENCE_MS};
    struct pg_target target;
    struct buf source = {0};
    int rc;

    buf_puts(&source, conninfo);
    pg_put_option(&source, "dbname", database);
    pg_target_init(&target, source.data);
    rc = pg_conn_open(conn, &target, &session, err);
    pg_target_free(&target);
    buf_free(&source);
    return rc;
}

/* One query in a transaction made harmless. */
static int ask(struct pg_conn *conn, const char *sql, const struct pg_wanted *wanted,
               struct pg_answer **a, struct err *err)
{
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = pg_ask(conn, sql, 0, NULL, wanted, a, err);
    if (rc == 0)
        pg_rollback(conn);
    return rc;
}

static int is_superuser(struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"", 0, 1};
    struct pg_answer *a = NULL;
    int rc = ask(conn, "SELECT FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper",
                 &wanted, &a, err);

    if (rc == 0)
        rc = pg_rows(a) == 1;
    pg_answer_free(a);
    return rc;
}

/* Why a database cannot be shown, or "". A datconnlimit of -2: dropdb() of commands/dbcommands.c
 * marks it so, and a connection is refused; servers before that fix just remove the directory. */
static const char databases_sql[] =
    "SELECT d.datname, CASE WHEN NOT d.datallowconn THEN 'it allows no connections'"
    " WHEN d.datconnlimit = -2 THEN 'a DROP DATABASE of it was interrupted, or was under way'"
    " WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_tablespace_databases(d.dattablespace) t"
    "   WHERE t = d.oid) THEN 'its files are gone: a DROP DATABASE was under way'"
    " ELSE '' END FROM pg_catalog.pg_database d WHERE NOT d.datistemplate"
    " ORDER BY d.datname COLLATE \"C\"";

static int read_databases(struct superuser *s, struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"tt", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = ask(conn, databases_sql, &wanted, &a, err);
    size_t n = rc == 0 ? pg_rows(a) : 0, shown = 0, omitted = 0, i;

    s->databases = mem_array(n + 1, sizeof(*s->databases));
    s->omitted = mem_array(n + 1, sizeof(*s->omitted));
    for (i = 0; i < n; i++) {
        char *name = mem_strdup(pg_text(a, i, 0));

        if (*pg_text(a, i, 1))
            s->omitted[omitted++] = (struct pg_omitted){name, mem_strdup(pg_text(a, i, 1))};
        else
            s->databases[shown++] = name;
    }
    pg_answer_free(a);
    return rc;
}

/* ---- prepared transactions ---- */

static int roll_back_one(struct pg_conn *conn, const char *gid, struct err *err)
{
    struct buf sql = {0};
    int rc;

    buf_puts(&sql, "ROLLBACK PREPARED ");
    rc = pg_put_literal(conn, &sql, gid, err);
    if (rc == 0)
        rc = pg_run(conn, sql.data, err);
    buf_free(&sql);
    return rc;
}

static int roll_back_in(struct superuser *s, const char *database, struct err *err)
{
    static const char sql[] = "SELECT gid FROM pg_catalog.pg_prepared_xacts"
                              " WHERE database = pg_catalog.current_database()";
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    struct pg_conn *conn = NULL;
    struct pg_answer *a = NULL;
    int rc = open_conn(s, s->conninfo, database, &conn, err);
    size_t i;

    if (rc == 0)
        rc = ask(conn, sql, &wanted, &a, err);
    for (i = 0; rc == 0 && i < pg_rows(a); i++)
        rc = roll_back_one(conn, pg_text(a, i, 0), err);
    pg_answer_free(a);
    pg_conn_close(conn);
    return rc < 0 ? err_prefix(err, "prepared transactions of the database \"%s\"", database) : 0;
}

/*
 * What they did is not to be seen, and nobody will ever end them here; but their locks would stand
 * in the way of who reads. It can be done only in their databases: those of which nothing is shown
 * are left alone.
 */
static int roll_back_prepared(struct superuser *s, struct pg_conn *conn, struct err *err)
{
    static const char sql[] = "SELECT DISTINCT database FROM pg_catalog.pg_prepared_xacts";
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    struct pg_answer *a = NULL;
    char *const *name;
    int rc = ask(conn, sql, &wanted, &a, err);
    size_t i;

    for (i = 0; rc == 0 && i < pg_rows(a); i++)
        for (name = s->databases; rc == 0 && *name; name++)
            if (strcmp(*name, pg_text(a, i, 0)) == 0)
                rc = roll_back_in(s, *name, err);
    pg_answer_free(a);
    return rc;
}

/* ---- as whom, and where ---- */

static int look_around(struct superuser *s, struct pg_conn *conn, struct err *err)
{
    int rc = read_databases(s, conn, err);

    return rc < 0 ? rc : roll_back_prepared(s, conn, err);
}

/* 1: that is a superuser, and s->conninfo and databases are set. 0: it is not, or cannot connect
 * there. */
static int try_database(struct superuser *s, const char *user, const char *database,
                        struct err *err)
{
    char *conninfo = make_conninfo(s, user);
    struct pg_conn *conn = NULL;
    int rc = open_conn(s, conninfo, database, &conn, &s->refusal);

    if (rc == -EINTR || rc == -ENOTSUP)
        *err = s->refusal;
    else
        rc = rc < 0 ? 0 : is_superuser(conn, err);
    free(s->conninfo);
    s->conninfo = conninfo;
    if (rc == 1 && look_around(s, conn, err) < 0)
        rc = -err->code;
    pg_conn_close(conn);
    return rc;
}

static int try_databases(struct superuser *s, const char *user, char *const *names, struct err *err)
{
    int rc = 0;

    for (; *names && rc == 0; names++)
        rc = try_database(s, user, *names, err);
    return rc;
}

/* Those that are there in nearly every cluster; that nobody has to be asked for. Ends with NULL.
 * template0 lets nobody in but a server without connections. */
#define USUAL 5
static void usual_databases(const struct superuser *s, bool single, char *names[USUAL])
{
    static const char *const usual[] = {"postgres", "template1", "template0"};
    size_t i, n = 0;

    if (s->likely)
        names[n++] = s->likely;
    for (i = 0; i < (single ? 3u : 2u); i++)
        names[n++] = (char *)(uintptr_t)usual[i];
    names[n] = NULL;
}

/* What a server without connections is asked, a line each, and answers in hexadecimal digits,
 * whatever characters the names hold. */
static const char insiders_sql[] =
    "SELECT pg_catalog.concat('r', pg_catalog.encode(pg_catalog.namesend(rolname), 'hex')) AS "
    "asofs_name FROM pg_catalog.pg_authid WHERE rolsuper AND rolcanlogin "
    "ORDER BY oid OPERATOR(pg_catalog.<>) 10, oid LIMIT 10\n"
    "SELECT pg_catalog.concat('d', pg_catalog.encode(pg_catalog.namesend(datname), 'hex')) AS "
    "asofs_name FROM pg_catalog.pg_database WHERE datallowconn "
    "AND datconnlimit OPERATOR(pg_catalog.<>) -2 ORDER BY datistemplate, oid LIMIT 10\n"
    "SELECT pg_catalog.concat('b', pg_catalog.encode(pg_catalog.namesend(rolname), 'hex')) AS "
    "asofs_name FROM pg_catalog.pg_authid WHERE oid OPERATOR(pg_catalog.=) 10\n";

void superuser_free_insiders(struct superuser_insiders *in)
{
    proc_args_free(&in->roles);
    proc_args_free(&in->databases);
    free(in->bootstrap);
}

/* A line of a server without protocol: <tab> 1: asofs_name = "r626f7373"<tab>(typeid = ... */
static void parse_names(const char *out, struct superuser_insiders *in)
{
    static const char mark[] = "asofs_name = \"";
    const char *at = out;
    unsigned byte;

    while ((at = strstr(at, mark))) {
        struct buf b = {0};
        char kind = *(at += sizeof(mark) - 1);

        for (at += kind != 0; sscanf(at, "%2x", &byte) == 1 && *at != '"'; at += 2)
            buf_putc(&b, (char)byte);
        if (b.len && kind == 'r')
            proc_args_add(&in->roles, buf_steal(&b));
        else if (b.len && kind == 'd')
            proc_args_add(&in->databases, buf_steal(&b));
        else if (b.len && kind == 'b' && !in->bootstrap)
            in->bootstrap = buf_steal(&b);
        buf_free(&b);
    }
}

/* In the first of the usual databases that is there: a server without connections does not mind
 * whether one allows them. */
static int run_single(struct superuser *s, const char *sql, struct buf *out, struct err *err)
{
    char *names[USUAL], *const *name, **argv;
    int rc = -ENOENT;

    usual_databases(s, true, names);
    for (name = names; *name && rc < 0 && rc != -EINTR; name++) {
        buf_clear(out);
        argv = privateconf_argv(s->conf, "--single", *name);
        rc = pg_program_run(s->conf->programs, "postgres", argv, NULL, sql, s->stop_fd, out, err);
        mem_free_texts(argv);
    }
    return rc;
}

int superuser_ask_insiders(struct superuser *s, struct superuser_insiders *in, struct err *err)
{
    struct buf out = {0};
    int rc = run_single(s, insiders_sql, &out, err);

    if (rc == 0)
        parse_names(out.data, in);
    buf_free(&out);
    if (rc == 0 && !in->bootstrap)
        rc = err_set(err, EIO, "cannot find out the name of the bootstrap superuser");
    if (rc == 0 && !in->databases.n)
        rc = err_set(err, ENOENT, "the cluster has no database that allows connections");
    return rc;
}

/* The data directory that this server writes is nobody else's: a view that is kept, or whose pages
 * are shown, has another over it for who reads. */
int superuser_let_bootstrap_in(struct superuser *s, struct superuser_insiders *in, struct err *err)
{
    static const char sql[] = "UPDATE pg_catalog.pg_authid SET rolcanlogin = true, rolsuper = true "
                              "WHERE oid OPERATOR(pg_catalog.=) 10\n";
    struct buf out = {0};
    int rc = run_single(s, sql, &out, err);

    buf_free(&out);
    if (rc < 0)
        return rc;
    log_note("no superuser may log in at that moment: \"%s\" may, in the private server alone",
             in->bootstrap);
    proc_args_add(&in->roles, mem_strdup(in->bootstrap));
    return 0;
}

int superuser_try_insiders(struct superuser *s, const struct superuser_insiders *in,
                           struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < in->roles.n && rc == 0; i++)
        rc = try_databases(s, in->roles.argv[i], in->databases.argv, err);
    return rc != 0 ? rc
                   : err_set(err, EIO, "no superuser can connect to the private server: %s",
                             s->refusal.text);
}

/* Most clusters have them. */
int superuser_try_usual(struct superuser *s, struct err *err)
{
    char *names[USUAL];

    usual_databases(s, false, names);
    return try_databases(s, "postgres", names, err);
}

static void free_omitted(struct pg_omitted *omitted)
{
    struct pg_omitted *o;

    for (o = omitted; o && o->name; o++) {
        free(o->name);
        free(o->why);
    }
    free(omitted);
}

void superuser_free(struct superuser *s)
{
    free(s->likely);
    free(s->conninfo);
    mem_free_texts(s->databases);
    free_omitted(s->omitted);
}
