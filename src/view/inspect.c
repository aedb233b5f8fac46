#include "view/inspect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/openat2.h>
#include <mntent.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/csv.h"
#include "common/hash.h"
#include "common/io.h"
#include "common/mem.h"
#include "common/mounts.h"
#include "common/proc.h"

#define COLUMNS 15
#define PIECE (1u << 20)

enum {
    SCHEMA,
    NAME,
    FILE_,
    KIND,
    STATE,
    ROWS,
    BYTES,
    ESTIMATE,
    CHUNKS,
    SECONDS,
    CHECKSUM,
    ERROR,
    FILTER,
    VIA,
    REASON
};

#define SAID_MOST ((size_t)256 << 20) /* bytes of what a view says of itself */

int inspect_open_file(const char *dir, const char *name)
{
    int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1, why;
    struct stat st;

    if (at >= 0)
        fd = io_openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    why = errno;
    if (at >= 0)
        close(at);
    errno = why;
    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
        return fd;
    close(fd);
    errno = EINVAL;
    return -1;
}

/* -EACCES keeps strerror's words: `asofs list` goes by them. */
static int refuse_file(const char *dir, const char *path, struct err *err)
{
    int why = errno;

    if (why == ENOENT || why == ENOTDIR)
        return err_set(err, EINVAL, "%s is no view of asofs: cannot open %s: %s", dir, path,
                       strerror(why));
    if (why == ENOTCONN || why == ECONNABORTED)
        return err_set(err, why, "%s is a dead mount: its process was killed: umount %s", dir, dir);
    err_set(err, why, "cannot open %s: %s", path, strerror(why));
    return why == EACCES ? err_hint(err, "A mount is only for the user who made it, unless it was "
                                         "mounted with -o allow_other.")
                         : -err->code;
}

/* The size that stat tells may be out of date by the time it is read. */
int inspect_read_meta(const char *dir, const char *name, struct buf *b, struct err *err)
{
    char *in = mem_printf(".asofs/%s", name),
         *path = mem_printf("%s/%s", strcmp(dir, "/") ? dir : "", in);
    int fd = inspect_open_file(dir, in), rc = 0;
    ssize_t n = 1;

    if (fd < 0)
        rc = refuse_file(dir, path, err);
    while (rc == 0 && n > 0) {
        buf_reserve(b, PIECE);
        n = read(fd, b->data + b->len, PIECE);
        if (n > 0)
            b->len += (size_t)n;
        else if (n < 0)
            rc = err_errno(err, "cannot read %s", path);
        if (b->len > SAID_MOST)
            rc = err_set(err, EFBIG, "%s is too long", path);
    }
    if (fd >= 0)
        close(fd);
    free(in);
    free(path);
    buf_puts(b, "");
    return rc;
}

static int load_json(const char *dir, const char *name, struct buf *b, json_t **j, struct err *err)
{
    json_error_t why;
    int rc = inspect_read_meta(dir, name, b, err);

    if (rc < 0)
        return rc;
    *j = json_loadb(b->data, b->len, 0, &why);
    return *j ? 0 : err_set(err, EINVAL, "%s/.asofs/%s is damaged: %s", dir, name, why.text);
}

static int read_status(struct inspected *i, const char *dir, struct err *err)
{
    json_int_t estimate, done, bytes;
    struct buf b = {0};
    json_t *j = NULL;
    const char *state;
    int held, rc = load_json(dir, "status.json", &b, &j, err);

    if (rc == 0 && json_unpack(j, "{s:s,s:b,s:F,s:F,s:I,s:I,s:I}", "state", &state, "source_held",
                               &held, "held_seconds", &i->held_seconds, "extract_seconds",
                               &i->extract_seconds, "estimated_bytes", &estimate,
                               "estimated_bytes_done", &done, "bytes", &bytes) < 0)
        rc = err_set(err, EINVAL, "%s/.asofs/status.json lacks what it should hold", dir);
    if (rc == 0) {
        i->state = mem_strdup(state);
        i->source_held = held;
        i->estimate = (uint64_t)estimate;
        i->estimate_done = (uint64_t)done;
        i->bytes = (uint64_t)bytes;
        i->json = buf_steal(&b);
    }
    json_decref(j);
    buf_free(&b);
    return rc;
}

