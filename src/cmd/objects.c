/*
 * The files as they were: first those of .asofs/, whose tables.csv then says which objects are a
 * flat file, and what its size and its checksum are. All of it comes from a database, so that
 * nothing is written but below the directory, and nothing appears that is not as it is said to be.
 *
 * A copy that was made without files (--direct) has checksums of its objects, but not of a file of
 * several; then tables.csv gets it here, as if there had been files.
 */
#include "cmd/objects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/subcommand.h"
#include "common/csv.h"
#include "common/hash.h"
#include "common/io.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/stop.h"
#include "common/units.h"
#include "pg/largeobject.h"
#include "pg/objects.h"
#include "view/inspect.h"
#include "view/outdir.h"

struct giving {
    struct pg_conn *conn;
    struct pg_object_list list;
    struct outdir *out;
    size_t used;      /* of the list */
    char (*sums)[17]; /* by table: the checksum of its file */
    bool sums_missed; /* tables.csv lacked one */
    size_t tables;
    uint64_t bytes;
};

/* ---- a file ---- */

struct filling {
    int fd;
    uint64_t at;
    struct hash *hash, *part;
};

static int take_piece(void *arg, const char *bytes, size_t len, struct err *err)
{
    struct filling *f = arg;
    int rc = io_pwrite_all(f->fd, bytes, len, f->at);

    if (rc < 0)
        return err_set(err, -rc, "cannot write: %s", strerror(-rc));
    hash_update(f->hash, bytes, len);
    hash_update(f->part, bytes, len);
    f->at += len;
    return 0;
}

static int refuse_object(const char *file, int rc, struct err *err)
{
    err_prefix(err, "%s", file);
    if (rc == -EACCES)
        err_hint(err, "The large objects belong to the role that makes the copies: GRANT it to "
                      "yours.");
    return rc;
}

static void put_sum(const struct hash *h, char sum[17])
{
    snprintf(sum, 17, "%016llx", (unsigned long long)hash_value(h));
}

static int check_part(const struct filling *f, const struct pg_object *o, const char *file,
                      struct err *err)
{
    char is[17];

    put_sum(f->part, is);
    if (strcmp(is, o->checksum) == 0)
        return 0;
    return err_set(err, EIO, "%s: the checksum of its part %u is %s instead of %s", file,
                   o->part + 1, is, o->checksum);
}

/* checksum: "", it is not known. */
static int check_file(const struct filling *f, const char *file, uint64_t bytes,
                      const char *checksum, char is[17], struct err *err)
{
    put_sum(f->hash, is);
    if (f->at != bytes)
        return err_set(err, EIO, "%s: %llu bytes are there instead of %llu", file,
                       (unsigned long long)f->at, (unsigned long long)bytes);
    if (*checksum && strcmp(is, checksum) != 0)
        return err_set(err, EIO, "%s: its checksum is %s instead of %s", file, is, checksum);
    return 0;
}

static int fill_part(struct giving *g, struct filling *f, const struct pg_object *o,
                     const char *file, struct err *err)
{
    int rc;

    hash_reset(f->part);
    rc = pg_objread_run(g->conn, o->oid, o->bytes, take_piece, f, err);
    return rc < 0 ? refuse_object(file, rc, err) : check_part(f, o, file, err);
}

