#include "pages/names.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct frames_kind kind = {NAMES_MAGIC, NAMES_VERSION, "journal of names"};

struct names {
    struct disk *disk; /* borrowed */
    struct disk_file *file;
    char *path;
    uint64_t size;    /* bytes: header and whole frames */
    bool broken;      /* what stands after `size` could not be cut off */
    bool dir_pending; /* the journal was renamed, its directory not yet synced */
    char *frame;      /* for putting a frame together */
    size_t room;
};

/* ---- records ---- */

size_t names_record_bytes(const struct names_record *r)
{
    switch (r->type) {
    case NAMES_NODE:
        return 1 + 8 + 4 + 8 + 8 + 2 + strlen(r->text);
    case NAMES_ENTRY:
        return 1 + 8 + 8 + 2 + strlen(r->text);
    case NAMES_TOUCHED:
    case NAMES_NEXT:
        break;
    }
    return 1 + 8;
}

static void put_text(struct buf *b, const char *text)
{
    uint16_t len = (uint16_t)strlen(text);

    buf_put(b, &len, sizeof(len));
    buf_put(b, text, len);
}

void names_put(struct buf *payload, const struct names_record *r)
{
    buf_putc(payload, (char)r->type);
    switch (r->type) {
    case NAMES_NODE:
        buf_put_u64(payload, r->id);
        buf_put_u32(payload, r->mode);
        buf_put_u64(payload, r->dir);
        buf_put(payload, &r->mtime_ns, sizeof(r->mtime_ns));
        put_text(payload, r->text);
        break;
    case NAMES_ENTRY:
        buf_put_u64(payload, r->dir);
        buf_put_u64(payload, r->id);
        put_text(payload, r->text);
        break;
    case NAMES_TOUCHED:
    case NAMES_NEXT:
        buf_put_u64(payload, r->id);
        break;
    }
}

/* ---- walking ---- */

/* A text of at most NAMES_TEXT_MAX bytes without NUL into `text`, which has room for one more. */
static void take_text(struct frames_cursor *c, char *text)
{
    uint16_t len;

    frames_take(c, &len, sizeof(len));
    if (len > NAMES_TEXT_MAX)
        c->bad = true;
    if (c->bad)
        len = 0;
    frames_take(c, text, len);
    text[len] = '\0';
    if (strlen(text) != len)
        c->bad = true;
}

static bool is_name(const char *s)
{
    return *s && strcmp(s, ".") && strcmp(s, "..") && !strchr(s, '/') && strlen(s) <= NAME_MAX;
}

/* One record; `text` has room for NAMES_TEXT_MAX + 1. */
static int take_record(struct frames_cursor *c, struct names_record *r, char *text, struct err *err)
{
    size_t offset = (size_t)(c->p - c->start);
    uint8_t type;

    *r = (struct names_record){.text = text};
    *text = '\0';
    frames_take(c, &type, sizeof(type));
    r->type = (enum names_type)type;
    if (type == NAMES_ENTRY)
        frames_take(c, &r->dir, sizeof(r->dir));
    else if (type != NAMES_NODE && type != NAMES_TOUCHED && type != NAMES_NEXT)
        return err_set(err, EIO, "journal of names, offset %zu: unknown record of type %u", offset,
                       type);
    frames_take(c, &r->id, sizeof(r->id));
    if (type == NAMES_NODE) {
        frames_take(c, &r->mode, sizeof(r->mode));
        frames_take(c, &r->dir, sizeof(r->dir));
        frames_take(c, &r->mtime_ns, sizeof(r->mtime_ns));
    }
    if (type == NAMES_NODE || type == NAMES_ENTRY)
        take_text(c, text);
    if (c->bad)
        return err_set(err, EIO, "journal of names, offset %zu: a record does not fit its frame",
                       offset);
    if (type == NAMES_ENTRY && !is_name(text))
        return err_set(err, EIO, "journal of names, offset %zu: not a name of a file", offset);
    return 0;
}

struct walk {
    int (*each)(void *arg, const struct names_record *r, struct err *err);
    void *arg;
};

static int walk_frame(void *arg, struct frames_cursor *c, struct err *err)
{
    const struct walk *w = arg;
    char text[NAMES_TEXT_MAX + 1];
    struct names_record r;
    int rc = 0;

    while (rc >= 0 && c->left) {
        rc = take_record(c, &r, text, err);
        if (rc == 0)
            rc = w->each(w->arg, &r, err);
    }
    return rc < 0 ? rc : 0;
}

int names_walk(const void *bytes, size_t len, uint64_t manifest_id,
               int (*each)(void *arg, const struct names_record *r, struct err *err), void *arg,
               uint64_t *good, struct err *err)
{
    struct walk w = {each, arg};
    uint64_t id;
    int rc = frames_check(&kind, bytes, len, &id, err);

    *good = 0;
    if (rc < 0)
        return rc;
    if (id != manifest_id)
        return err_set(err, EIO,
                       "journal of names: made on another base (%016" PRIx64
                       ", this one is %016" PRIx64 ")",
                       id, manifest_id);
    return frames_walk(&kind, bytes, len, walk_frame, &w, good, err);
}

/* ---- appending ---- */

static int write_header(struct disk_file *f, uint64_t manifest_id)
{
    struct frames_header h = frames_header(&kind, manifest_id);

    return f->ops->write(f, &h, sizeof(h), 0);
}