static int read_snapshot(struct inspected *i, const char *dir, struct err *err)
{
    struct buf b = {0};
    json_t *j = NULL;
    const char *moment, *source;
    int rc = load_json(dir, "snapshot.json", &b, &j, err);

    if (rc == 0 &&
        json_unpack(j, "{s:s,s:{s:s}}", "moment", &moment, "server", "source", &source) < 0)
        rc = err_set(err, EINVAL, "%s/.asofs/snapshot.json lacks what it should hold", dir);
    if (rc == 0) {
        i->moment = mem_strdup(moment);
        i->source = mem_strdup(source);
    }
    json_decref(j);
    buf_free(&b);
    return rc;
}

/* Takes what it keeps of the fields and frees the rest. */
static void take_table(struct inspected *i, char **f)
{
    struct inspected_table *t;

    i->tables = mem_resize(i->tables, i->ntables + 1, sizeof(*t));
    t = &i->tables[i->ntables++];
    *t = (struct inspected_table){.schema = f[SCHEMA],
                                  .name = f[NAME],
                                  .file = f[FILE_],
                                  .state = f[STATE],
                                  .checksum = f[CHECKSUM],
                                  .error = f[ERROR],
                                  .filter = f[FILTER],
                                  .rendered = strcmp(f[VIA], "heap") == 0,
                                  .rows = strtoull(f[ROWS], NULL, 10),
                                  .bytes = strtoull(f[BYTES], NULL, 10),
                                  .estimate = strtoull(f[ESTIMATE], NULL, 10),
                                  .seconds = strtod(f[SECONDS], NULL)};
    free(f[KIND]);
    free(f[ROWS]);
    free(f[BYTES]);
    free(f[ESTIMATE]);
    free(f[CHUNKS]);
    free(f[SECONDS]);
    free(f[VIA]);
    free(f[REASON]);
}

static int read_tables(struct inspected *i, const char *dir, struct err *err)
{
    char *f[COLUMNS];
    struct buf b = {0};
    const char *p, *end;
    int n = 0, line = 0, k, rc = inspect_read_meta(dir, "tables.csv", &b, err);

    p = b.data;
    end = b.data + b.len;
    while (rc == 0 && (n = csv_read_record(&p, end, f, COLUMNS)) == COLUMNS) {
        if (line++ > 0) {
            take_table(i, f);
            continue;
        }
        for (k = 0; k < COLUMNS; k++)
            free(f[k]);
    }
    if (rc == 0 && (n != 0 || line == 0)) {
        for (k = 0; k < n; k++)
            free(f[k]);
        rc = err_set(err, EINVAL, "%s/.asofs/tables.csv is damaged in line %d", dir, line + 1);
    }
    buf_free(&b);
    return rc;
}

static int open_one(struct inspected *i, const char *dir, struct err *err)
{
    int rc;

    *i = (struct inspected){0};
    rc = read_status(i, dir, err);
    if (rc == 0)
        rc = read_snapshot(i, dir, err);
    if (rc == 0)
        rc = read_tables(i, dir, err);
    if (rc < 0)
        inspect_free(i);
    return rc;
}

/* ---- a view of several databases, each a view in a directory of its own ---- */

static bool has_status(const char *dir)
{
    char *path = mem_printf("%s/.asofs/status.json", dir);
    bool has = access(path, F_OK) == 0;

    free(path);
    return has;
}

/* Nothing but such directories, all of one file system: what holds several mounts is no view. */
static bool is_member(const char *dir, const char *name, dev_t dev)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct stat st;
    bool is = lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_dev == dev && has_status(path);

    free(path);
    return is;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The databases, sorted; none when something else is there, too. The pages of a cluster are in
 * .asofs. */
