#include "extract/finish.h"

#include <errno.h>
#include <stdlib.h>

#include "common/hash.h"
#include "common/io.h"
#include "common/mem.h"

#define PIECE (512u << 10)
#define PIECES_A_STEP 8

struct piece { /* where a chunk lies, once it is there */
    bool there;
    uint32_t spool;
    uint64_t offset, length, checksum;
};

struct table_work {
    uint32_t next;  /* chunk number, the first that is not done */
    uint64_t at;    /* bytes of it that are done */
    uint64_t bytes; /* of the file */
    struct hash *file_hash, *chunk_hash;
    bool queued, given_up;
};

struct finisher {
    const struct plan *plan;
    struct spool *spools;
    const int *own_files;
    struct piece *pieces;    /* by chunk */
    struct table_work *work; /* by table */
    uint32_t *ready;         /* stack of tables whose next chunk is there */
    size_t nready, ready_room;
    char *buffer;
};

struct finisher *finisher_new(const struct plan *p, struct spool *spools, const int *own_files)
{
    struct finisher *f = mem_alloc(sizeof(*f));
    size_t t;

    *f = (struct finisher){.plan = p, .spools = spools, .own_files = own_files};
    f->pieces = mem_array(p->nchunks, sizeof(*f->pieces));
    f->work = mem_array(p->ntables, sizeof(*f->work));
    f->buffer = mem_alloc(PIECE);
    for (t = 0; t < p->ntables; t++)
        f->work[t].next = (uint32_t)p->first[t];
    return f;
}

static void drop_work(struct table_work *w)
{
    if (w->file_hash)
        hash_free(w->file_hash);
    if (w->chunk_hash)
        hash_free(w->chunk_hash);
    w->file_hash = w->chunk_hash = NULL;
}

void finisher_free(struct finisher *f)
{
    size_t t;

    if (!f)
        return;
    for (t = 0; t < f->plan->ntables; t++)
        drop_work(&f->work[t]);
    free(f->pieces);
    free(f->work);
    free(f->ready);
    free(f->buffer);
    free(f);
}

static void make_ready(struct finisher *f, uint32_t table)
{
    struct table_work *w = &f->work[table];

    if (w->queued || w->next == f->plan->first[table + 1] || !f->pieces[w->next].there)
        return;
    if (!w->file_hash) {
        w->file_hash = hash_new();
        w->chunk_hash = hash_new();
    }
    w->queued = true;
    f->ready = mem_grow(f->ready, f->nready, &f->ready_room, sizeof(*f->ready));
    f->ready[f->nready++] = table;
}

void finisher_add(struct finisher *f, uint32_t chunk, uint32_t spool, uint64_t offset,
                  uint64_t length, uint64_t checksum)
{
    f->pieces[chunk] = (struct piece){true, spool, offset, length, checksum};
    make_ready(f, f->plan->chunks[chunk].table);
}

void finisher_give_up(struct finisher *f, uint32_t table)
{
    size_t i;

    for (i = 0; i < f->nready; i++) {
        if (f->ready[i] == table) {
            f->ready[i] = f->ready[--f->nready];
            break;
        }
    }
    for (i = f->plan->first[table]; i < f->plan->first[table + 1]; i++)
        f->pieces[i].there = false;
    f->work[table].queued = false;
    f->work[table].given_up = true;
    drop_work(&f->work[table]);
}

bool finisher_gave_up(const struct finisher *f, uint32_t table)
{
    return f->work[table].given_up;
}

bool finisher_is_past(const struct finisher *f, uint32_t chunk)
{
    return f->work[f->plan->chunks[chunk].table].next > chunk;
}

void finisher_drop(struct finisher *f, uint32_t table)
{
    size_t k;

    for (k = f->plan->first[table]; k < f->plan->first[table + 1]; k++) {
        struct piece *p = &f->pieces[k];

        if (p->there)
            spool_discard(&f->spools[p->spool], p->offset, p->length);
    }
    finisher_give_up(f, table);
}

bool finisher_has_work(const struct finisher *f)
{
    return f->nready > 0;
}

static int write_out(struct finisher *f, uint32_t table, size_t n, struct err *err)
{
    int rc;

    if (f->own_files[table] < 0)
        return 0;
    rc = io_pwrite_all(f->own_files[table], f->buffer, n, f->work[table].bytes);
    if (rc < 0) {
        errno = -rc;
        return err_errno(err, "cannot write %zu bytes", n);
    }
    return 0;
}

static int do_piece(struct finisher *f, uint32_t table, const struct piece *p, struct err *err)
{
    struct table_work *w = &f->work[table];
    size_t n = p->length - w->at < PIECE ? (size_t)(p->length - w->at) : PIECE;
    int64_t got = io_pread_full(f->spools[p->spool].fd, f->buffer, n, p->offset + w->at);
    int rc;

    if (got < (int64_t)n) {
        errno = got < 0 ? (int)-got : EIO;
        return err_errno(err, "cannot read back a spool file");
    }
    hash_update(w->file_hash, f->buffer, n);
    hash_update(w->chunk_hash, f->buffer, n);
    rc = write_out(f, table, n, err);
    w->at += n;
    w->bytes += n;
    return rc;
}

static int end_chunk(struct finisher *f, uint32_t table, const struct piece *p, struct err *err)
{
    struct table_work *w = &f->work[table];

    if (hash_value(w->chunk_hash) != p->checksum)
        return err_set(err, EIO, "a spool file does not hold what was written to it");
    hash_reset(w->chunk_hash);
    if (f->own_files[table] >= 0)
        spool_discard(&f->spools[p->spool], p->offset, p->length);
    w->next++;
    w->at = 0;
    return 0;
}

/* 1: the table is finished. */
static int end_table(struct finisher *f, uint32_t table, struct finished *done)
{
    struct table_work *w = &f->work[table];

    if (w->next < f->plan->first[table + 1]) {
        make_ready(f, table);
        return 0;
    }
    *done = (struct finished){table, w->bytes, hash_value(w->file_hash)};
    drop_work(w);
    return 1;
}

int finisher_step(struct finisher *f, struct finished *done, struct err *err)
{
    uint32_t table;
    const struct piece *p;
    int i, rc = 0;

    if (!f->nready)
        return 0;
    table = f->ready[f->nready - 1];
    p = &f->pieces[f->work[table].next];
    for (i = 0; i < PIECES_A_STEP && f->work[table].at < p->length && rc == 0; i++)
        rc = do_piece(f, table, p, err);
    if (rc < 0 || f->work[table].at < p->length)
        return rc;
    f->nready--;
    f->work[table].queued = false;
    rc = end_chunk(f, table, p, err);
    return rc < 0 ? rc : end_table(f, table, done);
}
