/*
 * How the store changes so that an end at any moment leaves it whole: what is made is made under a
 * name that nobody takes for a base or view, and renamed when it is complete; what is dropped is
 * renamed away first. Whoever changes the store holds STORE/lock, so anything with such a name is
 * nobody's any more and is cleared. A view's own lock is another matter: it is held as long as the
 * view is served.
 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/io.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "pages/layer.h"
#include "pages/page.h"
#include "store/rebase.h"

#define DESCRIPTION_MAX (64u << 10)
#define ID_DIGITS 9
#define LOCK "lock"
#define LOG "log"
#define MAKING "making"
#define MANIFEST "files"
#define OVER_VIEW "view/" /* what a parent begins with that is a view */
#define SEGMENT_MIN (1 << 20)
#define SEGMENT_MAX (1 << 30)
#define USEC 1000000

struct store {
    char *path; /* absolute */
    struct disk *disk;
    bool knows_cluster;
    struct store_cluster cluster;
    char *log; /* absolute */
};

struct store_making {
    struct store *store;
    char *id, *path; /* path: absolute */
    int lock;
};

struct store_view {
    struct store_base base;
    struct disk *layer;
    struct datadir *datadir;
    int lock, parent_lock; /* parent_lock: of the view below, shared; -1: there is none */
};

/* ---- names ---- */

static bool is_id(const char *s)
{
    size_t n = strspn(s, "0123456789");

    return n >= 1 && n <= ID_DIGITS && !s[n] && *s != '0';
}

static bool is_view_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");

    return n >= 1 && n <= STORE_NAME_MAX && !s[n] && *s != '.';
}

/* "view/<name>": the name, else NULL. */
static const char *view_of_parent(const char *parent)
{
    size_t n = strlen(OVER_VIEW);

    return parent && strncmp(parent, OVER_VIEW, n) == 0 ? parent + n : NULL;
}

static int check_view_name(const char *name, struct err *err)
{
    if (is_view_name(name))
        return 0;
    return err_set(err, EINVAL,
                   "\"%s\" is no name for a view: it is 1 to %d letters, digits, \"_\", \"-\" and "
                   "\".\", not beginning with \".\"",
                   name, STORE_NAME_MAX);
}

/* Numbers without leading zeros, as numbers. */
static int compare_ids(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);

    return na != nb ? (na < nb ? -1 : 1) : strcmp(a, b);
}

/* ---- descriptions ---- */

struct key {
    const char *name;
    json_type type;
    size_t at;
    bool optional;
};

/* clang-format off */
#define KEY(k, type, optional) {#k, type, offsetof(struct store_description, k), optional}
/* clang-format on */
#define NUMBER(k) KEY(k, JSON_INTEGER, false)
#define TEXT(k) KEY(k, JSON_STRING, false)
#define MAYBE_NUMBER(k) KEY(k, JSON_INTEGER, true)
#define MAYBE_TEXT(k) KEY(k, JSON_STRING, true)
#define BASE_FACTS                                                                                 \
    MAYBE_TEXT(start_lsn), MAYBE_TEXT(consistent_lsn), MAYBE_NUMBER(start_time),                   \
        MAYBE_NUMBER(consistent_time), MAYBE_NUMBER(timeline)

static const struct key format_key = NUMBER(format);
static const struct key kind_key = TEXT(kind);
static const struct key store_keys[] = {NUMBER(format),
                                        NUMBER(page_bytes),
                                        MAYBE_TEXT(system_identifier),
                                        MAYBE_NUMBER(major),
                                        MAYBE_NUMBER(segment_bytes),
                                        MAYBE_TEXT(conninfo),
                                        MAYBE_TEXT(slot),
                                        MAYBE_TEXT(slot_mark),
                                        MAYBE_TEXT(log),
                                        MAYBE_TEXT(restore_command),
                                        {0}};
static const struct key directory_keys[] = {
    NUMBER(format), TEXT(kind), TEXT(path), BASE_FACTS, {0}};
static const struct key layer_keys[] = {NUMBER(format), TEXT(kind), TEXT(parent), BASE_FACTS, {0}};
static const struct key view_keys[] = {NUMBER(format),
                                       TEXT(base),
                                       TEXT(state),
                                       MAYBE_TEXT(parent),
                                       MAYBE_TEXT(target),
                                       MAYBE_TEXT(lsn),
                                       MAYBE_NUMBER(time_us),
                                       MAYBE_NUMBER(timeline),
                                       {0}};

static int take(struct store_description *d, const json_t *j, const struct key *k, const char *file,
                struct err *err)
{
    const json_t *value = json_object_get(j, k->name);
    char *member = (char *)d + k->at;

    if (!value && k->optional)
        return 0;
    if (!value)
        return err_set(err, EINVAL, "%s: key \"%s\" is missing", file, k->name);
    if (json_typeof(value) != k->type)
        return err_set(err, EINVAL, "%s: key \"%s\" is no %s", file, k->name,
                       k->type == JSON_STRING ? "text" : "whole number");
    if (k->type == JSON_STRING) {
        free(*(char **)member);
        *(char **)member = mem_strdup(json_string_value(value));
    } else {
        *(int64_t *)member = json_integer_value(value);
    }
    return 0;
}

/* The format comes first: all else may mean something different in another. */
static int take_format(struct store_description *d, const json_t *j, const char *file,
                       struct err *err)
{
    int rc = take(d, j, &format_key, file, err);

    if (rc == 0 && d->format != STORE_FORMAT)
        rc = err_set(err, ENOTSUP, "%s: key \"format\" is %lld; this program knows format %d only",
                     file, (long long)d->format, STORE_FORMAT);
    return rc;
}

static int choose_keys(enum store_description_type type, struct store_description *d,
                       const json_t *j, const char *file, const struct key **keys, struct err *err)
{
    int rc = 0;

    *keys = type == STORE_JSON ? store_keys : view_keys;
    if (type != BASE_JSON)
        return 0;
    rc = take(d, j, &kind_key, file, err);
    if (rc < 0)
        return rc;
    *keys = strcmp(d->kind, "layer") == 0 ? layer_keys : directory_keys;
    if (*keys == directory_keys && strcmp(d->kind, "directory") != 0)
        rc = err_set(err, EINVAL,
                     "%s: key \"kind\" is \"%s\"; this program knows \"directory\" and \"layer\"",
                     file, d->kind);
    return rc;
}

static int take_all(struct store_description *d, json_t *j, const struct key *keys,
                    const char *file, struct err *err)
{
    const struct key *k;
    const char *name;
    json_t *value;
    int rc = 0;

    for (k = keys; k->name && rc == 0; k++)
        rc = take(d, j, k, file, err);
    if (rc < 0)
        return rc;
    json_object_foreach(j, name, value)
    {
        for (k = keys; k->name && strcmp(k->name, name) != 0; k++)
            ;
        if (!k->name)
            return err_set(err, EINVAL, "%s: key \"%s\" is unknown", file, name);
    }
    return 0;
}

static int refuse_text(const char *file, const char *key, const char *value, const char *why,
                       struct err *err)
{
    return err_set(err, EINVAL, "%s: key \"%s\" is \"%s\", which is %s", file, key, value, why);
}

static int refuse_number(const char *file, const char *key, int64_t value, const char *why,
                         struct err *err)
{
    return err_set(err, EINVAL, "%s: key \"%s\" is %lld, which is %s", file, key, (long long)value,
                   why);
}

static bool is_system_identifier(const char *text, uint64_t *value)
{
    size_t n = strspn(text, "0123456789");

    errno = 0;
    *value = n ? strtoull(text, NULL, 10) : 0;
    return n && !text[n] && errno == 0 && *value;
}

static bool is_segment_size(int64_t bytes)
{
    return bytes >= SEGMENT_MIN && bytes <= SEGMENT_MAX && (bytes & (bytes - 1)) == 0;
}

static int check_lsn(const char *file, const char *key, const char *value, struct err *err)
{
    uint64_t lsn;

    return value && lsn_parse(value, &lsn) < 0
               ? refuse_text(file, key, value, "no place on the log", err)
               : 0;
}

static int check_cluster(const struct store_description *d, const char *file, struct err *err)
{
    uint64_t id;

    if (!d->system_identifier && !d->major && !d->segment_bytes) {
        if (d->conninfo || d->slot || d->slot_mark || d->log || d->restore_command)
            return err_set(err, EINVAL, "%s: key \"system_identifier\" is missing", file);
        return 0;
    }
    if (!d->system_identifier)
        return err_set(err, EINVAL, "%s: key \"system_identifier\" is missing", file);
    if (!is_system_identifier(d->system_identifier, &id))
        return refuse_text(file, "system_identifier", d->system_identifier,
                           "no number of a cluster", err);
    if (d->major < 1 || d->major > 999)
        return refuse_number(file, "major", d->major, "no major version", err);
    if (!is_segment_size(d->segment_bytes))
        return refuse_number(file, "segment_bytes", d->segment_bytes, "no size of a log segment",
                             err);
    if (d->log && d->log[0] != '/')
        return refuse_text(file, "log", d->log, "not absolute", err);
    if (d->slot_mark && !d->slot)
        return err_set(err, EINVAL, "%s: key \"slot\" is missing", file);
    return check_lsn(file, "slot_mark", d->slot_mark, err);
}

