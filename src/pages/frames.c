#include "pages/frames.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pages/page.h"

_Static_assert(sizeof(struct frames_header) == FRAMES_START, "frames_header has no gaps");

static uint32_t header_sum(const struct frames_header *h)
{
    struct frames_header copy = *h;

    copy.crc = 0; /* the field stands between what it covers */
    return crc32c(&copy, sizeof(copy));
}

struct frames_header frames_header(const struct frames_kind *k, uint64_t id)
{
    struct frames_header h = {.version = k->version, .id = id};

    memcpy(h.magic, k->magic, sizeof(h.magic));
    h.crc = header_sum(&h);
    return h;
}

int frames_check(const struct frames_kind *k, const void *bytes, size_t len, uint64_t *id,
                 struct err *err)
{
    struct frames_header h;

    if (len < sizeof(h))
        return err_set(err, EIO, "%s: only %zu bytes long, which is no journal", k->what, len);
    memcpy(&h, bytes, sizeof(h));
    if (memcmp(h.magic, k->magic, sizeof(h.magic)) != 0)
        return err_set(err, EIO, "%s: the file is something else", k->what);
    if (h.version != k->version)
        return err_set(err, EIO, "%s: format version %" PRIu32 ", known is %" PRIu32, k->what,
                       h.version, k->version);
    if (h.crc != header_sum(&h))
        return err_set(err, EIO, "%s: its header is damaged (checksum)", k->what);
    *id = h.id;
    return 0;
}

void frames_take(struct frames_cursor *c, void *value, size_t len)
{
    if (c->bad || c->left < len) {
        c->bad = true;
        memset(value, 0, len);
        return;
    }
    memcpy(value, c->p, len);
    c->p += len;
    c->left -= len;
}

/* The next frame at `offset`: its payload in *c. 1, 0: none that is whole, or negative. */
static int next_frame(const struct frames_kind *k, const char *bytes, size_t len, size_t offset,
                      struct frames_cursor *c, struct err *err)
{
    uint32_t head[2];

    if (len - offset < FRAMES_HEAD)
        return 0;
    memcpy(head, bytes + offset, sizeof(head));
    if (head[0] == 0 || head[0] > FRAMES_MAX)
        return err_set(err, EIO, "%s, offset %zu: a frame of %" PRIu32 " bytes cannot be", k->what,
                       offset, head[0]);
    if (len - offset - FRAMES_HEAD < head[0])
        return 0;
    *c = (struct frames_cursor){bytes, bytes + offset + FRAMES_HEAD, head[0], false};
    if (crc32c(c->p, head[0]) != head[1])
        return err_set(err, EIO, "%s, offset %zu: the frame is damaged (checksum)", k->what,
                       offset);
    return 1;
}

int frames_walk(const struct frames_kind *k, const void *bytes, size_t len,
                int (*each)(void *arg, struct frames_cursor *c, struct err *err), void *arg,
                uint64_t *good, struct err *err)
{
    size_t offset = FRAMES_START;
    struct frames_cursor c;
    int rc;

    *good = offset;
    while ((rc = next_frame(k, bytes, len, offset, &c, err)) > 0) {
        offset += FRAMES_HEAD + c.left;
        rc = each(arg, &c, err);
        if (rc < 0)
            return rc;
        *good = offset;
    }
    return rc;
}

void frames_head(char head[FRAMES_HEAD], const void *payload, size_t len)
{
    const uint32_t values[2] = {(uint32_t)len, crc32c(payload, len)};

    memcpy(head, values, sizeof(values));
}
