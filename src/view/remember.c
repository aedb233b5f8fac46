#include "view/remember.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/log.h"
#include "common/mem.h"
#include "pg/dump.h"
#include "view/internal.h"

#define CONNECT_TIMEOUT_MS 30000
#define QUERY_TIMEOUT_MS 120000
#define DATABASES "databases" /* the note about all of them */
#define MANY 100000           /* databases: more are not believed */

/* ---- its life ---- */

static void free_omitted(struct pg_omitted *all)
{
    struct pg_omitted *o;

    for (o = all; o && o->name; o++) {
        free(o->name);
        free(o->why);
    }
    free(all);
}

static void free_database(struct remembered_database *d)
{
    free(d->name);
    pg_memory_free(d->memory);
    buf_free(&d->schema);
}

void remembered_free(struct remembered *r)
{
    size_t i;

    if (!r)
        return;
    for (i = 0; i < r->n; i++)
        free_database(&r->all[i]);
    free(r->all);
    mem_free_texts(r->names);
    free_omitted(r->omitted);
    free(r);
}

const struct remembered_database *remembered_find(const struct remembered *r, const char *name)
{
    size_t i;

    for (i = 0; i < r->n; i++)
        if (strcmp(r->all[i].name, name) == 0)
            return &r->all[i];
    return NULL;
}

/* ---- as bytes ---- */

static void put_databases(const struct remembered *r, struct buf *b)
{
    const struct pg_limits *l = &r->control.limits;
    uint32_t names = 0, omitted = 0, i;

    while (r->names[names])
        names++;
    while (r->omitted[omitted].name)
        omitted++;
    buf_put_u32(b, names);
    for (i = 0; i < names; i++)
        buf_put_str(b, r->names[i]);
    buf_put_u32(b, omitted);
    for (i = 0; i < omitted; i++) {
        buf_put_str(b, r->omitted[i].name);
        buf_put_str(b, r->omitted[i].why);
    }
    buf_put_u64(b, l->next_xid);
    buf_put_u32(b, l->oldest_xid);
    buf_put_u32(b, l->next_multi);
    buf_put_u32(b, l->oldest_multi);
    buf_put_u32(b, l->next_multi_offset);
    buf_put_u32(b, r->control.checksums);
}

/* How many come; too many are bad. */
static uint32_t get_count(struct reader *in)
{
    uint32_t n = reader_u32(in);

    if (n <= MANY)
        return n;
    in->bad = true;
    return 0;
}

static bool get_databases(struct remembered *r, const char *bytes, size_t len)
{
    struct pg_limits *l = &r->control.limits;
    struct reader in = {bytes, len, false};
    uint32_t n = get_count(&in), i;

    r->names = mem_array(n + 1, sizeof(*r->names));
    for (i = 0; i < n; i++)
        r->names[i] = reader_str(&in);
    n = get_count(&in);
    r->omitted = mem_array(n + 1, sizeof(*r->omitted));
    for (i = 0; i < n; i++) {
        r->omitted[i].name = reader_str(&in);
        r->omitted[i].why = reader_str(&in);
    }
    l->next_xid = reader_u64(&in);
    l->oldest_xid = reader_u32(&in);
    l->next_multi = reader_u32(&in);
    l->oldest_multi = reader_u32(&in);
    l->next_multi_offset = reader_u32(&in);
    r->control.checksums = reader_u32(&in);
    return reader_done(&in);
}

static void put_database(const struct remembered_database *d, struct buf *b)
{
    buf_put_str(b, d->name);
    buf_put_str(b, d->schema.data);
    pg_memory_put(d->memory, b);
}

static bool get_database(struct remembered_database *d, const char *bytes, size_t len)
{
    struct reader in = {bytes, len, false};
    char *schema;

    d->name = reader_str(&in);
    schema = reader_str(&in);
    buf_puts(&d->schema, schema);
    free(schema);
    d->memory = in.bad ? NULL : pg_memory_get(in.p, in.left);
    return d->memory;
}

/* ---- the notes ---- */

static char *note_of(const char *database)
{
    char *escaped = escape_name(database), *name = mem_printf("%s.db", escaped);

    free(escaped);
    return name;
}

/* That there is none is no news. */
static bool read_note(struct pageview *page, const char *name, char **bytes, size_t *len)
{
    struct err err;
    int rc = pageview_read_note(page, name, bytes, len, &err);

    if (rc < 0 && rc != -ENOENT)
        log_note("%s", err.text);
    return rc == 0;
}

static bool read_database(struct pageview *page, struct remembered *r, const char *name)
{
    struct remembered_database *d = &r->all[r->n];
    char *note = note_of(name), *bytes = NULL;
    size_t len;
    bool good = read_note(page, note, &bytes, &len);

    if (good) {
        r->n++;
        good = get_database(d, bytes, len) && strcmp(d->name, name) == 0;
        if (!good)
            log_note("what is remembered of the database \"%s\" makes no sense", name);
    }
    free(bytes);
    free(note);
    return good;
}

static bool read_wanted(struct pageview *page, struct remembered *r, const char *database)
{
    char **n;
    size_t room = 0;

    for (n = r->names; *n; n++)
        room++;
    r->all = mem_array(room + 1, sizeof(*r->all));
    for (n = r->names; *n; n++)
        if ((!database || strcmp(*n, database) == 0) && !read_database(page, r, *n))
            return false;
    return true;
}