/* Since 1970, in parts of which there are `a_second`. */
static bool is_time(int64_t time, int64_t a_second)
{
    return time >= 0 && time / a_second <= STORE_TIME_MAX;
}

static int check_time(const char *file, const char *key, int64_t value, int64_t a_second,
                      struct err *err)
{
    return is_time(value, a_second)
               ? 0
               : refuse_number(file, key, value, "no time between 1970 and 2262", err);
}

/* Of a base and of a view. */
static int check_facts(const struct store_description *d, enum store_description_type type,
                       const char *file, struct err *err)
{
    int rc = check_lsn(file, "start_lsn", d->start_lsn, err);

    if (rc == 0)
        rc = check_lsn(file, "consistent_lsn", d->consistent_lsn, err);
    if (rc == 0)
        rc = check_lsn(file, "lsn", d->lsn, err);
    if (rc == 0)
        rc = check_time(file, "start_time", d->start_time, 1, err);
    if (rc == 0)
        rc = check_time(file, "consistent_time", d->consistent_time, 1, err);
    if (rc == 0)
        rc = check_time(file, "time_us", d->time_us, USEC, err);
    if (rc < 0)
        return rc;
    if (d->timeline < 0 || d->timeline > UINT32_MAX || (d->start_lsn && !d->timeline))
        return refuse_number(file, "timeline", d->timeline, "no timeline", err);
    if (type == BASE_JSON && !d->start_lsn &&
        (d->consistent_lsn || d->start_time || d->consistent_time || d->timeline))
        return err_set(err, EINVAL, "%s: key \"start_lsn\" is missing", file);
    return 0;
}

static int check_parent_name(const char *parent, enum store_description_type type, const char *file,
                             struct err *err)
{
    const char *view = view_of_parent(parent);

    if (type == VIEW_JSON)
        return view && is_view_name(view) ? 0 : refuse_text(file, "parent", parent, "no view", err);
    return is_id(parent) ? 0 : refuse_text(file, "parent", parent, "no id of a base", err);
}

static bool is_state(const char *state)
{
    return strcmp(state, "open") == 0 || strcmp(state, "replaying") == 0 ||
           strcmp(state, "complete") == 0;
}

/* What a type alone does not tell. */
static int check_values(const struct store_description *d, enum store_description_type type,
                        const char *file, struct err *err)
{
    int rc = type == STORE_JSON ? check_cluster(d, file, err) : check_facts(d, type, file, err);

    if (rc < 0)
        return rc;
    if (type == STORE_JSON && d->page_bytes != PAGE_BYTES)
        return err_set(err, ENOTSUP,
                       "%s: key \"page_bytes\" is %lld; this program stores pages of %u bytes",
                       file, (long long)d->page_bytes, PAGE_BYTES);
    if (d->path && d->path[0] != '/')
        return refuse_text(file, "path", d->path, "not absolute", err);
    if (d->base && !is_id(d->base))
        return refuse_text(file, "base", d->base, "no id of a base", err);
    if (d->state && !is_state(d->state))
        return err_set(err, EINVAL,
                       "%s: key \"state\" is \"%s\"; this program knows \"open\", \"replaying\" "
                       "and \"complete\"",
                       file, d->state);
    return d->parent ? check_parent_name(d->parent, type, file, err) : 0;
}

int store_parse(enum store_description_type type, const char *bytes, size_t len, const char *file,
                struct store_description *d, struct err *err)
{
    const struct key *keys;
    json_error_t why;
    json_t *j = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &why);
    int rc = 0;

    memset(d, 0, sizeof(*d));
    if (!j)
        rc = err_set(err, EINVAL, "%s is damaged: line %d: %s", file, why.line, why.text);
    else if (!json_is_object(j))
        rc = err_set(err, EINVAL, "%s is damaged: it is no JSON object", file);
    if (rc == 0)
        rc = take_format(d, j, file, err);
    if (rc == 0)
        rc = choose_keys(type, d, j, file, &keys, err);
    if (rc == 0)
        rc = take_all(d, j, keys, file, err);
    if (rc == 0)
        rc = check_values(d, type, file, err);
    if (rc < 0)
        store_description_free(d);
    json_decref(j);
    return rc;
}

void store_description_free(struct store_description *d)
{
    free(d->kind);
    free(d->path);
    free(d->parent);
    free(d->base);
    free(d->state);
    free(d->system_identifier);
    free(d->conninfo);
    free(d->slot);
    free(d->slot_mark);
    free(d->log);
    free(d->restore_command);
    free(d->start_lsn);
    free(d->consistent_lsn);
    free(d->target);
    free(d->lsn);
    memset(d, 0, sizeof(*d));
}

static int load(const struct store *s, enum store_description_type type, const char *path,
                struct store_description *d, struct err *err)
{
    char *file = mem_printf("%s/%s", s->path, path), *bytes = NULL;
    size_t len;
    int rc = disk_read_file(s->disk, path, DESCRIPTION_MAX, &bytes, &len);

    memset(d, 0, sizeof(*d));
    if (rc < 0)
        rc = err_set(err, -rc, "cannot read %s: %s", file, strerror(-rc));
    else
        rc = store_parse(type, bytes, len, file, d, err);
    free(bytes);
    free(file);
    return rc;
}

/* Takes the reference; `path` is relative to the disk's directory, `shown` what messages call it.
 */
static int save(struct disk *disk, const char *path, const char *shown, json_t *j, struct err *err)
{
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL, *line = NULL;
    int rc;

    json_decref(j);
    if (!text)
        return err_set(err, EINVAL, "cannot describe %s in JSON: names must be UTF-8", shown);
    line = mem_printf("%s\n", text);
    rc = disk_replace_file(disk, path, line, strlen(line));
    if (rc < 0)
        rc = err_set(err, -rc, "cannot write %s/%s: %s", shown, path, strerror(-rc));
    free(line);
    free(text);
    return rc;
}

static json_t *describe_empty(void)
{
    return json_pack("{s:i,s:i}", "format", STORE_FORMAT, "page_bytes", (int)PAGE_BYTES);
}

/* ---- locks ---- */

/* In NFS an exclusive lock wants a file open for writing; on a read-only disk there is none to be
 * had. */
static int open_lock(const char *path, bool exclusive)
{
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK; /* a pipe is not waited for */
    int fd = open(path, O_RDWR | O_CREAT | flags, 0600);

    if (fd < 0 && !exclusive && (errno == EROFS || errno == EACCES))
        fd = open(path, O_RDONLY | flags);
    return fd < 0 ? -errno : fd;
}

/* The file may have been dropped and made anew between opening and locking it. */
static bool still_there(int fd, const char *path)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

