#include "view/rendered.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "extract/spool.h"
#include "pg/identity.h"
#include "render/toast.h"
#include "view/describe.h"
#include "view/internal.h"

#define LITTLE (UINT64_C(8) << 20) /* bytes of pages: what is kept of its text stays */

static int read_rendered(const struct flatfile *f, void *buffer, size_t size, uint64_t offset);
static int try_rendered(const struct flatfile *f, void *buffer, size_t size, uint64_t offset);

static void keep_file(struct flatfile *f) /* whoever has the table frees it */
{
    (void)f;
}

static const struct flatfile_ops rendered_ops = {
    .read = read_rendered, .try = try_rendered, .free = keep_file};

static const struct described_table *description_of(const struct rendered *t)
{
    return &t->snapshot->described->tables[t->table];
}

char *rendered_name(const struct rendered *t)
{
    const struct snapshot *s = t->snapshot;
    const char *path = s->tree.paths[t->table];

    return s->req.may_miss ? mem_printf("database \"%s\": %s", s->server.database, path)
                           : mem_strdup(path);
}

/* Of heap and TOAST of a relation. */
static void put_changed_file(const struct rendered *t, size_t relation, struct buf *b)
{
    struct err err;
    size_t i;

    for (i = 2 * relation; i < 2 * relation + 2; i++) {
        if (!t->files[i] || frozenrelation_check(t->files[i], &err) == 0)
            continue;
        buf_printf(b, ": %s", err.text);
        return;
    }
}

char *rendered_fault_text(const struct rendered *t, const struct render_fault *f)
{
    const struct described_table *d = description_of(t);
    struct buf b = {0};

    if (d->nrelations > 1)
        buf_printf(&b, "%s ", d->relations[f->relation].name);
    buf_printf(&b, "block %llu", (unsigned long long)f->block);
    if (f->item)
        buf_printf(&b, ", item %d", f->item);
    buf_printf(&b, ": %s", f->what ? f->what : strerror(f->code));
    put_changed_file(t, f->relation, &b);
    return b.data;
}

static struct rendered *rendered_of(const struct flatfile *f)
{
    return (struct rendered *)(uintptr_t)f; /* not const: the maker's */
}

/* Of what was rendered without a fault. */
static void add_to_sum(struct rendered *t, const void *bytes, size_t size, uint64_t offset)
{
    uint64_t checksum;

    if (!t->sum || !sum_add(t->sum, bytes, size, offset, &checksum))
        return;
    results_sum_table(snapshot_results(t->snapshot), t->table, checksum);
    t->was_summed(t->arg, t);
}

/* As many as there are: the kernel has them now. Not at the last byte, since parts come in any order. */
static void note_bytes(struct rendered *t, size_t size)
{
    if (atomic_fetch_add(&t->read, size) + size < t->file.size)
        return;
    atomic_store(&t->read, 0);
    render_lines_give_back(t->lines);
}

static int read_part(struct rendered *t, void *buffer, size_t size, uint64_t offset,
                     struct render_fault *fault)
{
    int rc = render_lines_read(t->lines, buffer, size, offset, fault);

    t->was_read(t->arg, t);
    if (rc == 0)
        add_to_sum(t, buffer, size, offset);
    if (rendered_pages(t) > LITTLE)
        note_bytes(t, size);
    return rc;
}

static int try_rendered(const struct flatfile *f, void *buffer, size_t size, uint64_t offset)
{
    struct render_fault fault = {0};

    return read_part(rendered_of(f), buffer, size, offset, &fault) < 0 ? -EIO : 0;
}

static int read_rendered(const struct flatfile *f, void *buffer, size_t size, uint64_t offset)
{
    struct rendered *t = rendered_of(f);
    struct render_fault fault = {0};
    int rc = read_part(t, buffer, size, offset, &fault);
    char *text, *name;

    if (rc == 0)
        return 0;
    text = rendered_fault_text(t, &fault);
    results_add_error(snapshot_results(t->snapshot), t->table, text);
    name = rendered_name(t);
    log_error("%s: %s", name, text);
    free(name);
    free(text);
    return -EIO;
}

static int open_files(const struct rendered *t, const char *path, struct frozenrelation **r,
                      struct err *err)
{
    int rc = path ? frozenrelation_open(t->from->files, path, r) : 0;

    return rc < 0 ? err_set(err, -rc, "%s: %s", path, strerror(-rc)) : 0;
}