struct remembered *remembered_read(struct pageview *page, const char *database)
{
    struct remembered *r = mem_alloc(sizeof(*r));
    char *bytes = NULL;
    size_t len;
    bool good = read_note(page, DATABASES, &bytes, &len);

    if (good && !get_databases(r, bytes, len)) {
        log_note("what is remembered of the databases makes no sense");
        good = false;
    }
    free(bytes);
    if (good && read_wanted(page, r, database))
        return r;
    remembered_free(r);
    return NULL;
}

static void write_note(struct pageview *page, const char *name, const struct buf *b)
{
    struct err err;

    if (pageview_write_note(page, name, b, &err) < 0)
        log_note("%s; the next mount starts a server, too", err.text);
}

void remembered_write(const struct remembered *r, struct pageview *page)
{
    struct buf b = {0};
    char *name;
    size_t i;

    for (i = 0; i < r->n; i++) {
        buf_clear(&b);
        put_database(&r->all[i], &b);
        name = note_of(r->all[i].name);
        write_note(page, name, &b);
        free(name);
    }
    buf_clear(&b);
    put_databases(r, &b);
    write_note(page, DATABASES, &b);
    buf_free(&b);
}

/* ---- asking the server ---- */

static int wait_for_dump(struct pg_dump *d, int stop_fd, struct err *err)
{
    struct pollfd p[] = {{.fd = d->out_fd, .events = POLLIN},
                         {.fd = d->err_fd, .events = POLLIN},
                         {.fd = stop_fd, .events = POLLIN}};
    int rc = 0;

    while (rc == 0) {
        p[0].fd = d->out_fd;
        p[1].fd = d->err_fd;
        if (poll(p, 3, -1) < 0 && errno != EINTR)
            return err_errno(err, "poll failed");
        rc = p[2].revents ? err_set(err, EINTR, "interrupted") : pg_dump_read(d, err);
    }
    return rc < 0 ? rc : 0;
}

static int dump_schema(struct pg_conn *conn, const char *bindir, int stop_fd, struct buf *schema,
                       struct err *err)
{
    static const struct pg_catalog none = {0};
    struct pg_dump d;
    int rc = pg_dump_start(&d, conn, &none, true, NULL, bindir, err);

    if (rc == 0)
        rc = wait_for_dump(&d, stop_fd, err);
    if (rc == 0)
        buf_put(schema, d.text.data, d.text.len);
    pg_dump_free(&d);
    return rc;
}

/* It may be there already: of a view of all tables. */
static int take_schema(const struct snapshot *s, struct pg_conn *conn, int stop_fd,
                       struct buf *schema, struct err *err)
{
    const struct results *r = snapshot_results(s);

    if (s->req.tables.n || !r->schema_done || r->schema_error)
        return dump_schema(conn, s->req.bindir, stop_fd, schema, err);
    buf_put(schema, r->schema.data, r->schema.len);
    return 0;
}

static int connect_to(struct pageview *page, const char *database, int stop_fd,
                      struct pg_conn **conn, struct err *err)
{
    struct pg_session session = {.application_name = "asofs memory",
                                 .timezone = "UTC",
                                 .stop_fd = stop_fd,
                                 .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                 .query_timeout_ms = QUERY_TIMEOUT_MS};
    char *source = pageview_source(page, database);
    struct pg_target target;
    int rc;

    pg_target_init(&target, source);
    rc = pg_conn_open(conn, &target, &session, err);
    pg_target_free(&target);
    free(source);
    return rc;
}

static int make_database(struct pageview *page, const struct snapshot *s, int stop_fd,
                         struct remembered_database *d, struct err *err)
{
    struct pg_conn *conn = NULL;
    int rc = connect_to(page, s->server.database, stop_fd, &conn, err);

    d->name = mem_strdup(s->server.database);
    if (rc == 0)
        rc = pg_memory_make(conn, &d->memory, err);
    if (rc == 0)
        rc = take_schema(s, conn, stop_fd, &d->schema, err);
    pg_conn_close(conn);
    return rc;
}

static void copy_names(struct pageview *page, struct remembered *r)
{
    char *const *names = pageview_databases(page);
    const struct pg_omitted *omitted = pageview_omitted(page);
    size_t n = 0, i;

    while (names[n])
        n++;
    r->names = mem_array(n + 1, sizeof(*r->names));
    for (i = 0; i < n; i++)
        r->names[i] = mem_strdup(names[i]);
    for (n = 0; omitted[n].name; n++)
        ;
    r->omitted = mem_array(n + 1, sizeof(*r->omitted));
    for (i = 0; i < n; i++)
        r->omitted[i] =
            (struct pg_omitted){mem_strdup(omitted[i].name), mem_strdup(omitted[i].why)};
}

int remembered_make(struct pageview *page, const struct view *v, int stop_fd, struct remembered **r,
                    struct err *err)
{
    struct remembered *new = mem_alloc(sizeof(*new));
    size_t i;
    int rc = 0;

    *r = NULL;
    copy_names(page, new);
    new->all = mem_array(v->n + 1, sizeof(*new->all));
    for (i = 0; i < v->n && rc == 0; i++)
        rc = make_database(page, v->members[i].snapshot, stop_fd, &new->all[new->n++], err);
    if (rc == 0)
        *r = new;
    else
        remembered_free(new);
    return rc;
}
