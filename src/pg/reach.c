#include "pg/reach.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "pg/internal.h"

#define CONNECT_MS 10000

static bool is_in(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

static const char *value_of(const PQconninfoOption *o, const char *key)
{
    for (; o && o->keyword; o++)
        if (strcmp(o->keyword, key) == 0)
            return o->val && *o->val ? o->val : NULL;
    return NULL;
}

/* ---- a service ---- */

static const char *set_in_environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static char *own_service_file(void)
{
    const char *named = set_in_environment("PGSERVICEFILE");
    const struct passwd *pw = named ? NULL : getpwuid(geteuid());

    return named ? mem_strdup(named) : mem_printf("%s/.pg_service.conf", pw ? pw->pw_dir : "");
}

/* libpq says no more than that it was not found. */
static int tell_where(struct err *err)
{
    const struct passwd *pw = getpwuid(geteuid());
    const char *system = set_in_environment("PGSYSCONFDIR");
    char *file = own_service_file();
    int why = access(file, R_OK) == 0 ? 0 : errno;

    err_hint(err, "it was looked for as the user %s, in %s%s%s%s, and in the system's %s%s",
             pw ? pw->pw_name : "that asofs runs as", file, why ? " (" : "",
             why ? strerror(why) : "", why ? ")" : "", system ? system : "pg_service.conf",
             system ? "/pg_service.conf" : " (in the directory that pg_config --sysconfdir names)");
    free(file);
    return -err->code;
}

/* ---- what is kept ---- */

struct keeping {
    PQconninfoOption *given; /* NULL: the name of a database */
    PQconninfoOption *used;  /* with what environment and service add */
    bool service;            /* one is named */
    bool spelled;            /* the service is left out, and what it says put in */
    bool changed;            /* what was given is not enough, or too much */
    struct buf kept;
    struct pg_secrets *left_out;
};

static bool is_secret(const PQconninfoOption *o)
{
    return strchr(o->dispchar, '*') != NULL;
}

static bool is_from_environment(const PQconninfoOption *o)
{
    const char *value = o->envvar ? set_in_environment(o->envvar) : NULL;

    return value && o->val && strcmp(value, o->val) == 0;
}

static const PQconninfoOption *given_as(const struct keeping *k, const char *key)
{
    const PQconninfoOption *o;

    for (o = k->given; o && o->keyword; o++)
        if (strcmp(o->keyword, key) == 0 && o->val)
            return o;
    return NULL;
}

/* What stays in a service that is kept is not lost. */
static void leave_out(struct keeping *k, const PQconninfoOption *o)
{
    const PQconninfoOption *given = given_as(k, o->keyword);

    k->changed |= given != NULL;
    if (!o->val || !*o->val || (!given && !is_from_environment(o) && !k->spelled))
        return;
    if (strcmp(o->keyword, "password") == 0)
        k->left_out->password = true;
    else
        k->left_out->others = true;
}

static bool is_kept(const struct keeping *k, const PQconninfoOption *o)
{
    /* Of sessions: ours have their own. */
    static const char *const passing[] = {"application_name", "fallback_application_name",
                                          "client_encoding", "options", NULL};

    if (strcmp(o->keyword, "service") == 0)
        return k->service && !k->spelled;
    if (given_as(k, o->keyword))
        return true;
    if (!o->val || !*o->val || strchr(o->dispchar, 'D') || is_in(o->keyword, passing))
        return false;
    if (is_from_environment(o))
        return true;
    return k->spelled && (!o->compiled || strcmp(o->compiled, o->val) != 0);
}

/* Empty ones too: host='' is not what PGHOST says. Files are named from the working directory of
 * now. */
static void keep_option(struct keeping *k, const PQconninfoOption *o)
{
    static const char *const files[] = {"passfile", "sslcert",   "sslkey",      "sslrootcert",
                                        "sslcrl",   "sslcrldir", "servicefile", NULL};
    const PQconninfoOption *given = given_as(k, o->keyword);
    /* libpq does not give a service back. */
    const char *value = given ? given->val : o->val ? o->val : getenv(o->envvar);
    char *full = is_in(o->keyword, files) && *value && *value != '/' ? realpath(value, NULL) : NULL;

    k->changed |= full || !given;
    pg_put_option(&k->kept, o->keyword, full ? full : value);
    free(full);
}

static void keep_all(struct keeping *k)
{
    const PQconninfoOption *o;

    for (o = k->used; o->keyword; o++)
        if (is_secret(o))
            leave_out(k, o);
        else if (is_kept(k, o))
            keep_option(k, o);
        else if (given_as(k, o->keyword))
            k->changed = true;
}

static bool names_service(const char *source)
{
    PQconninfoOption *given = NULL;
    struct err ignored;
    bool named = set_in_environment("PGSERVICE") != NULL;

    if (pg_target_parse(source, &given, &ignored) == 0)
        named |= value_of(given, "service") != NULL;
    PQconninfoFree(given);
    return named;
}

/* The options in use, by the beginning of a connection that is never completed. */
static int find_used(const char *source, PQconninfoOption **used, struct err *err)
{
    const char *const keys[] = {"dbname", NULL}, *const values[] = {source, NULL};
    PGconn *pq = PQconnectStartParams(keys, values, 1);
    bool usable = pq && (PQstatus(pq) != CONNECTION_BAD || *PQhost(pq)); /* libpq has a host then */
    int rc = 0;

    *used = pq ? PQconninfo(pq) : NULL;
    if (!pq || !*used)
        rc = err_set(err, ENOMEM, "out of memory");
    else if (!usable)
        rc = pg_fail_text(err, EINVAL, "", PQerrorMessage(pq));
    if (rc == -EINVAL && names_service(source))
        rc = tell_where(err);
    PQfinish(pq);
    return rc;
}

/* As what the name of a database alone says. */
static int take_given(struct keeping *k, const char *source, struct err *err)
{
    int rc = pg_target_parse(source, &k->given, err);
    struct buf name = {0};

    if (rc < 0 || k->given)
        return rc;
    pg_put_option(&name, "dbname", source);
    rc = pg_target_parse(name.data, &k->given, err);
    buf_free(&name);
    return rc;
}

int pg_target_keep(const char *source, char **kept, struct pg_secrets *left_out, struct err *err)
{
    struct keeping k = {.left_out = left_out};
    int rc = take_given(&k, source, err);

    *kept = NULL;
    *left_out = (struct pg_secrets){0};
    if (rc == 0)
        rc = find_used(source, &k.used, err);
    if (rc == 0) {
        k.service = names_service(source);
        k.spelled = k.service && (set_in_environment("PGSERVICEFILE") ||
                                  set_in_environment("PGSYSCONFDIR"));
        buf_puts(&k.kept, "");
        keep_all(&k);
        *kept = k.changed ? buf_steal(&k.kept) : mem_strdup(source);
    }
    PQconninfoFree(k.given);
    PQconninfoFree(k.used);
    buf_free(&k.kept);
    return rc;
}

/* ---- what stays as it is ---- */

static bool state_stays(const char *state)
{
    /* Classes of SQLSTATE: authorization, name of a database, syntax and privileges, values,
     * features; and a database that takes no connections. */
    static const char *const classes[] = {"28", "3D", "42", "22", "0A"};
    size_t i;

    for (i = 0; i < sizeof(classes) / sizeof(*classes); i++)
        if (strncmp(state, classes[i], 2) == 0)
            return true;
    return strncmp(state, "55000", 5) == 0;
}

/* "connection to server at … failed: FATAL:  28P01" */
static bool line_stays(const char *line, size_t n)
{
    size_t i;

    if (n < 8 || strncmp(line + n - 8, ":  ", 3) != 0)
        return false;
    for (i = n - 5; i < n; i++)
        if (!isupper((unsigned char)line[i]) && !isdigit((unsigned char)line[i]))
            return false;
    return state_stays(line + n - 5);
}

/* What libpq adds when a password came from a file. */
static bool is_remark(const char *line)
{
    return strncmp(line, "password retrieved from file", 28) == 0;
}

bool pg_failure_stays(const char *message)
{
    bool any = false;
    size_t n;

    for (; *message; message += n + (message[n] == '\n')) {
        n = strcspn(message, "\n");
        if (!n || is_remark(message))
            continue;
        if (!line_stays(message, n))
            return false;
        any = true;
    }
    return any;
}

static bool wait_for(PGconn *pq, PostgresPollingStatusType want, int stop_fd, int64_t deadline)
{
    struct pollfd p[2] = {{.fd = PQsocket(pq),
                           .events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT},
                          {.fd = stop_fd, .events = POLLIN}};
    int64_t left = deadline - clock_ms();

    return left > 0 && poll(p, 2, (int)left) > 0 && !p[1].revents;
}

/* 1: such a connection is refused, and stays so. */
static int is_refused(const char *source, const char *replication, int stop_fd)
{
    const char *const keys[] = {"dbname", "replication", "application_name", NULL};
    const char *const values[] = {source, replication, "asofs base", NULL};
    PGconn *pq = PQconnectStartParams(keys, values, 1);
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;
    int64_t deadline = clock_ms() + CONNECT_MS;
    int stays = 0;

    if (!pq)
        return 0;
    PQsetErrorVerbosity(pq, PQERRORS_SQLSTATE);
    while (PQstatus(pq) != CONNECTION_BAD && want != PGRES_POLLING_OK &&
           wait_for(pq, want, stop_fd, deadline))
        want = PQconnectPoll(pq);
    if (PQstatus(pq) == CONNECTION_BAD)
        stays = PQconnectionNeedsPassword(pq) || pg_failure_stays(PQerrorMessage(pq));
    PQfinish(pq);
    return stays;
}

int pg_target_is_mistaken(const char *source, int stop_fd, struct err *err)
{
    PQconninfoOption *used = NULL;
    int rc = find_used(source, &used, err);

    PQconninfoFree(used);
    if (rc < 0)
        return rc == -EINVAL ? rc : 0;
    if (is_refused(source, NULL, stop_fd) || is_refused(source, "true", stop_fd))
        return err_set(err, EACCES, "the server refuses the user or the connection");
    return 0;
}