static void find_members(const char *dir, struct proc_args *names)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    struct stat st;
    bool all = d && fstat(dirfd(d), &st) == 0;

    while (all && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            strcmp(e->d_name, ".asofs") == 0)
            continue;
        all = is_member(dir, e->d_name, st.st_dev);
        if (all)
            proc_args_add(names, mem_strdup(e->d_name));
    }
    if (d)
        closedir(d);
    if (!all) {
        proc_args_free(names);
        *names = (struct proc_args){0};
    }
    if (names->n)
        qsort(names->argv, names->n, sizeof(*names->argv), by_name);
}

static void move_tables(struct inspected *all, struct inspected *one, const char *name)
{
    size_t t;

    all->tables = mem_resize(all->tables, all->ntables + one->ntables + 1, sizeof(*all->tables));
    for (t = 0; t < one->ntables; t++) {
        struct inspected_table *to = &all->tables[all->ntables++];
        char *file = mem_printf("%s/%s", name, one->tables[t].file);

        *to = one->tables[t];
        free(to->file);
        to->file = file;
        to->database = mem_strdup(name);
    }
    one->ntables = 0;
}

static const char *worse_state(const char *a, const char *b)
{
    static const char *const states[] = {"failed", "extracting"};
    size_t i;

    for (i = 0; i < sizeof(states) / sizeof(*states); i++)
        if (strcmp(a, states[i]) == 0 || strcmp(b, states[i]) == 0)
            return states[i];
    return a;
}

/* "erp of /srv/store": the last part has a slash, as a name of a database hardly has. */
static char *source_of_all(const char *source)
{
    const char *of = strstr(source, " of /");

    return mem_strdup(of ? of + 4 : source);
}

static void add_totals(struct inspected *all, const struct inspected *one)
{
    char *state = mem_strdup(all->state ? worse_state(all->state, one->state) : one->state);

    free(all->state);
    all->state = state;
    if (!all->moment) {
        all->moment = mem_strdup(one->moment);
        all->source = source_of_all(one->source);
    }
    all->source_held |= one->source_held;
    if (one->held_seconds > all->held_seconds)
        all->held_seconds = one->held_seconds;
    all->extract_seconds += one->extract_seconds;
    all->estimate += one->estimate;
    all->estimate_done += one->estimate_done;
    all->bytes += one->bytes;
}

static int add_database(struct inspected *all, const char *dir, const char *name, json_t *databases,
                        struct err *err)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct inspected one;
    int rc = open_one(&one, path, err);

    free(path);
    if (rc < 0)
        return rc;
    json_object_set_new(databases, name, json_loads(one.json, 0, NULL));
    add_totals(all, &one);
    move_tables(all, &one, name);
    inspect_free(&one);
    return 0;
}

static int open_members(struct inspected *all, const char *dir, const struct proc_args *names,
                        struct err *err)
{
    json_t *databases = json_object(), *j;
    size_t k;
    int rc = 0;

    *all = (struct inspected){0};
    for (k = 0; k < names->n && rc == 0; k++)
        rc = add_database(all, dir, names->argv[k], databases, err);
    j = json_pack("{s:s*,s:o}", "state", all->state, "databases", databases);
    all->json = json_dumps(j, JSON_INDENT(2));
    json_decref(j);
    if (rc < 0)
        inspect_free(all);
    return rc;
}

int inspect_open(struct inspected *i, const char *dir, struct err *err)
{
    struct proc_args names = {0};
    int rc;

    if (!has_status(dir))
        find_members(dir, &names);
    rc = names.n ? open_members(i, dir, &names, err) : open_one(i, dir, err);
    proc_args_free(&names);
    return rc;
}

void inspect_free(struct inspected *i)
{
    size_t t;

    for (t = 0; t < i->ntables; t++) {
        struct inspected_table *x = &i->tables[t];

        free(x->database);
        free(x->schema);
        free(x->name);
        free(x->file);
        free(x->state);
        free(x->checksum);
        free(x->error);
        free(x->filter);
    }
    free(i->tables);
    free(i->json);
    free(i->state);
    free(i->moment);
    free(i->source);
    *i = (struct inspected){0};
}