/* A file for what has no room in memory: in the spool directory, without a name. That is ours, not of the
 * owner of the pages, who this thread is. */
static int open_file(void *rendered)
{
    const struct rendered *t = rendered;
    struct spool file;
    struct err err;
    int rc;

    pg_identity_leave(t->from->as);
    rc = spool_open(&file, t->snapshot->req.spool_dir, &err);
    pg_identity_enter_again(t->from->as);
    if (rc == 0)
        return file.fd;
    log_error("%s", err.text);
    return rc;
}

static int open_relation(struct rendered *t, size_t i, const struct described_relation *d,
                         struct err *err)
{
    const struct rendered_from *r = t->from;
    struct render_relation *rel = &t->relations[i];
    struct toastmap_room room = {r->memory, open_file, t};
    int rc = open_files(t, d->path, &t->files[2 * i], err);

    if (rc == 0)
        rc = open_files(t, d->toast_path, &t->files[2 * i + 1], err);
    if (rc < 0)
        return rc;
    if (d->toast_path) {
        t->toast_pages[i] = frozenrelation_pages(t->files[2 * i + 1]);
        t->toasts[i] = render_toast_new(&t->toast_pages[i], r->xacts, r->checksums, &room);
    }
    *rel = (struct render_relation){
        .pages = frozenrelation_pages(t->files[2 * i]),
        .checksums = r->checksums,
        .toast = t->toasts[i],
        .attributes = d->attributes,
        .nattributes = d->nattributes,
        .columns = d->columns,
        .ncolumns = d->ncolumns,
        .xacts = r->xacts,
        .format = t->snapshot->req.format == PG_FORMAT_TEXT ? RENDER_TEXT : RENDER_CSV};
    return 0;
}

static void make_header(const struct rendered *t, struct out *header)
{
    const struct pg_table *table = &t->snapshot->catalog->tables[t->table];
    char **names = mem_array(table->ncolumns + 1, sizeof(*names));
    size_t i;

    for (i = 0; i < table->ncolumns; i++)
        names[i] = table->columns[i].name;
    if (t->snapshot->req.format == PG_FORMAT_CSV)
        render_rows_header(names, table->ncolumns, header);
    free(names);
}

int rendered_open(struct rendered *t, struct err *err)
{
    const struct described_table *d = description_of(t);
    struct out header = {0};
    size_t i;
    int rc = 0;

    t->nrelations = d->nrelations;
    t->files = mem_array(2 * d->nrelations + 1, sizeof(struct frozenrelation *));
    t->toast_pages = mem_array(d->nrelations + 1, sizeof(*t->toast_pages));
    t->toasts = mem_array(d->nrelations + 1, sizeof(struct render_toast *));
    t->relations = mem_array(d->nrelations + 1, sizeof(*t->relations));
    for (i = 0; i < d->nrelations && rc == 0; i++)
        rc = open_relation(t, i, &d->relations[i], err);
    if (rc < 0)
        return rc;
    make_header(t, &header);
    t->lines = render_lines_new(&t->settings, header.p, header.n, t->relations, t->nrelations);
    out_free(&header);
    return 0;
}

void rendered_close(struct rendered *t)
{
    size_t i;

    sum_free(t->sum);
    render_lines_free(t->lines);
    for (i = 0; i < t->nrelations; i++) {
        render_toast_free(t->toasts[i]);
        frozenrelation_free(t->files[2 * i]);
        frozenrelation_free(t->files[2 * i + 1]);
    }
    free(t->files);
    free(t->toast_pages);
    free(t->toasts);
    free(t->relations);
}

uint64_t rendered_pages(const struct rendered *t)
{
    uint64_t blocks = render_lines_blocks(t->lines);
    size_t i;

    for (i = 0; i < t->nrelations; i++)
        blocks += t->toast_pages[i].blocks;
    return blocks * RENDER_BLOCK;
}

void rendered_complete(struct rendered *t)
{
    t->file = (struct flatfile){.ops = &rendered_ops, .size = render_lines_size(t->lines)};
    if (!t->file.size)
        t->checksum = sum_of_nothing();
    if (!t->checksum)
        t->sum = sum_new(t->file.size, t->from->early);
}

void rendered_trim(struct rendered *t)
{
    render_lines_trim(t->lines);
    if (t->sum)
        sum_trim(t->sum);
}
