/*
 * A base whose directory was copied, moved or restored: the same names and bytes, other inodes and
 * times. The manifest is written anew, with the id and the numbers of entries that layers and views
 * know it by.
 */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "pages/disk.h"
#include "pages/manifest.h"
#include "pages/page.h"

#define BYTES_MAX SIZE_MAX
#define NEW_MANIFEST "files.now"

/* ---- its manifest ---- */

static const char *entry_difference(const struct manifest *was, const struct manifest *now,
                                    uint32_t i)
{
    const struct manifest_entry *a = manifest_entry(was, i), *b = manifest_entry(now, i);

    if (strcmp(manifest_name(was, i), manifest_name(now, i)) != 0 || a->parent != b->parent)
        return "is missing, or another was added beside it";
    if ((a->mode & S_IFMT) != (b->mode & S_IFMT) || a->flags != b->flags)
        return "is of another type";
    if (a->children != b->children)
        return "has more or fewer files in it";
    if (S_ISREG(a->mode) && a->size != b->size)
        return "has another size";
    if (S_ISREG(a->mode) && a->first != b->first)
        return "has other names (hard links)";
    if (S_ISLNK(a->mode) && strcmp(manifest_target(was, i), manifest_target(now, i)) != 0)
        return "leads elsewhere";
    return NULL;
}

static int refuse_entry(const struct manifest *m, uint32_t i, const char *what, struct err *err)
{
    char *path = manifest_path(m, i);

    err_set(err, ESTALE, "%s %s", path && *path ? path : "the base's directory itself", what);
    free(path);
    return -ESTALE;
}

/* -ESTALE, with the first that differs named: names, types and sizes of files are not the same. */
static int compare(const struct manifest *was, const struct manifest *now, struct err *err)
{
    uint32_t n = manifest_entries(was), m = manifest_entries(now), i;
    const char *what;

    for (i = 0; i < n && i < m; i++)
        if ((what = entry_difference(was, now, i)))
            return refuse_entry(was, i, what, err);
    if (n != m)
        return refuse_entry(was, 0, "has more or fewer files in it", err);
    return 0;
}

/* The manifest at `from` of d becomes that at `to`, with this id. */
static int replace_manifest(struct disk *d, const char *from, const char *to, uint64_t id,
                            struct err *err)
{
    struct manifest_header h;
    char *bytes = NULL;
    size_t len = 0;
    int rc = disk_read_file(d, from, BYTES_MAX, &bytes, &len);

    if (rc == 0 && len < sizeof(h))
        rc = -EIO;
    if (rc == 0) {
        memcpy(&h, bytes, sizeof(h));
        h.id = id;
        h.header_crc = crc32c(&h, offsetof(struct manifest_header, header_crc));
        memcpy(bytes, &h, sizeof(h));
        rc = disk_replace_file(d, to, bytes, len);
    }
    free(bytes);
    return rc < 0 ? err_set(err, -rc, "cannot write the manifest: %s", strerror(-rc)) : 0;
}

/* ---- a base that was moved ---- */

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
    char *path = mem_printf("%s/pg_tblspc", b->directory), *own = store_own_directory(s, b->id);
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
        rc = store_check_outside(s, now, own, err);
    if (rc == 0)
        rc = compare(b->manifest, now, err);
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
        rc = store_save_description(d, "base.json", shown,
                                    store_describe_base(b->directory, NULL, &f), err);
    if (rc == 0)
        rc = replace_manifest(d, NEW_MANIFEST, STORE_MANIFEST, manifest_id(b->manifest), err);
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
    rc = store_begin_change(s, &lock, err);
    if (rc == 0)
        rc = store_open_disk(s, path, &d, err);
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
    store_free_disk(d);
    store_close_base(&b);
    free(path);
    return rc;
}
