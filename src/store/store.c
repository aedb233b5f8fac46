#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/lsn.h"
#include "common/mem.h"
#include "pages/page.h"

#define LOG "log"

/* ---- making a store ---- */

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
    rc = store_save_description(d, STORE_FILE, path, store_describe_empty(), err);
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
    store_free_disk(d);
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
    int rc = store_load_description(s, STORE_JSON, STORE_FILE, &d, err);

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

const char *store_wal_directory(const struct store *s)
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
        return store_save_description(s->disk, STORE_FILE, s->path, store_describe_empty(), err);
    snprintf(id, sizeof(id), "%llu", (unsigned long long)c->system_identifier);
    return store_save_description(s->disk, STORE_FILE, s->path,
                                  json_pack("{s:i,s:i,s:s,s:I,s:I,s:s*,s:s*,s:s*,s:s*,s:s*}",
                                            "format", STORE_FORMAT, "page_bytes", (int)PAGE_BYTES,
                                            "system_identifier", id, "major", (json_int_t)c->major,
                                            "segment_bytes", (json_int_t)c->segment_bytes,
                                            "conninfo", c->conninfo, "slot", c->slot, "slot_mark",
                                            c->slot_mark ? lsn_text(c->slot_mark, mark) : NULL,
                                            "log", c->log, "restore_command", c->restore_command),
                                  err);
}

int store_lock_cluster(struct store *s, int *fd, struct err *err)
{
    char *path = mem_printf("%s/taking", s->path);
    int rc = store_lock_file(path, LOCK_EX | LOCK_NB, fd);

    free(path);
    if (rc == -EWOULDBLOCK)
        return err_set(err, EBUSY, "another process takes, adopts or drops bases of %s", s->path);
    return rc < 0 ? err_set(err, -rc, "cannot lock %s: %s", s->path, strerror(-rc)) : 0;
}

static int check_new_cluster(const struct store *s, const struct store_cluster *c, struct err *err)
{
    if (!c->system_identifier || !store_is_segment_size(c->segment_bytes) || !c->major)
        return err_set(err, EINVAL,
                       "system identifier %llu, version %u and log segments of %u "
                       "bytes are no cluster's",
                       (unsigned long long)c->system_identifier, c->major, c->segment_bytes);
    return store_check_cluster(s, c, err);
}

int store_set_cluster(struct store *s, const struct store_cluster *c, struct err *err)
{
    struct store_cluster copy = {0};
    int lock, rc = store_begin_change(s, &lock, err);

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

/* ---- opening a store ---- */

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
        rc = store_open_disk(new, "", &new->disk, err);
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
    store_free_disk(s->disk);
    free_cluster(&s->cluster);
    free(s->log);
    free(s->path);
    free(s);
}
