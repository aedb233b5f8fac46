#include "extract/sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/io.h"
#include "common/mem.h"
#include "extract/seam.h"

#define SINK_BUFFER (512u << 10) /* fits the second-level cache: written while still warm */

struct sink {
    struct sink_chunk chunk;
    struct hash *hash;
    char *buffer;
    size_t used;
    struct seam seam;
    uint64_t written; /* flushed bytes of this chunk */
};

struct sink *sink_new(void)
{
    struct sink *s = mem_alloc(sizeof(*s));

    s->buffer = mem_alloc(SINK_BUFFER);
    s->hash = hash_new();
    return s;
}

void sink_free(struct sink *s)
{
    if (!s)
        return;
    hash_free(s->hash);
    free(s->buffer);
    free(s);
}

void sink_begin(struct sink *s, const struct sink_chunk *c)
{
    s->chunk = *c;
    s->used = 0;
    s->written = 0;
    seam_begin(&s->seam, c->binary, c->first, c->last);
    hash_reset(s->hash);
}

static int flush(struct sink *s, struct err *err)
{
    int rc = io_pwrite_all(s->chunk.fd, s->buffer, s->used, s->chunk.offset + s->written);

    if (rc < 0) {
        errno = -rc;
        return err_errno(err, "cannot write %zu bytes", s->used);
    }
    hash_update(s->hash, s->buffer, s->used);
    s->written += s->used;
    s->used = 0;
    return 0;
}

int sink_put(struct sink *s, const char *bytes, size_t len, struct err *err)
{
    int rc;

    seam_cut(&s->seam, &bytes, &len);
    if (len > s->chunk.room - sink_bytes(s))
        return err_set(err, EOVERFLOW, "more than %llu bytes", (unsigned long long)s->chunk.room);
    while (len) {
        size_t n = SINK_BUFFER - s->used;

        if (n > len)
            n = len;
        memcpy(s->buffer + s->used, bytes, n);
        s->used += n;
        bytes += n;
        len -= n;
        rc = s->used == SINK_BUFFER ? flush(s, err) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

int sink_end(struct sink *s, struct err *err)
{
    return flush(s, err);
}

uint64_t sink_bytes(const struct sink *s)
{
    return s->written + s->used;
}

uint64_t sink_checksum(const struct sink *s)
{
    return hash_value(s->hash);
}