int names_create(struct disk *d, const char *path, uint64_t manifest_id, struct err *err)
{
    struct disk_file *f;
    int rc;

    rc = d->ops->open(d, path, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &f);
    if (rc < 0)
        return err_set(err, -rc, "cannot create the journal of names \"%s\": %s", path,
                       strerror(-rc));
    rc = write_header(f, manifest_id);
    f->ops->close(f);
    if (rc < 0) {
        d->ops->remove(d, path);
        return err_set(err, -rc, "cannot write the journal of names \"%s\": %s", path,
                       strerror(-rc));
    }
    return 0;
}

/* Cut off what stands after `size`. */
static int cut(struct disk_file *f, uint64_t size)
{
    struct stat st;
    int rc;

    rc = f->ops->file_stat(f, &st);
    if (rc < 0)
        return rc;
    if ((uint64_t)st.st_size < size)
        return -EIO;
    return (uint64_t)st.st_size > size ? f->ops->truncate(f, size) : 0;
}

int names_open(struct disk *d, const char *path, uint64_t size, struct names **n, struct err *err)
{
    struct names *new = calloc(1, sizeof(*new));
    int rc = -ENOMEM;

    *n = NULL;
    if (!new)
        goto out;
    new->disk = d;
    new->size = size;
    new->path = strdup(path);
    if (!new->path)
        goto out;
    rc = d->ops->open(d, path, DISK_WRITE, &new->file);
    if (rc < 0) {
        new->file = NULL;
        goto out;
    }
    rc = cut(new->file, size);
    if (rc == 0)
        *n = new;
out:
    if (rc < 0) {
        names_close(new);
        return err_set(err, -rc, "cannot open the journal of names \"%s\" for writing: %s", path,
                       strerror(-rc));
    }
    return 0;
}

/* The frame of a payload in n->frame; its length, or a negative errno. */
static int64_t make_frame(struct names *n, const struct buf *payload)
{
    size_t len = FRAMES_HEAD + payload->len;

    if (!payload->len || payload->len > FRAMES_MAX)
        return -EINVAL;
    if (len > n->room) {
        char *bigger = realloc(n->frame, len);

        if (!bigger)
            return -ENOMEM;
        n->frame = bigger;
        n->room = len;
    }
    frames_head(n->frame, payload->data, payload->len);
    memcpy(n->frame + FRAMES_HEAD, payload->data, payload->len);
    return (int64_t)len;
}

int names_append(struct names *n, const struct buf *payload)
{
    int64_t len;
    int rc;

    if (n->broken)
        return -EIO;
    len = make_frame(n, payload);
    if (len < 0)
        return (int)len;
    rc = n->file->ops->write(n->file, n->frame, (size_t)len, n->size);
    if (rc < 0) {
        /* A frame after the remains of another would never be read again. */
        if (n->file->ops->truncate(n->file, n->size) < 0)
            n->broken = true;
        return rc;
    }
    n->size += (uint64_t)len;
    return 0;
}

uint64_t names_size(const struct names *n)
{
    return n->size;
}

/* The directory a path is in, as a new string. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int names_sync(struct names *n)
{
    char *dir;
    int rc;

    rc = n->file->ops->sync(n->file);
    if (rc < 0 || !n->dir_pending)
        return rc;
    dir = parent_of(n->path);
    if (!dir)
        return -ENOMEM;
    rc = n->disk->ops->sync_dir(n->disk, dir);
    if (rc == 0)
        n->dir_pending = false;
    free(dir);
    return rc;
}

void names_close(struct names *n)
{
    if (!n)
        return;
    if (n->file)
        n->file->ops->close(n->file);
    free(n->path);
    free(n->frame);
    free(n);
}

/* ---- replacing ---- */

/* A whole journal into an open file; *size: its bytes. */
static int write_journal(struct names *n, struct disk_file *f, const struct buf *payloads,
                         size_t count, uint64_t manifest_id, uint64_t *size)
{
    int64_t len;
    size_t i;
    int rc;

    *size = FRAMES_START;
    rc = f->ops->truncate(f, 0);
    if (rc == 0)
        rc = write_header(f, manifest_id);
    for (i = 0; rc == 0 && i < count; i++) {
        len = make_frame(n, &payloads[i]);
        if (len < 0)
            return (int)len;
        rc = f->ops->write(f, n->frame, (size_t)len, *size);
        *size += (uint64_t)len;
    }
    return rc < 0 ? rc : f->ops->sync(f);
}

int names_replace(struct names *n, const struct buf *payloads, size_t count, uint64_t manifest_id,
                  void (*before)(void *arg, uint64_t size), void *arg)
{
    size_t room = strlen(n->path) + sizeof(".new");
    char *path = malloc(room);
    struct disk_file *f = NULL;
    uint64_t size;
    int rc;

    if (!path)
        return -ENOMEM;
    memcpy(path, n->path, strlen(n->path));
    memcpy(path + strlen(n->path), ".new", sizeof(".new"));
    rc = n->disk->ops->open(n->disk, path, DISK_WRITE | DISK_CREATE, &f);
    if (rc < 0) {
        f = NULL;
        goto out;
    }
    rc = write_journal(n, f, payloads, count, manifest_id, &size);
    if (rc < 0)
        goto out;
    if (before)
        before(arg, size);
    rc = n->disk->ops->rename(n->disk, path, n->path);
    if (rc < 0)
        goto out;
    n->file->ops->close(n->file);
    n->file = f;
    f = NULL;
    n->size = size;
    n->broken = false;
    n->dir_pending = true;
out:
    if (f)
        f->ops->close(f);
    if (rc < 0)
        n->disk->ops->remove(n->disk, path);
    free(path);
    return rc;
}