static int lock_file(const char *path, int how, int *fd)
{
    int rc;

    *fd = -1;
    rc = open_lock(path, how & LOCK_EX);
    if (rc < 0)
        return rc;
    *fd = rc;
    while ((rc = flock(*fd, how)) < 0 && errno == EINTR)
        ;
    if (rc < 0)
        rc = -errno;
    else if (!still_there(*fd, path))
        rc = -ENOENT;
    if (rc < 0) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

int store_lock_view(struct store *s, const char *name, bool exclusive, int *fd, struct err *err)
{
    char *path = mem_printf("%s/view/%s/" LOCK, s->path, name);
    int rc = check_view_name(name, err);

    *fd = -1;
    if (rc < 0)
        goto out;
    rc = lock_file(path, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB, fd);
    if (rc == -EWOULDBLOCK)
        rc = err_set(err, EBUSY, "view %s of %s is served by another process", name, s->path);
    else if (rc == -ENOENT)
        rc = err_set(err, ENOENT, "%s has no view %s", s->path, name);
    else if (rc < 0)
        rc = err_set(err, -rc, "cannot lock %s: %s", path, strerror(-rc));
out:
    free(path);
    return rc;
}

/* ---- changing the store ---- */

static bool has_file(const struct store *s, const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct stat st;
    bool there = s->disk->ops->stat(s->disk, path, &st) == 0;

    free(path);
    return there;
}

/* A base that is not complete. base.json is written last but for the removal of the lock, so one
 * that is merely damaged is none. */
static bool is_making(const struct store *s, const char *id)
{
    char *dir = mem_printf("base/%s", id);
    bool making = has_file(s, dir, MAKING) && !has_file(s, dir, "base.json");

    free(dir);
    return making;
}

/* Nobody is at it any more. The lock that this takes is of no use to others: the store's is held.
 */
static bool is_deserted(const struct store *s, const char *id)
{
    char *path = mem_printf("%s/base/%s/" MAKING, s->path, id);
    int fd = -1;
    bool deserted = is_making(s, id) && lock_file(path, LOCK_EX | LOCK_NB, &fd) == 0;

    if (fd >= 0)
        close(fd);
    free(path);
    return deserted;
}

static bool is_leftover_base(const struct store *s, const char *name)
{
    size_t n = strlen(name);

    if (is_id(name))
        return is_deserted(s, name);
    return n > 4 && (strcmp(name + n - 4, ".new") == 0 || strcmp(name + n - 4, ".old") == 0);
}

static bool is_leftover_view(const struct store *s, const char *name)
{
    (void)s;
    return name[0] == '.';
}

/* Renamed first: half a base must not be taken for a base. */
static int remove_base_tree(const struct store *s, const char *id)
{
    char *path = mem_printf("%s/base/%s", s->path, id), *old = mem_printf("%s.old", path);
    int rc = rename(path, old) < 0 ? -errno : io_remove_tree(old);

    free(old);
    free(path);
    return rc;
}

struct clearing {
    const struct store *store;
    const char *kind;
    bool (*is_leftover)(const struct store *s, const char *name);
};

/* If it stays, whoever needs the name finds out. */
static int clear_one(void *arg, const char *name)
{
    const struct clearing *c = arg;
    char *path;

    if (!c->is_leftover(c->store, name))
        return 0;
    if (is_id(name) && strcmp(c->kind, "base") == 0) {
        remove_base_tree(c->store, name);
    } else {
        path = mem_printf("%s/%s/%s", c->store->path, c->kind, name);
        io_remove_tree(path);
        free(path);
    }
    return 0;
}

/* The store is ours to change until *fd is closed. */
static int begin_change(struct store *s, int *fd, struct err *err)
{
    struct clearing bases = {s, "base", is_leftover_base}, views = {s, "view", is_leftover_view};
    char *path = mem_printf("%s/" LOCK, s->path);
    int rc = lock_file(path, LOCK_EX, fd);

    if (rc < 0) {
        rc = err_set(err, -rc, "cannot lock %s: %s", path, strerror(-rc));
    } else {
        s->disk->ops->list(s->disk, bases.kind, clear_one, &bases);
        s->disk->ops->list(s->disk, views.kind, clear_one, &views);
    }
    free(path);
    return rc;
}

static int make_dir(struct store *s, const char *path, struct err *err)
{
    int rc = s->disk->ops->make_dir(s->disk, path);

    return rc < 0 ? err_set(err, -rc, "cannot make %s/%s: %s", s->path, path, strerror(-rc)) : 0;
}

/* From now on it has its name, also after a power failure. `kind`: "base" or "view". */
static int put_in_place(struct store *s, const char *kind, const char *from, const char *to,
                        struct err *err)
{
    int rc = s->disk->ops->sync_dir(s->disk, from);

    if (rc == 0)
        rc = s->disk->ops->rename(s->disk, from, to);
    if (rc == 0)
        rc = s->disk->ops->sync_dir(s->disk, kind);
    return rc < 0 ? err_set(err, -rc, "cannot rename %s/%s to %s: %s", s->path, from, to,
                            strerror(-rc))
                  : 0;
}

static int open_disk(struct store *s, const char *path, struct disk **d, struct err *err)
{
    char *full = mem_printf("%s/%s", s->path, path);
    int rc = disk_posix(full, d);

    if (rc < 0)
        rc = err_set(err, -rc, "cannot open %s: %s", full, strerror(-rc));
    free(full);
    return rc;
}

/* What was begun and failed. */
static void discard(const struct store *s, const char *path)
{
    char *full = mem_printf("%s/%s", s->path, path);

    io_remove_tree(full);
    free(full);
}

static void free_disk(struct disk *d)
{
    if (d)
        d->ops->free(d);
}

/* ---- the store itself ---- */

bool store_is(const char *path)
{
    char *file = mem_printf("%s/store.json", path);
    struct stat st;
    bool is = stat(file, &st) == 0 && S_ISREG(st.st_mode);

    free(file);
    return is;
}

static const char *const made_first[] = {"base", "view", "store.json.new"}; /* by fill_store */

static int check_made_first(void *arg, const char *name)
{
    size_t i;

    (void)arg;
    for (i = 0; i < sizeof(made_first) / sizeof(*made_first); i++)
        if (strcmp(name, made_first[i]) == 0)
            return 0;
    return -ENOTEMPTY;
}

static int say_not_empty(void *arg, const char *name)
{
    (void)arg, (void)name;
    return -ENOTEMPTY;
}

static void empty_store(const char *path)
{
    char *base = mem_printf("%s/base", path), *view = mem_printf("%s/view", path);

    rmdir(base);
    rmdir(view);
    free(base);
    free(view);
}

/* What one left who was ended while he filled it goes: two empty directories and a file. */
static int check_empty(struct disk *d, const char *path)
{
    int rc = d->ops->list(d, "", check_made_first, NULL);

    if (rc < 0)
        return rc;
    empty_store(path);
    d->ops->remove(d, made_first[2]);
    return d->ops->list(d, "", say_not_empty, NULL);
}

/* A directory that was there must be empty, and is closed to others from now on. */
static int take_over(struct disk *d, const char *path, struct err *err)
{
    int rc = store_is(path) ? -EEXIST : check_empty(d, path);

    if (rc == -EEXIST)
        return err_set(err, EEXIST, "%s is a store already", path);
    if (rc == -ENOTEMPTY)
        return err_set(err, ENOTEMPTY, "%s is not empty: a store needs a directory of its own",
                       path);
    if (rc < 0)
        return err_set(err, -rc, "cannot read %s: %s", path, strerror(-rc));
    return chmod(path, 0700) < 0 ? err_errno(err, "cannot set the mode of %s to 0700", path) : 0;
}

/* store.json comes last: it makes the directory a store. */
static int fill_store(struct disk *d, const char *path, struct err *err)
{
    int rc = d->ops->make_dir(d, "base");

    if (rc == 0)
        rc = d->ops->make_dir(d, "view");
    if (rc < 0)
        return err_set(err, -rc, "cannot make a directory in %s: %s", path, strerror(-rc));
    rc = save(d, STORE_FILE, path, describe_empty(), err);
    if (rc == 0)
        d->ops->sync_dir(d, ".."); /* may be a place where we may write but not read: as it can */
    return rc;
}

int store_create(const char *path, struct err *err)
{
    bool made = mkdir(path, 0700) == 0, filling = false;
    struct disk *d = NULL;
    int rc;

    if (!made && errno != EEXIST)
        return err_errno(err, "cannot make %s", path);
    rc = disk_posix(path, &d);
    if (rc < 0)
        rc = err_set(err, -rc, "cannot open %s: %s", path, strerror(-rc));
    if (rc == 0 && !made)
        rc = take_over(d, path, err);
    if (rc == 0) {
        filling = true;
        rc = fill_store(d, path, err);
    }
    if (rc < 0 && filling)
        empty_store(path);
    if (rc < 0 && made)
        rmdir(path);
    free_disk(d);
    return rc;
}

/* ---- whose cluster it is ---- */

static void free_cluster(struct store_cluster *c)
{
    free(c->conninfo);
    free(c->slot);
    free(c->log);
    free(c->restore_command);
    memset(c, 0, sizeof(*c));
}

static struct store_cluster copy_cluster(const struct store_cluster *c)
{
    struct store_cluster copy = *c;

    copy.conninfo = mem_strdup(c->conninfo);
    copy.slot = mem_strdup(c->slot);
    copy.log = mem_strdup(c->log);
    copy.restore_command = mem_strdup(c->restore_command);
    return copy;
}

/* Takes what c holds. */
static void keep_cluster(struct store *s, struct store_cluster *c)
{
    free_cluster(&s->cluster);
    s->cluster = *c;
    s->knows_cluster = c->system_identifier != 0;
    free(s->log);
    s->log = c->log ? mem_strdup(c->log) : mem_printf("%s/" LOG, s->path);
}

static uint64_t mark_of(const struct store_description *d)
{
    uint64_t mark = 0;

    if (d->slot_mark)
        lsn_parse(d->slot_mark, &mark); /* was looked at */
    return mark;
}

static int load_cluster(struct store *s, struct err *err)
{
    struct store_description d;
    struct store_cluster c = {0};
    int rc = load(s, STORE_JSON, STORE_FILE, &d, err);

    if (rc < 0)
        return rc;
    if (d.system_identifier)
        c = (struct store_cluster){.system_identifier = strtoull(d.system_identifier, NULL, 10),
                                   .major = (uint32_t)d.major,
                                   .segment_bytes = (uint32_t)d.segment_bytes,
                                   .conninfo = d.conninfo,
                                   .slot = d.slot,
                                   .slot_mark = mark_of(&d),
                                   .log = d.log,
                                   .restore_command = d.restore_command};
    c = copy_cluster(&c);
    keep_cluster(s, &c);
    store_description_free(&d);
    return 0;
}

const struct store_cluster *store_cluster(const struct store *s)
{
    return s->knows_cluster ? &s->cluster : NULL;
}

const char *store_log_directory(const struct store *s)
{
    return s->log;
}

int store_check_cluster(const struct store *s, const struct store_cluster *c, struct err *err)
{
    const struct store_cluster *known = &s->cluster;

    if (!s->knows_cluster)
        return 0;
    if (c->system_identifier != known->system_identifier)
        return err_set(err, EINVAL,
                       "the store %s is of the cluster with system identifier %llu; this is the "
                       "cluster %llu",
                       s->path, (unsigned long long)known->system_identifier,
                       (unsigned long long)c->system_identifier);
    if (c->major != known->major)
        return err_set(err, EINVAL,
                       "the store %s is of PostgreSQL %u; this is PostgreSQL %u: a store holds one "
                       "major version",
                       s->path, known->major, c->major);
    if (c->segment_bytes != known->segment_bytes)
        return err_set(err, EINVAL,
                       "the store %s has log segments of %u bytes; this cluster has segments of "
                       "%u bytes",
                       s->path, known->segment_bytes, c->segment_bytes);
    return 0;
}

static int save_cluster(struct store *s, const struct store_cluster *c, struct err *err)
{
    char id[24], mark[LSN_TEXT_MAX];

    if (!c->system_identifier)
        return save(s->disk, STORE_FILE, s->path, describe_empty(), err);
    snprintf(id, sizeof(id), "%llu", (unsigned long long)c->system_identifier);
    return save(s->disk, STORE_FILE, s->path,
                json_pack("{s:i,s:i,s:s,s:I,s:I,s:s*,s:s*,s:s*,s:s*,s:s*}", "format", STORE_FORMAT,
                          "page_bytes", (int)PAGE_BYTES, "system_identifier", id, "major",
                          (json_int_t)c->major, "segment_bytes", (json_int_t)c->segment_bytes,
                          "conninfo", c->conninfo, "slot", c->slot, "slot_mark",
                          c->slot_mark ? lsn_text(c->slot_mark, mark) : NULL, "log", c->log,
                          "restore_command", c->restore_command),
                err);
}

int store_lock_cluster(struct store *s, int *fd, struct err *err)
{
    char *path = mem_printf("%s/taking", s->path);
    int rc = lock_file(path, LOCK_EX | LOCK_NB, fd);

    free(path);
    if (rc == -EWOULDBLOCK)
        return err_set(err, EBUSY, "another process takes, adopts or drops bases of %s", s->path);
    return rc < 0 ? err_set(err, -rc, "cannot lock %s: %s", s->path, strerror(-rc)) : 0;
}

static int check_new_cluster(const struct store *s, const struct store_cluster *c, struct err *err)
{
    if (!c->system_identifier || !is_segment_size(c->segment_bytes) || !c->major)
        return err_set(err, EINVAL,
                       "system identifier %llu, version %u and log segments of %u "
                       "bytes are no cluster's",
                       (unsigned long long)c->system_identifier, c->major, c->segment_bytes);
    return store_check_cluster(s, c, err);
}

int store_set_cluster(struct store *s, const struct store_cluster *c, struct err *err)
{
    struct store_cluster copy = {0};
    int lock, rc = begin_change(s, &lock, err);

    if (rc < 0)
        return rc;
    if (c)
        copy = copy_cluster(c); /* c may be made of what we forget */
    rc = load_cluster(s, err);  /* somebody else may have set it meanwhile */
    if (rc == 0 && c)
        rc = check_new_cluster(s, &copy, err);
    if (rc == 0)
        rc = save_cluster(s, &copy, err);
    if (rc == 0) {
        keep_cluster(s, &copy);
        memset(&copy, 0, sizeof(copy));
    }
    close(lock);
    free_cluster(&copy);
    return rc;
}

int store_open(const char *path, struct store **s, struct err *err)
{
    struct store *new = mem_alloc(sizeof(*new));
    int rc = 0;

    *s = NULL;
    new->path = realpath(path, NULL);
    if (!new->path)
        rc = err_errno(err, "cannot open the store %s", path);
    else if (faccessat(AT_FDCWD, new->path, X_OK, AT_EACCESS) < 0)
        rc = err_errno(err, "cannot look into the store %s", path);
    else if (!store_is(new->path))
        rc = err_set(err, EINVAL, "%s is no store: it has no store.json", path);
    if (rc == 0)
        rc = open_disk(new, "", &new->disk, err);
    if (rc == 0)
        rc = load_cluster(new, err);
    if (rc < 0)
        store_close(new);
    else
        *s = new;
    return rc;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    free_disk(s->disk);
    free_cluster(&s->cluster);
    free(s->log);
    free(s->path);
    free(s);
}

const char *store_path(const struct store *s)
{
    return s->path;
}

/* ---- what is in it ---- */

struct collection {
    bool (*wanted)(const char *name);
    char **names;
    size_t n, room;
};

static int collect(void *arg, const char *name)
{
    struct collection *c = arg;

    if (!c->wanted(name))
        return 0;
    c->names = mem_grow(c->names, c->n, &c->room, sizeof(*c->names));
    c->names[c->n++] = mem_strdup(name);
    return 0;
}

/* Shorter names first, if they are ids; else as the bytes are. */
static int order_ids(const void *a, const void *b)
{
    return compare_ids(*(char *const *)a, *(char *const *)b);
}

static int order_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_names(struct store *s, const char *kind, bool (*wanted)(const char *name),
                      int (*order)(const void *, const void *), char ***names, struct err *err)
{
    struct collection c = {.wanted = wanted};
    int rc = s->disk->ops->list(s->disk, kind, collect, &c);

    *names = NULL;
    c.names = mem_grow(c.names, c.n, &c.room, sizeof(*c.names));
    c.names[c.n] = NULL;
    if (rc < 0) {
        store_names_free(c.names);
        return err_set(err, -rc, "cannot read %s/%s: %s", s->path, kind, strerror(-rc));
    }
    qsort(c.names, c.n, sizeof(*c.names), order);
    *names = c.names;
    return 0;
}

/* Those that are being made too. */
static int all_bases(struct store *s, char ***ids, struct err *err)
{
    return list_names(s, "base", is_id, order_ids, ids, err);
}

int store_bases(struct store *s, char ***ids, struct err *err)
{
    int rc = all_bases(s, ids, err);
    size_t i, n = 0;

    for (i = 0; rc == 0 && (*ids)[i]; i++) {
        if (is_making(s, (*ids)[i]))
            free((*ids)[i]);
        else
            (*ids)[n++] = (*ids)[i];
    }
    if (rc == 0)
        (*ids)[n] = NULL;
    return rc;
}

int store_views(struct store *s, char ***names, struct err *err)
{
    return list_names(s, "view", is_view_name, order_names, names, err);
}

void store_names_free(char **names)
{
    size_t i;

    for (i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}

/* The last of them, owned by the caller; NULL: none. */
static char *last_name(char **names)
{
    size_t n = 0;

    while (names[n])
        n++;
    return n ? mem_strdup(names[n - 1]) : NULL;
}

static int newest_base(struct store *s, char **id, struct err *err)
{
    char **ids;
    int rc = store_bases(s, &ids, err);

    *id = rc == 0 ? last_name(ids) : NULL;
    store_names_free(rc == 0 ? ids : NULL);
    return rc;
}

static bool is_there(struct store *s, const char *kind, const char *name)
{
    char *path = mem_printf("%s/%s", kind, name);
    struct stat st;
    bool there = s->disk->ops->stat(s->disk, path, &st) == 0 && S_ISDIR(st.st_mode);

    free(path);
    return there;
}

/* ---- opening a base ---- */

static int load_base(const struct store *s, const char *id, struct store_description *d,
                     struct err *err)
{
    char *path = mem_printf("base/%s/base.json", id);
    int rc = load(s, BASE_JSON, path, d, err);

    free(path);
    return rc;
}

/* Ids count up: a parent that is not older is part of a circle. */
static int check_parent(struct store *s, const char *id, const char *parent, struct err *err)
{
    if (compare_ids(parent, id) >= 0)
        return err_set(err, ELOOP,
                       "%s/base/%s/base.json: key \"parent\" is %s, but a layer lies on an older "
                       "base",
                       s->path, id, parent);
    if (!is_there(s, "base", parent))
        return err_set(err, ENOENT, "base %s of %s is a layer on base %s, which is missing", id,
                       s->path, parent);
    return 0;
}

static void reverse(char **names, unsigned n)
{
    unsigned i;

    for (i = 0; i < n / 2; i++) {
        char *other = names[n - 1 - i];

        names[n - 1 - i] = names[i];
        names[i] = other;
    }
}

/* The directory of a base that was made here, wherever the store is by now; NULL: it is none. */
static char *own_directory(const struct store *s, const char *id)
{
    char *base = mem_printf("base/%s", id);
    char *own = has_file(s, base, "data") ? mem_printf("%s/%s/data", s->path, base) : NULL;

    free(base);
    return own;
}

/* From the base that is asked for down to a directory: b->layer_ids, *root and b->directory. */
static int resolve(struct store *s, struct store_base *b, char **root, struct err *err)
{
    struct store_description d = {0};
    int rc;

    *root = mem_strdup(b->id);
    while ((rc = load_base(s, *root, &d, err)) == 0 && d.parent) {
        rc = check_parent(s, *root, d.parent, err);
        if (rc == 0 && b->n_layers == DATADIR_LAYERS - 1)
            rc = err_set(err, ENOTSUP, "base %s of %s has more than %d layers", b->id, s->path,
                         DATADIR_LAYERS - 1);
        if (rc < 0)
            break;
        b->layer_ids[b->n_layers++] = *root;
        *root = mem_strdup(d.parent);
        store_description_free(&d);
    }
    reverse(b->layer_ids, b->n_layers);
    b->directory_id = mem_strdup(*root);
    b->directory = own_directory(s, *root);
    if (!b->directory)
        b->directory = mem_strdup(d.path);
    store_description_free(&d);
    return rc;
}

static int open_directory(struct store *s, struct store_base *b, const char *root, struct err *err)
{
    char *files = mem_printf("base/%s/" MANIFEST, root);
    int rc = disk_posix(b->directory, &b->disk);

    if (rc == 0)
        rc = b->disk->ops->stat(b->disk, "", &b->root);
    if (rc < 0)
        rc = err_set(err, -rc, "base %s of %s: cannot open its directory %s: %s", root, s->path,
                     b->directory, strerror(-rc));
    else if (manifest_open(s->disk, files, &b->manifest, err) < 0)
        rc = err_prefix(err, "base %s of %s", root, s->path);
    free(files);
    return rc;
}

static int open_layers(struct store *s, struct store_base *b, struct err *err)
{
    unsigned i;
    char *path;
    int rc = 0;

    for (i = 0; i < b->n_layers && rc == 0; i++) {
        path = mem_printf("base/%s", b->layer_ids[i]);
        rc = open_disk(s, path, &b->layers[i], err);
        free(path);
    }
    return rc;
}

static int require_base(struct store *s, const char *id, struct err *err)
{
    if (!is_id(id) || !is_there(s, "base", id) || is_making(s, id))
        return err_set(err, ENOENT, "%s has no base \"%s\"", s->path, id);
    return 0;
}

int store_open_base(struct store *s, const char *id, struct store_base *b, struct err *err)
{
    char *root = NULL;
    int rc = 0;

    memset(b, 0, sizeof(*b));
    rc = require_base(s, id, err);
    if (rc < 0)
        return rc;
    b->id = mem_strdup(id);
    rc = resolve(s, b, &root, err);
    if (rc == 0)
        rc = open_directory(s, b, root, err);
    if (rc == 0)
        rc = open_layers(s, b, err);
    if (rc < 0)
        store_close_base(b);
    free(root);
    return rc;
}

void store_close_base(struct store_base *b)
{
    unsigned i;

    for (i = 0; i < b->n_layers; i++) {
        free(b->layer_ids[i]);
        free_disk(b->layers[i]);
    }
    if (b->manifest)
        manifest_close(b->manifest);
    free_disk(b->disk);
    free(b->directory_id);
    free(b->directory);
    free(b->id);
    memset(b, 0, sizeof(*b));
}

/* ---- adding a base ---- */

static bool is_within(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    if (strcmp(dir, "/") == 0)
        return true;
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || !path[n]);
}

static int check_apart(const struct store *s, const char *directory, struct err *err)
{
    if (is_within(directory, s->path))
        return err_set(err, EINVAL, "%s lies in the store %s: a base stands outside of it",
                       directory, s->path);
    if (is_within(s->path, directory))
        return err_set(err, EINVAL,
                       "the store %s lies in %s: a base must not change, so its store stands "
                       "outside of it",
                       s->path, directory);
    return 0;
}

/* Tablespaces, which lie elsewhere, are part of the base too. own: where those of a base lie that
 * is made in the store, or NULL. */
static int check_outside(const struct store *s, const struct manifest *m, const char *own,
                         struct err *err)
{
    uint32_t i, n = manifest_entries(m);
    char *path, *real;
    int rc = 0;

    for (i = 0; i < n && rc == 0; i++) {
        if (!(manifest_entry(m, i)->flags & MANIFEST_OUTSIDE))
            continue;
        path = manifest_path(m, i);
        real = path ? realpath(path, NULL) : NULL;
        if (!real)
            rc = err_errno(err, "cannot open a tablespace");
        else if (!own || !is_within(real, own))
            rc = check_apart(s, real, err);
        free(real);
        free(path);
    }
    return rc;
}

/* NULL is left out of what it is put into. */
static json_t *maybe_number(int64_t value)
{
    return value ? json_integer(value) : NULL;
}

/* By a clock that is that wrong, it is not known. */
static json_t *maybe_time(int64_t value, int64_t a_second)
{
    return is_time(value, a_second) ? maybe_number(value) : NULL;
}

/* A directory, or (parent) a layer. */
static json_t *describe_base(const char *path, const char *parent, const struct store_base_facts *f)
{
    static const struct store_base_facts none = {.plain = true};
    char start[LSN_TEXT_MAX], consistent[LSN_TEXT_MAX];

    if (!f || f->plain)
        f = &none;
    return json_pack("{s:i,s:s,s:s*,s:s*,s:s*,s:s*,s:o*,s:o*,s:o*}", "format", STORE_FORMAT, "kind",
                     parent ? "layer" : "directory", "path", path, "parent", parent, "start_lsn",
                     f->plain ? NULL : lsn_text(f->start_lsn, start), "consistent_lsn",
                     f->consistent_lsn ? lsn_text(f->consistent_lsn, consistent) : NULL,
                     "start_time", maybe_time(f->start_time, 1), "consistent_time",
                     maybe_time(f->consistent_time, 1), "timeline", maybe_number(f->timeline));
}

static int write_manifest(struct store *s, struct disk *d, const char *directory, const char *own,
                          struct err *err)
{
    struct manifest *m = NULL;
    int rc = manifest_write(directory, d, MANIFEST, err);

    if (rc == 0)
        rc = manifest_open(d, MANIFEST, &m, err);
    if (rc == 0)
        rc = check_outside(s, m, own, err);
    if (m)
        manifest_close(m);
    return rc;
}

/* Everything but its name. `new` is relative to the store. */
static int fill_base(struct store *s, const char *new, const char *directory,
                     const struct store_base_facts *f, struct err *err)
{
    char *shown = mem_printf("%s/%s", s->path, new);
    struct disk *d = NULL;
    int rc = make_dir(s, new, err);

    if (rc == 0)
        rc = open_disk(s, new, &d, err);
    if (rc == 0) /* before the walk, which takes long: the name may be unfit for JSON */
        rc = save(d, "base.json", shown, describe_base(directory, NULL, f), err);
    if (rc == 0)
        rc = write_manifest(s, d, directory, NULL, err);
    free_disk(d);
    free(shown);
    return rc;
}

static int next_id(struct store *s, char **id, struct err *err)
{
    char **ids, *newest, *next;
    int rc = all_bases(s, &ids, err);

    if (rc < 0)
        return rc;
    newest = last_name(ids);
    store_names_free(ids);
    next = mem_printf("%ld", newest ? strtol(newest, NULL, 10) + 1 : 1);
    free(newest);
    if (is_id(next)) {
        *id = next;
        return 0;
    }
    free(next);
    return err_set(err, ENOSPC, "%s has no more ids for bases", s->path);
}

static int add_directory(struct store *s, const char *directory, const struct store_base_facts *f,
                         char **id, struct err *err)
{
    char *new = NULL, *path = NULL;
    int lock, rc = begin_change(s, &lock, err);

    if (rc < 0)
        return rc;
    rc = next_id(s, id, err);
    if (rc < 0)
        goto out;
    path = mem_printf("base/%s", *id);
    new = mem_printf("%s.new", path);
    rc = fill_base(s, new, directory, f, err);
    if (rc == 0)
        rc = put_in_place(s, "base", new, path, err);
    if (rc < 0)
        discard(s, new);
out:
    close(lock);
    free(new);
    free(path);
    return rc;
}

int store_add_base(struct store *s, const char *directory, const struct store_base_facts *f,
                   char **id, struct err *err)
{
    char *real = realpath(directory, NULL);
    struct stat st;
    int rc;

    *id = NULL;
    if (!real || stat(real, &st) < 0)
        rc = err_errno(err, "cannot open %s", directory);
    else if (!S_ISDIR(st.st_mode))
        rc = err_set(err, ENOTDIR, "%s is no directory", directory);
    else
        rc = check_apart(s, real, err);
    if (rc == 0)
        rc = add_directory(s, real, f, id, err);
    if (rc < 0) {
        free(*id);
        *id = NULL;
    }
    free(real);
    return rc;
}

/* ---- a base that was moved ---- */

#define NEW_MANIFEST "files.now"

/* Where the tablespace of that name lies beside its base; NULL: the link leads elsewhere. */
static char *own_space(const struct store *s, const char *id, const char *name, const char *target)
{
    char *tail = mem_printf("/base/%s/tablespaces/%s", id, name);
    char *own = mem_printf("%s%s", s->path, tail);
    size_t len = strlen(target), n = strlen(tail);

    if (len < n || strcmp(target + len - n, tail) != 0 || strcmp(target, own) == 0 ||
        access(own, X_OK) < 0) {
        free(own);
        own = NULL;
    }
    free(tail);
    return own;
}

struct relinking {
    const struct store *s;
    const char *id;
    int dir;
};

static int relink_one(void *arg, const char *name)
{
    struct relinking *r = arg;
    char target[PATH_MAX], *own;
    ssize_t n = readlinkat(r->dir, name, target, sizeof(target) - 1);
    int rc = 0;

    if (n < 0)
        return 0; /* no link */
    target[n] = '\0';
    own = own_space(r->s, r->id, name, target);
    if (own && (unlinkat(r->dir, name, 0) < 0 || symlinkat(own, r->dir, name) < 0))
        rc = -errno;
    free(own);
    return rc;
}

static int relink_spaces(const struct store *s, const struct store_base *b, struct err *err)
{
    char *path = mem_printf("%s/pg_tblspc", b->directory), *own = own_directory(s, b->id);
    struct relinking r = {s, b->id, own ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1};
    int rc = r.dir < 0 ? 0 : b->disk->ops->list(b->disk, "pg_tblspc", relink_one, &r);

    if (rc < 0)
        err_set(err, -rc, "cannot change the links in %s: %s", path, strerror(-rc));
    if (r.dir >= 0)
        close(r.dir);
    free(own);
    free(path);
    return rc;
}

/* What is there, compared with what was, and proved. */
static int look_anew(struct store *s, const struct store_base *b, struct disk *d,
                     int (*prove)(void *arg, const struct store_rebased *r, struct err *err),
                     void *arg, struct err *err)
{
    struct store_rebased r = {.was = b->manifest, .disk = b->disk};
    char *own = mem_printf("%s/base/%s", s->path, b->id);
    struct manifest *now = NULL;
    int rc = manifest_write(b->directory, d, NEW_MANIFEST, err);

    if (rc == 0)
        rc = manifest_open(d, NEW_MANIFEST, &now, err);
    if (rc == 0)
        rc = check_outside(s, now, own, err);
    if (rc == 0)
        rc = rebase_compare(b->manifest, now, err);
    r.now = now;
    if (rc == 0)
        rc = prove(arg, &r, err);
    if (now)
        manifest_close(now);
    free(own);
    return rc;
}

static int take_anew(struct store *s, const struct store_base *b, struct disk *d, struct err *err)
{
    char *shown = mem_printf("%s/base/%s", s->path, b->id);
    struct store_base_facts f;
    int rc = store_base_facts(s, b->id, &f, err);

    if (rc == 0)
        rc = save(d, "base.json", shown, describe_base(b->directory, NULL, &f), err);
    if (rc == 0)
        rc = rebase_manifest(d, NEW_MANIFEST, MANIFEST, manifest_id(b->manifest), err);
    free(shown);
    return rc;
}

int store_rebase_base(struct store *s, const char *id,
                      int (*prove)(void *arg, const struct store_rebased *r, struct err *err),
                      void *arg, struct err *err)
{
    struct store_base b;
    struct disk *d = NULL;
    char *path = mem_printf("base/%s", id);
    int lock = -1, rc = store_open_base(s, id, &b, err);

    if (rc < 0 || b.n_layers || manifest_check(b.manifest, b.disk, NULL) == 0)
        goto out;
    rc = begin_change(s, &lock, err);
    if (rc == 0)
        rc = open_disk(s, path, &d, err);
    if (rc == 0)
        rc = relink_spaces(s, &b, err);
    if (rc == 0)
        rc = look_anew(s, &b, d, prove, arg, err);
    if (rc == 0)
        rc = take_anew(s, &b, d, err);
    if (d)
        d->ops->remove(d, NEW_MANIFEST);
    rc = rc < 0 ? rc : 1;
out:
    if (lock >= 0)
        close(lock);
    free_disk(d);
    store_close_base(&b);
    free(path);
    return rc;
}

/* ---- a base that is made in the store ---- */

static void free_making(struct store_making *m)
{
    if (m->lock >= 0)
        close(m->lock);
    free(m->path);
    free(m->id);
    free(m);
}

/* The directory and its lock; the store's lock is held. */
static int begin_making(struct store_making *m, struct err *err)
{
    char *dir = mem_printf("base/%s", m->id), *lock = mem_printf("%s/" MAKING, m->path);
    int rc = make_dir(m->store, dir, err);

    if (rc == 0) {
        rc = lock_file(lock, LOCK_EX | LOCK_NB, &m->lock);
        if (rc < 0) {
            rc = err_set(err, -rc, "cannot lock %s: %s", lock, strerror(-rc));
            discard(m->store, dir);
        }
    }
    free(lock);
    free(dir);
    return rc;
}

int store_begin_base(struct store *s, struct store_making **making, struct err *err)
{
    struct store_making *m;
    int change, rc = begin_change(s, &change, err);

    *making = NULL;
    if (rc < 0)
        return rc;
    m = mem_alloc(sizeof(*m));
    m->store = s;
    m->lock = -1;
    rc = next_id(s, &m->id, err);
    if (rc == 0) {
        m->path = mem_printf("%s/base/%s", s->path, m->id);
        rc = begin_making(m, err);
    }
    close(change);
    if (rc < 0)
        free_making(m);
    else
        *making = m;
    return rc;
}

const char *store_making_path(const struct store_making *m)
{
    return m->path;
}

static int finish_making(struct store_making *m, const struct store_base_facts *f, struct err *err)
{
    char *dir = mem_printf("base/%s", m->id), *data = mem_printf("%s/data", m->path);
    struct disk *d = NULL;
    int rc = open_disk(m->store, dir, &d, err);

    if (rc == 0)
        rc = write_manifest(m->store, d, data, m->path, err);
    if (rc == 0)
        rc = m->store->disk->ops->sync_dir(m->store->disk, "base") < 0
                 ? err_set(err, EIO, "cannot sync %s/base", m->store->path)
                 : 0;
    if (rc == 0) /* from now on it is a base */
        rc = save(d, "base.json", m->path, describe_base(data, NULL, f), err);
    if (rc == 0)
        d->ops->remove(d, MAKING); /* beside base.json it means nothing */
    free_disk(d);
    free(data);
    free(dir);
    return rc;
}

int store_finish_base(struct store_making *m, const struct store_base_facts *f, char **id,
                      struct err *err)
{
    int rc = finish_making(m, f, err);

    *id = NULL;
    if (rc < 0) {
        store_abandon_base(m);
        return rc;
    }
    *id = mem_strdup(m->id);
    free_making(m);
    return 0;
}

void store_abandon_base(struct store_making *m)
{
    if (!m)
        return;
    remove_base_tree(m->store, m->id);
    free_making(m);
}

/* ---- facts of a base ---- */

static uint64_t lsn_or_zero(const char *text)
{
    uint64_t lsn = 0;

    return text && lsn_parse(text, &lsn) == 0 ? lsn : 0;
}

int store_base_facts(struct store *s, const char *id, struct store_base_facts *f, struct err *err)
{
    struct store_description d = {0};
    int rc = require_base(s, id, err);

    memset(f, 0, sizeof(*f));
    if (rc == 0)
        rc = load_base(s, id, &d, err);
    if (rc == 0)
        *f = (struct store_base_facts){.start_lsn = lsn_or_zero(d.start_lsn),
                                       .consistent_lsn = lsn_or_zero(d.consistent_lsn),
                                       .start_time = d.start_time,
                                       .consistent_time = d.consistent_time,
                                       .timeline = (uint32_t)d.timeline,
                                       .plain = !d.start_lsn};
    store_description_free(&d);
    return rc;
}

/* ---- views ---- */

static int load_view(struct store *s, const char *name, struct store_description *d,
                     struct err *err)
{
    char *path = mem_printf("view/%s/view.json", name);
    int rc = load(s, VIEW_JSON, path, d, err);

    free(path);
    return rc;
}

bool store_has_view(struct store *s, const char *name)
{
    return is_view_name(name) && is_there(s, "view", name);
}

static int require_view(struct store *s, const char *name, struct err *err)
{
    int rc = check_view_name(name, err);

    if (rc == 0 && !is_there(s, "view", name))
        rc = err_set(err, ENOENT, "%s has no view %s", s->path, name);
    return rc;
}

int store_read_view(struct store *s, const char *name, char **base, struct err *err)
{
    struct store_description d = {0};
    int rc = require_view(s, name, err);

    if (rc == 0)
        rc = load_view(s, name, &d, err);
    *base = mem_strdup(d.base);
    store_description_free(&d);
    return rc;
}

int store_view_disk(struct store *s, const char *name, struct disk **d, struct err *err)
{
    char *path = mem_printf("view/%s", name);
    int rc;

    *d = NULL;
    rc = require_view(s, name, err);
    if (rc == 0)
        rc = open_disk(s, path, d, err);
    free(path);
    return rc;
}

/* ---- what lies below a view ---- */

/* A view is a layer only when nothing changes in it any more. One on another is not: it is there to
 * be read once. */
static int check_layer_view(const struct store *s, const char *name,
                            const struct store_description *d, struct err *err)
{
    if (strcmp(d->state, "complete") != 0)
        return err_set(err, EINVAL, "view %s of %s is not complete: no view can stand on it", name,
                       s->path);
    if (d->parent)
        return err_set(err, EINVAL, "view %s of %s stands on another view: no view can stand on it",
                       name, s->path);
    return 0;
}

/* The layer of a view on top of its base. */
static int add_view_layer(struct store *s, struct store_base *b, const char *name, struct err *err)
{
    int rc;

    if (b->n_layers >= DATADIR_LAYERS - 1)
        return err_set(err, ENOTSUP, "base %s of %s has too many layers for a view on view %s",
                       b->id, s->path, name);
    rc = store_view_disk(s, name, &b->layers[b->n_layers], err);
    if (rc == 0)
        b->layer_ids[b->n_layers++] = mem_printf(OVER_VIEW "%s", name);
    return rc;
}

static int open_view_as_base(struct store *s, const char *name, struct store_base *b,
                             struct err *err)
{
    struct store_description d = {0};
    int rc = require_view(s, name, err);

    memset(b, 0, sizeof(*b));
    if (rc == 0)
        rc = load_view(s, name, &d, err);
    if (rc == 0)
        rc = check_layer_view(s, name, &d, err);
    if (rc == 0)
        rc = store_open_base(s, d.base, b, err);
    if (rc == 0)
        rc = add_view_layer(s, b, name, err);
    if (rc < 0)
        store_close_base(b);
    store_description_free(&d);
    return rc;
}

/* d: the view's own description. */
static int open_below(struct store *s, const char *name, const struct store_description *d,
                      struct store_base *b, struct err *err)
{
    int rc;

    if (!d->parent)
        return store_open_base(s, d->base, b, err);
    rc = open_view_as_base(s, view_of_parent(d->parent), b, err);
    if (rc == 0 && strcmp(b->id, d->base) != 0) {
        rc = err_set(err, EINVAL,
                     "%s/view/%s/view.json: key \"base\" is \"%s\", but %s stands on base %s",
                     s->path, name, d->base, d->parent, b->id);
        store_close_base(b);
    }
    return rc;
}

int store_open_below_view(struct store *s, const char *name, struct store_base *b, struct err *err)
{
    struct store_description d = {0};
    int rc = require_view(s, name, err);

    memset(b, 0, sizeof(*b));
    if (rc == 0)
        rc = load_view(s, name, &d, err);
    if (rc == 0)
        rc = open_below(s, name, &d, b, err);
    store_description_free(&d);
    return rc;
}

/* ---- facts of a view ---- */

static json_t *describe_view(const char *base, const char *parent, const struct store_view_facts *f)
{
    char lsn[LSN_TEXT_MAX];
    const char *state = f->complete ? "complete" : f->target ? "replaying" : "open";

    return json_pack("{s:i,s:s,s:s*,s:s,s:s*,s:s*,s:o*,s:o*}", "format", STORE_FORMAT, "base", base,
                     "parent", parent, "state", state, "target", f->target, "lsn",
                     f->lsn ? lsn_text(f->lsn, lsn) : NULL, "time_us", maybe_time(f->time_us, USEC),
                     "timeline", maybe_number(f->timeline));
}

int store_set_view_facts(struct store *s, const char *name, const struct store_view_facts *f,
                         struct err *err)
{
    struct store_description d = {0};
    char *shown = mem_printf("%s/view/%s", s->path, name);
    struct disk *disk = NULL;
    int rc = store_view_disk(s, name, &disk, err);

    if (rc == 0)
        rc = load_view(s, name, &d, err);
    if (rc == 0)
        rc = save(disk, "view.json", shown, describe_view(d.base, d.parent, f), err);
    free_disk(disk);
    store_description_free(&d);
    free(shown);
    return rc;
}

int store_view_facts(struct store *s, const char *name, struct store_view_facts *f, struct err *err)
{
    struct store_description d = {0};
    int rc = require_view(s, name, err);

    memset(f, 0, sizeof(*f));
    if (rc == 0)
        rc = load_view(s, name, &d, err);
    if (rc == 0)
        *f = (struct store_view_facts){.complete = strcmp(d.state, "complete") == 0,
                                       .target = mem_strdup(d.target),
                                       .lsn = lsn_or_zero(d.lsn),
                                       .time_us = d.time_us,
                                       .timeline = (uint32_t)d.timeline};
    store_description_free(&d);
    return rc;
}

void store_view_facts_free(struct store_view_facts *f)
{
    free(f->target);
    memset(f, 0, sizeof(*f));
}

/* ---- making and dropping views ---- */

/* Everything but its name. `new` is relative to the store. */
static int fill_view(struct store *s, const char *new, const struct store_base *b,
                     const char *const *hidden, struct err *err)
{
    static const struct store_view_facts open = {0};
    const char *top = b->n_layers ? b->layer_ids[b->n_layers - 1] : NULL;
    char *shown = mem_printf("%s/%s", s->path, new);
    struct disk_file *lock;
    struct disk *d = NULL;
    int rc = make_dir(s, new, err);

    if (rc == 0)
        rc = open_disk(s, new, &d, err);
    if (rc == 0)
        rc = datadir_create_layer(d, b->manifest, hidden, err);
    if (rc == 0)
        rc = save(d, "view.json", shown,
                  describe_view(b->id, view_of_parent(top) ? top : NULL, &open), err);
    if (rc == 0) {
        rc = d->ops->open(d, LOCK, DISK_WRITE | DISK_CREATE, &lock);
        if (rc < 0)
            rc = err_set(err, -rc, "cannot make %s/" LOCK ": %s", shown, strerror(-rc));
        else
            lock->ops->close(lock);
    }
    free_disk(d);
    free(shown);
    return rc;
}

static int make_view(struct store *s, const char *name, const struct store_base *b,
                     const char *const *hidden, struct err *err)
{
    char *path = mem_printf("view/%s", name), *new = mem_printf("view/.%s.new", name);
    int rc = fill_view(s, new, b, hidden, err);

    if (rc == 0)
        rc = put_in_place(s, "view", new, path, err);
    if (rc < 0)
        discard(s, new);
    free(new);
    free(path);
    return rc;
}

static int open_wanted_base(struct store *s, const char *id, struct store_base *b, struct err *err)
{
    char *newest = NULL;
    int rc = id ? 0 : newest_base(s, &newest, err);

    if (rc == 0 && !id && !newest)
        rc = err_set(err, ENOENT, "%s has no base yet", s->path);
    if (rc == 0)
        rc = view_of_parent(id) ? open_view_as_base(s, view_of_parent(id), b, err)
                                : store_open_base(s, id ? id : newest, b, err);
    free(newest);
    return rc;
}

int store_create_view(struct store *s, const char *name, const char *base,
                      const char *const *hidden, struct err *err)
{
    struct store_base b = {0};
    int lock, rc = check_view_name(name, err);

    if (rc < 0)
        return rc;
    rc = begin_change(s, &lock, err);
    if (rc < 0)
        return rc;
    if (is_there(s, "view", name))
        rc = err_set(err, EEXIST, "%s has a view %s already", s->path, name);
    if (rc == 0)
        rc = open_wanted_base(s, base, &b, err);
    if (rc == 0)
        rc = make_view(s, name, &b, hidden, err);
    store_close_base(&b);
    close(lock);
    return rc;
}

/* From the rename on it is dropped; what is then left of it is cleared, now or later. */
static int drop(struct store *s, const char *name, struct err *err)
{
    char *path = mem_printf("view/%s", name), *old = mem_printf("view/.%s.old", name);
    char *full = mem_printf("%s/%s", s->path, old);
    int rc = put_in_place(s, "view", path, old, err);

    if (rc == 0) {
        rc = io_remove_tree(full);
        if (rc < 0)
            rc = err_set(err, -rc, "view %s is dropped, but cannot remove %s: %s", name, full,
                         strerror(-rc));
    }
    free(full);
    free(old);
    free(path);
    return rc;
}

/* A view whose description is damaged stands on nothing: two such ones could hold each other. */
static int check_no_view_on(struct store *s, const char *name, struct err *err)
{
    char **views, **v;
    struct store_description d = {0};
    int rc = store_views(s, &views, err);

    if (rc < 0)
        return rc;
    for (v = views; *v && rc == 0; v++) {
        if (load_view(s, *v, &d, NULL) == 0 && d.parent &&
            strcmp(view_of_parent(d.parent), name) == 0)
            rc = err_set(err, EBUSY, "view %s of %s is needed: view %s stands on it", name, s->path,
                         *v);
        store_description_free(&d);
    }
    store_names_free(views);
    return rc;
}

int store_drop_view(struct store *s, const char *name, struct err *err)
{
    int change, lock, rc = require_view(s, name, err);

    if (rc < 0)
        return rc;
    rc = begin_change(s, &change, err);
    if (rc < 0)
        return rc;
    rc = check_no_view_on(s, name, err);
    if (rc == 0)
        rc = store_lock_view(s, name, true, &lock, err);
    if (rc == 0) {
        rc = drop(s, name, err);
        close(lock);
    }
    close(change);
    return rc;
}

/* ---- a view that becomes a layer ---- */

/* It lies below base/ under a name that nobody takes for a base; what only a view has goes. */
static int fill_layer(struct store *s, const char *new, const char *parent,
                      const struct store_base_facts *f, struct err *err)
{
    char *shown = mem_printf("%s/%s", s->path, new);
    struct disk *d = NULL;
    int rc = open_disk(s, new, &d, err);

    if (rc == 0)
        rc = save(d, "base.json", shown, describe_base(NULL, parent, f), err);
    if (rc == 0) {
        rc = d->ops->remove(d, "view.json");
        if (rc == 0)
            rc = d->ops->remove(d, LOCK);
        if (rc < 0)
            rc = err_set(err, -rc, "cannot remove files of %s: %s", shown, strerror(-rc));
    }
    free_disk(d);
    free(shown);
    return rc;
}

static int move_view(struct store *s, const char *view, const char *parent,
                     const struct store_base_facts *f, char **id, struct err *err)
{
    char *from = mem_printf("view/%s", view), *to = NULL, *new = NULL;
    int rc = next_id(s, id, err);

    if (rc < 0)
        goto out;
    to = mem_printf("base/%s", *id);
    new = mem_printf("%s.new", to);
    rc = put_in_place(s, "view", from, new, err);
    if (rc < 0)
        goto out;
    rc = fill_layer(s, new, parent, f, err);
    if (rc == 0)
        rc = put_in_place(s, "base", new, to, err);
    if (rc < 0)
        discard(s, new);
out:
    free(new);
    free(to);
    free(from);
    return rc;
}

/* d->base: what it stands on. */
static int check_becomes_layer(struct store *s, const char *view, struct store_description *d,
                               struct err *err)
{
    int rc = load_view(s, view, d, err);

    if (rc == 0 && d->parent)
        rc = err_set(err, EINVAL, "view %s of %s stands on another view: it can be no layer", view,
                     s->path);
    if (rc == 0)
        rc = require_base(s, d->base, err);
    return rc;
}

int store_finish_layer(struct store *s, const char *view, const struct store_base_facts *f,
                       char **id, struct err *err)
{
    struct store_description d = {0};
    int change, lock, rc = require_view(s, view, err);

    *id = NULL;
    if (rc < 0)
        return rc;
    rc = begin_change(s, &change, err);
    if (rc < 0)
        return rc;
    rc = check_no_view_on(s, view, err);
    if (rc == 0)
        rc = store_lock_view(s, view, true, &lock, err);
    if (rc == 0) {
        rc = check_becomes_layer(s, view, &d, err);
        if (rc == 0)
            rc = move_view(s, view, d.base, f, id, err);
        close(lock);
    }
    if (rc < 0) {
        free(*id);
        *id = NULL;
    }
    store_description_free(&d);
    close(change);
    return rc;
}

/* ---- dropping bases ---- */

static int check_no_layer_on(struct store *s, const char *id, struct err *err)
{
    struct store_description d = {0};
    char **ids, **p;
    int rc = store_bases(s, &ids, err);

    if (rc < 0)
        return rc;
    for (p = ids; *p && rc == 0; p++) {
        if (strcmp(*p, id) == 0)
            continue;
        rc = load_base(s, *p, &d, err);
        if (rc == 0 && d.parent && strcmp(d.parent, id) == 0)
            rc = err_set(err, EBUSY, "base %s of %s is needed: base %s is a layer on it", id,
                         s->path, *p);
        store_description_free(&d);
    }
    store_names_free(ids);
    return rc;
}

/* What cannot be read may stand on it. */
static int check_no_view_of(struct store *s, const char *id, struct err *err)
{
    char **views, **v, *base;
    int rc = store_views(s, &views, err);

    if (rc < 0)
        return rc;
    for (v = views; *v && rc == 0; v++) {
        rc = store_read_view(s, *v, &base, err);
        if (rc == 0 && strcmp(base, id) == 0)
            rc = err_set(err, EBUSY, "base %s of %s is needed: view %s stands on it", id, s->path,
                         *v);
        free(base);
    }
    store_names_free(views);
    return rc;
}

int store_drop_base(struct store *s, const char *id, struct err *err)
{
    int lock, rc = begin_change(s, &lock, err);

    if (rc < 0)
        return rc;
    rc = require_base(s, id, err);
    if (rc == 0)
        rc = check_no_layer_on(s, id, err);
    if (rc == 0)
        rc = check_no_view_of(s, id, err);
    if (rc == 0) {
        rc = remove_base_tree(s, id);
        if (rc < 0)
            rc = err_set(err, -rc, "cannot remove base %s of %s: %s", id, s->path, strerror(-rc));
    }
    close(lock);
    return rc;
}

/* ---- opening a view ---- */

static void free_view(struct store_view *v)
{
    free_disk(v->layer);
    store_close_base(&v->base);
    if (v->parent_lock >= 0)
        close(v->parent_lock);
    if (v->lock >= 0)
        close(v->lock); /* last: until here nobody else may look */
    free(v);
}

static int open_parts(struct store *s, const char *name, unsigned flags, struct store_view *v,
                      struct err *err)
{
    struct store_description d = {0};
    int rc = load_view(s, name, &d, err);

    if (rc == 0 && !(flags & STORE_READ_ONLY) && strcmp(d.state, "complete") == 0)
        rc = err_set(err, EROFS,
                     "view %s of %s is complete: it can be read, or a view be put over it", name,
                     s->path);
    if (rc == 0 && d.parent)
        rc = store_lock_view(s, view_of_parent(d.parent), false, &v->parent_lock, err);
    if (rc == 0)
        rc = open_below(s, name, &d, &v->base, err);
    if (rc == 0)
        rc = store_view_disk(s, name, &v->layer, err);
    store_description_free(&d);
    return rc;
}

static void put_options(struct datadir_options *o, const struct store_view *v, unsigned flags)
{
    unsigned n = v->base.n_layers;

    o->base = v->base.disk;
    o->manifest = v->base.manifest;
    memcpy(o->layers, v->base.layers, n * sizeof(*o->layers));
    o->layers[n] = v->layer;
    o->n_layers = n + 1;
    o->read_only = flags & STORE_READ_ONLY;
    o->check_base = !(flags & STORE_NO_BASE_CHECK);
    o->durable = flags & STORE_DURABLE;
}

int store_open_view(struct store *s, const char *name, unsigned flags,
                    void (*complain)(void *arg, const char *text), void *arg, struct store_view **v,
                    struct datadir_recovery *recovery, struct err *err)
{
    struct store_view *new = mem_alloc(sizeof(*new));
    struct datadir_options o = {.complain = complain, .arg = arg};
    int rc;

    *v = NULL;
    new->lock = new->parent_lock = -1;
    rc = require_view(s, name, err);
    if (rc == 0)
        rc = store_lock_view(s, name, !(flags & STORE_READ_ONLY), &new->lock, err);
    if (rc == 0)
        rc = open_parts(s, name, flags, new, err);
    if (rc == 0) {
        put_options(&o, new, flags);
        if (datadir_open(&o, &new->datadir, recovery, err) < 0)
            rc = err_prefix(err, "view %s of %s", name, s->path);
    }
    if (rc < 0)
        free_view(new);
    else
        *v = new;
    return rc;
}

struct datadir *store_view_datadir(struct store_view *v)
{
    return v->datadir;
}

const struct stat *store_view_root(struct store_view *v)
{
    return &v->base.root;
}

const struct store_base *store_view_base(struct store_view *v)
{
    return &v->base;
}

int store_close_view(struct store_view *v, struct err *err)
{
    int rc = datadir_close(v->datadir, err);

    free_view(v);
    return rc;
}