/* The n objects from this one on are a file of that many bytes. sum: its checksum as it is. */
static int fill_file(struct giving *g, const struct pg_object *o, size_t n, const char *file,
                     uint64_t bytes, const char *checksum, char sum[17], struct err *err)
{
    const struct timespec time = {g->list.moment_ns / 1000000000, g->list.moment_ns % 1000000000};
    struct filling f = {.hash = hash_new(), .part = hash_new()};
    size_t i;
    int rc = 0;

    f.fd = openat(g->out->fd, file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (f.fd < 0)
        rc = err_errno(err, "cannot create %s", file);
    for (i = 0; i < n && rc == 0; i++)
        rc = fill_part(g, &f, &o[i], file, err);
    if (rc == 0)
        rc = check_file(&f, file, bytes, checksum, sum, err);
    if (f.fd >= 0) {
        futimens(f.fd, (struct timespec[2]){time, time});
        close(f.fd);
    }
    hash_free(f.hash);
    hash_free(f.part);
    g->used += n;
    g->bytes += bytes;
    return rc;
}

/* ---- names ---- */

static bool is_plain(const char *name, size_t len)
{
    return len && len < 256 && !memchr(name, '/', len) && !(len == 1 && name[0] == '.') &&
           !(len == 2 && name[0] == '.' && name[1] == '.');
}

/* "schema/table.csv" */
static int make_directory(const struct giving *g, const char *file, struct err *err)
{
    const char *slash = strchr(file, '/');
    char *dir;
    int rc;

    if (!slash || !is_plain(file, (size_t)(slash - file)) ||
        !is_plain(slash + 1, strlen(slash + 1)))
        return err_set(err, EINVAL, "\"%s\" is not the name of a flat file", file);
    dir = mem_printf("%.*s", (int)(slash - file), file);
    rc = mkdirat(g->out->fd, dir, 0777) < 0 && errno != EEXIST
             ? err_errno(err, "cannot create %s", dir)
             : 0;
    free(dir);
    return rc;
}

/* ---- .asofs/, then the tables ---- */

static int fill_meta(struct giving *g, struct err *err)
{
    char sum[17];
    size_t i;
    int rc = mkdirat(g->out->fd, ".asofs", 0777) < 0 ? err_errno(err, "cannot create .asofs") : 0;

    for (i = 0; i < g->list.n && !*g->list.objects[i].schema && rc == 0; i++) {
        const struct pg_object *o = &g->list.objects[i];
        char *file = mem_printf(".asofs/%s", o->name);

        rc = is_plain(o->name, strlen(o->name))
                 ? fill_file(g, o, 1, file, o->bytes, o->checksum, sum, err)
                 : err_set(err, EINVAL, "\"%s\" is not the name of a file of .asofs", o->name);
        free(file);
    }
    return rc;
}

/* Where the table is, or would be, in the list: by schema and name, bytewise. */
static size_t find_table(const struct pg_object_list *l, const struct inspected_table *t)
{
    size_t from = 0, to = l->n;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int d = strcmp(l->objects[middle].schema, t->schema);

        if (d == 0)
            d = strcmp(l->objects[middle].name, t->name);
        if (d < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* How many objects from there on are its parts, in order. */
static size_t count_parts(const struct pg_object_list *l, size_t at,
                          const struct inspected_table *t)
{
    size_t n = 0;

    while (at + n < l->n && l->objects[at + n].part == n &&
           strcmp(l->objects[at + n].name, t->name) == 0 &&
           strcmp(l->objects[at + n].schema, t->schema) == 0)
        n++;
    return n;
}

static int fill_table(struct giving *g, const struct inspected_table *t, char sum[17],
                      struct err *err)
{
    size_t at = find_table(&g->list, t), n = count_parts(&g->list, at, t);
    int rc;

    if (!n || strcmp(t->state, "complete") != 0)
        return err_set(err, EIO, "%s is not complete there", t->file);
    g->sums_missed |= !*t->checksum;
    rc = make_directory(g, t->file, err);
    return rc < 0 ? rc
                  : fill_file(g, &g->list.objects[at], n, t->file, t->bytes, t->checksum, sum, err);
}

static void set_time(const struct giving *g, const char *dir)
{
    struct timespec time = {g->list.moment_ns / 1000000000, g->list.moment_ns % 1000000000};

    utimensat(g->out->fd, dir, (struct timespec[2]){time, time}, AT_SYMLINK_NOFOLLOW);
}

static void set_times(const struct giving *g, const struct inspected *view)
{
    size_t i;

    for (i = 0; i < view->ntables; i++) {
        char *dir = mem_strdup(view->tables[i].file);

        *strchr(dir, '/') = 0;
        set_time(g, dir);
        free(dir);
    }
    set_time(g, ".asofs");
    set_time(g, ".");
}

/* ---- checksums that tables.csv lacks ---- */

#define COLUMNS_MOST 32
#define TABLES_CSV ".asofs/tables.csv"

/* A record as it was, but for its checksum: sum, or NULL in the header. */
static bool put_summed_record(struct buf *out, char *const *fields, int n, int *column,
                              const char *sum)
{
    int i;

    for (i = 0; i < n; i++) {
        if (!sum && strcmp(fields[i], "xxh3") == 0)
            *column = i;
        if (i)
            buf_putc(out, ',');
        csv_put_field(out, sum && i == *column ? sum : fields[i]);
    }
    buf_putc(out, '\n');
    return *column >= 0 && *column < n;
}

static bool put_sums(const struct giving *g, const struct buf *from, struct buf *out)
{
    const char *p = from->data, *end = from->data + from->len;
    char *fields[COLUMNS_MOST];
    int n, i, column = -1;
    size_t line = 0;
    bool good = true;

    while (good && (n = csv_read_record(&p, end, fields, COLUMNS_MOST)) > 0) {
        good = line <= g->tables &&
               put_summed_record(out, fields, n, &column, line ? g->sums[line - 1] : NULL);
        for (i = 0; i < n; i++)
            free(fields[i]);
        line++;
    }
    return good && line == g->tables + 1;
}

static int write_tables_csv(const struct giving *g, const struct buf *text, struct err *err)
{
    const struct timespec time = {g->list.moment_ns / 1000000000, g->list.moment_ns % 1000000000};
    int fd = openat(g->out->fd, TABLES_CSV, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return err_errno(err, "cannot write " TABLES_CSV);
    rc = io_pwrite_all(fd, text->data, text->len, 0);
    futimens(fd, (struct timespec[2]){time, time});
    close(fd);
    return rc < 0 ? err_set(err, -rc, "cannot write " TABLES_CSV ": %s", strerror(-rc)) : 0;
}

static int complete_list(const struct giving *g, struct err *err)
{
    struct buf from = {0}, out = {0};
    int rc = inspect_read_meta(g->out->hidden, "tables.csv", &from, err);

    if (rc == 0 && !put_sums(g, &from, &out))
        rc = err_set(err, EIO, TABLES_CSV " of the copy is damaged");
    if (rc == 0)
        rc = write_tables_csv(g, &out, err);
    buf_free(&from);
    buf_free(&out);
    return rc;
}

static int fill_directory(struct giving *g, struct err *err)
{
    struct inspected view;
    size_t i;
    int rc = fill_meta(g, err);

    if (rc == 0)
        rc = inspect_open(&view, g->out->hidden, err);
    if (rc < 0)
        return rc;
    g->tables = view.ntables;
    g->sums = mem_array(view.ntables + 1, sizeof(*g->sums));
    for (i = 0; i < view.ntables && rc == 0; i++)
        rc = fill_table(g, &view.tables[i], g->sums[i], err);
    if (rc == 0 && g->sums_missed)
        rc = complete_list(g, err);
    if (rc == 0 && g->used != g->list.n)
        rc = err_set(err, EIO, "there are large objects of the copy that its tables.csv lacks");
    if (rc == 0)
        set_times(g, &view);
    inspect_free(&view);
    return rc;
}

/* ---- the command ---- */

static int give_back(struct giving *g, const struct source *source, const char *name, int stop_fd,
                     struct err *err)
{
    struct pg_session session = {.application_name = "asofs extract",
                                 .timezone = "UTC",
                                 .stop_fd = stop_fd,
                                 .connect_timeout_ms = source->request.worker_timeout_ms,
                                 .query_timeout_ms = source->request.worker_timeout_ms};
    struct pg_target target;
    int rc;

    if (source->request.tables.n)
        return err_set(err, EINVAL,
                       "with --large-objects, all files are given back: no tables can "
                       "be named");
    pg_target_init(&target, source->place);
    rc = pg_conn_open(&g->conn, &target, &session, err);
    if (rc == 0)
        rc = pg_objects_begin(g->conn, name, &g->list, err);
    if (rc == 0)
        rc = fill_directory(g, err);
    if (g->conn && rc == 0)
        pg_objects_end(g->conn);
    pg_conn_close(g->conn);
    pg_target_free(&target);
    return rc;
}

static void print_summary(const struct giving *g, const char *dir)
{
    char size[32];

    log_note("%s: %zu table%s, %s, out of %zu large objects", dir, g->tables, units_s(g->tables),
             units_format_size(g->bytes, size, sizeof(size)), g->used);
}

int objects_extract(const struct source *source, const char *name, const char *dir)
{
    struct outdir out;
    struct giving g = {.out = &out};
    struct stop stop;
    struct err err;
    int rc = stop_open(&stop, &err);

    if (rc == 0)
        rc = outdir_open(&out, dir, &err);
    if (rc == 0) {
        rc = give_back(&g, source, name, stop.fd, &err);
        if (rc == 0)
            rc = outdir_publish(&out, &err);
        else
            outdir_abandon(&out);
    }
    if (rc == 0)
        print_summary(&g, dir);
    pg_objects_free(&g.list);
    free(g.sums);
    stop_close(&stop, true);
    return rc < 0 ? command_failed(&err) : 0;
}
