/*
 * A note: bytes beside a view (store.h). On the disk, numbers as this machine writes them; a store is of one
 * machine's kind, and a note that is of another is taken for none.
 *
 *   0   8 bytes   NOTE_MAGIC
 *   8   u32       NOTE_VERSION
 *   12  u32       CRC-32C of what follows
 *   16  u64       bytes of the note
 *   24            they
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"
#include "pages/page.h"
#include "store/internal.h"

#define NOTE_MAGIC "asofsnot"
#define NOTE_VERSION 1
#define NOTE_HEADER 24
#define NOTE_CHECKED 16 /* from here on the checksum counts */
#define NOTE_MOST (UINT32_C(1) << 30)

static char *note_path(const char *name)
{
    return mem_printf(STORE_NOTES "/%s", name);
}

/* Two that write the same take turns: who comes second need not. */
static int write_locked(const struct store *s, const char *view, struct disk *d, const char *name,
                        const struct buf *b)
{
    char *lock = mem_printf("%s/view/%s/" STORE_NOTES "/" STORE_LOCK, s->path, view);
    char *path = note_path(name);
    int fd, rc = d->ops->make_dir(d, STORE_NOTES);

    if (rc == -EEXIST)
        rc = 0;
    if (rc == 0)
        rc = store_lock_file(lock, LOCK_EX | LOCK_NB, &fd);
    if (rc == 0) {
        rc = disk_replace_file(d, path, b->data, b->len);
        close(fd);
    }
    free(path);
    free(lock);
    return rc == -EWOULDBLOCK ? 0 : rc;
}

int store_write_note(struct store *s, const char *view, const char *name, const void *bytes,
                     size_t len, struct err *err)
{
    struct buf checked = {0}, b = {0};
    struct disk *d;
    int rc = store_view_disk(s, view, &d, err);

    if (rc < 0)
        return rc;
    buf_put_u64(&checked, len);
    buf_put(&checked, bytes, len);
    buf_puts(&b, NOTE_MAGIC);
    buf_put_u32(&b, NOTE_VERSION);
    buf_put_u32(&b, crc32c(checked.data, checked.len));
    buf_put(&b, checked.data, checked.len);
    rc = len > NOTE_MOST ? -EFBIG : write_locked(s, view, d, name, &b);
    if (rc < 0)
        rc = err_set(err, -rc, "cannot write %s/view/%s/" STORE_NOTES "/%s: %s", s->path, view,
                     name, strerror(-rc));
    buf_free(&checked);
    buf_free(&b);
    store_free_disk(d);
    return rc;
}

/* What is in it; NULL: nothing that makes sense. */
static const char *check_note(const char *bytes, size_t len, size_t *inside)
{
    struct reader r = {bytes, len, false};
    uint64_t n;
    uint32_t version, crc;

    if (len < NOTE_HEADER || memcmp(bytes, NOTE_MAGIC, strlen(NOTE_MAGIC)) != 0)
        return NULL;
    r.p += strlen(NOTE_MAGIC);
    r.left -= strlen(NOTE_MAGIC);
    version = reader_u32(&r);
    crc = reader_u32(&r);
    n = reader_u64(&r);
    if (version != NOTE_VERSION || n != r.left ||
        crc != crc32c(bytes + NOTE_CHECKED, len - NOTE_CHECKED))
        return NULL;
    *inside = (size_t)n;
    return r.p;
}

int store_read_note(struct store *s, const char *view, const char *name, char **bytes, size_t *len,
                    struct err *err)
{
    char *path = note_path(name), *all = NULL;
    const char *inside;
    struct disk *d;
    size_t n = 0;
    int rc = store_view_disk(s, view, &d, err);

    *bytes = NULL;
    if (rc == 0) {
        rc = disk_read_file(d, path, NOTE_MOST, &all, &n);
        inside = rc == 0 ? check_note(all, n, len) : NULL;
        if (rc == 0 && !inside)
            rc = -EINVAL;
        if (rc < 0)
            rc = err_set(err, -rc, "cannot use %s/view/%s/%s: %s", s->path, view, path,
                         rc == -EINVAL ? "it is damaged, or of another version" : strerror(-rc));
        else
            memmove(*bytes = all, inside, *len);
    }
    if (rc < 0)
        free(all);
    store_free_disk(d);
    free(path);
    return rc;
}
