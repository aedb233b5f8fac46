#include "load/part.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/io.h"
#include "common/mem.h"

#define PIECE (64u << 10)

static const char binary_header[PG_BINARY_HEADER] = "PGCOPY\n\377\r\n";
static const char binary_trailer[PG_BINARY_TRAILER] = "\377\377";

struct part {
    struct part_config config;
    struct fields *fields; /* NULL: every column stays */
    struct hash *hash;     /* NULL: nobody knows what it should be */
    struct buf out;        /* ready for the server; from `taken` on */
    size_t taken;
    uint64_t done; /* bytes of the file */
    uint64_t lines;
    bool ended;
    char piece[PIECE];
};

static struct fields *open_fields(const struct part_config *c)
{
    size_t i, n = strlen(c->drop);
    bool *drop = mem_array(n + 1, sizeof(*drop));
    struct fields *f = NULL;

    for (i = 0; i < n; i++)
        drop[i] = c->drop[i] == '1';
    if (n)
        f = fields_new(c->format, drop, n, c->first);
    free(drop);
    return f;
}

struct part *part_open(const struct part_config *config)
{
    struct part *p = mem_alloc(sizeof(*p));

    p->config = *config;
    p->fields = open_fields(config);
    p->hash = config->checksum ? hash_new() : NULL;
    if (config->format == PG_FORMAT_BINARY && !config->first)
        buf_put(&p->out, binary_header, sizeof(binary_header));
    return p;
}

void part_close(struct part *p)
{
    if (!p)
        return;
    fields_free(p->fields);
    if (p->hash)
        hash_free(p->hash);
    buf_free(&p->out);
    free(p);
}

static int end_part(struct part *p, struct err *err)
{
    p->ended = true;
    if (p->hash && hash_value(p->hash) != p->config.checksum)
        return err_set(err, EIO, PART_DAMAGED);
    if (p->config.format == PG_FORMAT_BINARY && !p->config.last)
        buf_put(&p->out, binary_trailer, sizeof(binary_trailer));
    return p->fields ? fields_end(p->fields, err) : 0;
}

static void count_lines(struct part *p, size_t n)
{
    const char *at = p->piece, *end = at + n;

    if (p->config.format == PG_FORMAT_BINARY)
        return;
    while ((at = memchr(at, '\n', (size_t)(end - at)))) {
        p->lines++;
        at++;
    }
}

static int fill(struct part *p, struct err *err)
{
    uint64_t left = p->config.len - p->done;
    size_t want = left < PIECE ? (size_t)left : PIECE;
    int64_t n;

    buf_clear(&p->out);
    p->taken = 0;
    if (!want)
        return end_part(p, err);
    n = io_pread_full(p->config.fd, p->piece, want, p->config.offset + p->done);
    if (n < 0)
        return err_set(err, (int)-n, "cannot read the rows to load: %s", strerror((int)-n));
    if ((size_t)n < want)
        return err_set(err, EIO, "the file of rows to load is shorter than it was");
    p->done += want;
    count_lines(p, want);
    if (p->hash)
        hash_update(p->hash, p->piece, want);
    if (p->fields)
        return fields_put(p->fields, p->piece, want, &p->out, err);
    buf_put(&p->out, p->piece, want);
    return 0;
}

int64_t part_read(void *part, char *bytes, size_t room, uint64_t at, struct err *err)
{
    struct part *p = part;
    size_t n;
    int rc;

    (void)at; /* it is read once, in order */
    while (p->taken == p->out.len && !p->ended) {
        rc = fill(p, err);
        if (rc < 0)
            return rc;
    }
    n = p->out.len - p->taken;
    if (n > room)
        n = room;
    if (n)
        memcpy(bytes, p->out.data + p->taken, n);
    p->taken += n;
    return (int64_t)n;
}

uint64_t part_done(const struct part *p)
{
    return p->done;
}

uint64_t part_lines(const struct part *p)
{
    return p->lines;
}