int inspect_checksum(const char *dir, const char *file, char out[17], struct err *err)
{
    int fd = inspect_open_file(dir, file), rc = 0;
    char *piece = mem_alloc(PIECE);
    struct hash *h = hash_new();
    ssize_t n = 1;

    if (fd < 0)
        rc = err_errno(err, "cannot open %s", file);
    while (rc == 0 && n > 0) {
        n = read(fd, piece, PIECE);
        if (n > 0)
            hash_update(h, piece, (size_t)n);
        else if (n < 0)
            rc = err_errno(err, "cannot read %s", file);
    }
    snprintf(out, 17, "%016llx", (unsigned long long)hash_value(h));
    hash_free(h);
    free(piece);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ---- one table ---- */

/* What follows "DATABASE/" in a view of several; NULL: it is of another one. */
static const char *in_database(const char *name, const struct inspected_table *t)
{
    size_t len = t->database ? strlen(t->database) : 0;

    if (!len)
        return name;
    return strncmp(name, t->database, len) == 0 && name[len] == '/' ? name + len + 1 : NULL;
}

static bool is_named(const struct inspected_table *t, const char *name)
{
    const char *rest = in_database(name, t);
    size_t len = strlen(t->schema);

    return strcmp(t->file, name) == 0 || (rest && strncmp(rest, t->schema, len) == 0 &&
                                          rest[len] == '.' && strcmp(rest + len + 1, t->name) == 0);
}

const struct inspected_table *inspect_find(const struct inspected *i, const char *name)
{
    size_t t;

    for (t = 0; t < i->ntables; t++)
        if (is_named(&i->tables[t], name))
            return &i->tables[t];
    return NULL;
}

/* stat() waits in the mount, and puts the table first in the queue. */
int inspect_wait(const char *dir, const struct inspected_table *t, struct err *err)
{
    char *path = mem_printf("%s/%s", dir, t->file);
    struct stat st;
    int rc = 0;

    if (stat(path, &st) < 0)
        rc = err_set(err, errno, "%s: %s", t->file,
                     errno == EIO ? "failed; .asofs/errors says why" : strerror(errno));
    free(path);
    return rc;
}

/* Its size was not known when the view was asked, or the one that it has now. */
static bool has_size(const struct inspected_table *t)
{
    return strcmp(t->state, "complete") == 0;
}

static bool can_be_read(const struct inspected_table *t)
{
    return has_size(t) || (t->rendered && strcmp(t->state, "failed") != 0);
}

int inspect_verify(const char *dir, const struct inspected_table *t, struct err *err)
{
    char *path = mem_printf("%s/%s", dir, t->file), sum[17];
    struct stat st;
    int rc = 0;

    if (!can_be_read(t))
        rc =
            err_set(err, ENODATA, "%s: %s%s%s", t->file, t->state, *t->error ? ": " : "", t->error);
    else if (stat(path, &st) < 0)
        rc = err_errno(err, "%s", t->file);
    else if (has_size(t) && (uint64_t)st.st_size != t->bytes)
        rc = err_set(err, EIO, "%s: %lld bytes, should be %llu", t->file, (long long)st.st_size,
                     (unsigned long long)t->bytes);
    else if (inspect_checksum(dir, t->file, sum, err) < 0)
        rc = -err->code;
    else if (*t->checksum && strcmp(sum, t->checksum) != 0)
        rc = err_set(err, EIO, "%s: checksum %s, should be %s", t->file, sum, t->checksum);
    free(path);
    return rc;
}

/* ---- mounts ---- */

int inspect_each_mount(int (*f)(void *arg, const char *dir, const char *source), void *arg,
                       struct err *err)
{
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    struct mntent *m;
    int rc = 0;

    if (!mounts)
        return err_errno(err, "cannot read /proc/self/mounts");
    while (rc == 0 && (m = getmntent(mounts)))
        if (strcmp(m->mnt_type, MOUNTS_OURS) == 0)
            rc = f(arg, m->mnt_dir, m->mnt_fsname);
    endmntent(mounts);
    return rc;
}
