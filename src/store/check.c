#include "store/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/units.h"
#include "pages/chain.h"
#include "pages/inflight.h"
#include "pages/layer.h"
#include "pages/page.h"
#include "pages/pagefile.h"

#define JOURNAL_MAX (1u << 30)

struct checking {
    struct store *store;
    void (*tell)(void *arg, const char *line);
    void *arg;
    struct check_report *report;
};

/* A layer that is being looked into. */
struct look {
    struct checking *c;
    const char *what; /* "view erp", "base 2" */
    struct disk *disk;
    const struct store_base *base; /* what it lies on; its first `index` layers are below */
    unsigned index;
    struct dirtree *tree;
    struct inflight *inflight; /* NULL: damaged */
    bool is_view;              /* else it belongs to a base, and nobody opens it for writing */
    bool clean;                /* it was closed: nothing may be out of order */
    uint64_t *ids;             /* of files with storage; may name some more than once */
    size_t n, room;
};

/* ---- telling ---- */

static void tell_lines(const struct checking *c, const char *fmt, va_list ap)
{
    char text[ERR_TEXT_MAX], *at, *end;
    struct buf line = {0};

    vsnprintf(text, sizeof(text), fmt, ap);
    for (at = text; (end = strchr(at, '\n')); at = end + 1)
        buf_printf(&line, "%.*s; ", (int)(end - at), at);
    buf_puts(&line, at);
    c->tell(c->arg, line.data);
    buf_free(&line);
}

__attribute__((format(printf, 2, 3))) static void finding(struct checking *c, const char *fmt, ...)
{
    va_list ap;

    c->report->findings++;
    va_start(ap, fmt);
    tell_lines(c, fmt, ap);
    va_end(ap);
}

/* Worth a line, but nothing is wrong. */
__attribute__((format(printf, 2, 3))) static void note(const struct checking *c, const char *fmt,
                                                       ...)
{
    va_list ap;

    va_start(ap, fmt);
    tell_lines(c, fmt, ap);
    va_end(ap);
}

/* ---- the pages of one file ---- */

struct file_look {
    struct look *layer;
    uint64_t id;
    char *path; /* as people know it */
    char diff_path[LAYER_PATH_MAX], side_path[LAYER_PATH_MAX];
    struct disk_file *diff;
    struct side *side;
    uint64_t bad_first, bad_count; /* a run that is not told yet */
};

static const struct inflight_slot *slot_of(const struct file_look *f, unsigned i)
{
    const struct inflight_slot *slot =
        f->layer->inflight ? inflight_slot(f->layer->inflight, i) : NULL;

    return slot && slot->file == f->id ? slot : NULL;
}

/* A write that was under way when the process ended, and came through. */
static bool is_announced(const struct file_look *f, uint64_t page, uint32_t crc)
{
    const struct inflight_slot *slot;
    unsigned i;

    for (i = 0; i < INFLIGHT_SLOTS; i++) {
        slot = slot_of(f, i);
        if (slot && slot->kind == INFLIGHT_WRITE && page >= slot->where &&
            page - slot->where < slot->pages && page - slot->where < INFLIGHT_PAGES &&
            slot->crc[page - slot->where] == crc)
            return true;
    }
    return false;
}

/* Pages from the first of these on may be anything: a truncation that was under way is done again.
 */
static uint64_t pages_to_verify(const struct file_look *f, uint64_t size)
{
    uint64_t pages = page_count(size);
    const struct inflight_slot *slot;
    unsigned i;

    for (i = 0; i < INFLIGHT_SLOTS; i++) {
        slot = slot_of(f, i);
        if (slot && slot->kind == INFLIGHT_TRUNCATE && slot->where / PAGE_BYTES < pages)
            pages = slot->where / PAGE_BYTES;
    }
    return pages;
}

static void tell_bad_run(struct file_look *f)
{
    struct look *l = f->layer;
    uint64_t last = f->bad_first + f->bad_count - 1;
    char pages[64];

    if (!f->bad_count)
        return;
    if (f->bad_count == 1)
        snprintf(pages, sizeof(pages), "page %" PRIu64, last);
    else
        snprintf(pages, sizeof(pages), "pages %" PRIu64 " to %" PRIu64, f->bad_first, last);
    finding(l->c, "%s: %s, %s: the checksum does not match what %s holds; reading it gives EIO",
            l->what, f->path, pages, f->diff_path);
    f->bad_count = 0;
}

static void add_bad_page(struct file_look *f, uint64_t page)
{
    if (f->bad_count && f->bad_first + f->bad_count != page)
        tell_bad_run(f);
    if (!f->bad_count)
        f->bad_first = page;
    f->bad_count++;
}

static void verify_pages(struct file_look *f, uint64_t pages)
{
    char bytes[PAGE_BYTES];
    uint64_t page;
    uint32_t crc;
    int64_t n;

    for (page = 0; page < pages; page++) {
        if (!side_stored(f->side, page))
            continue;
        f->layer->c->report->pages++;
        n = f->diff->ops->read(f->diff, bytes, sizeof(bytes), page * PAGE_BYTES);
        crc = n < 0 ? 0 : page_crc(bytes, (size_t)n); /* which no page has */
        if (crc != side_crc(f->side, page) && (!crc || !is_announced(f, page, crc)))
            add_bad_page(f, page);
    }
    tell_bad_run(f);
}

/* ---- the storage of one file ---- */

/* Opens the difference file; its size is the file's. */
static int open_diff(struct file_look *f, uint64_t *size)
{
    struct look *l = f->layer;
    struct stat st;
    int rc = l->disk->ops->open(l->disk, f->diff_path, 0, &f->diff);

    if (rc == 0)
        rc = f->diff->ops->file_stat(f->diff, &st);
    if (rc == 0)
        *size = (uint64_t)st.st_size;
    else
        finding(l->c, "%s: %s: cannot open %s, which holds its pages: %s", l->what, f->path,
                f->diff_path, strerror(-rc));
    return rc;
}

/* A block that is not as its checksum says is rebuilt when the file is next opened, and here in
 * memory; in a layer that was closed it should not be there. */
static int open_side(struct file_look *f, uint64_t size)
{
    struct look *l = f->layer;
    struct side_findings found = {0};
    struct err err = {0};
    uint64_t unclean;
    int rc = side_open(l->disk, f->side_path, f->id, page_count(size), false, &f->side, &err);

    if (rc < 0) {
        finding(l->c, "%s: %s: %s: %s", l->what, f->path, f->side_path, err.text);
        return rc;
    }
    unclean = side_unclean_blocks(f->side);
    if (unclean && l->clean)
        finding(l->c,
                "%s: %s: %" PRIu64 " block%s of %s do%s not match the checksum; to be rebuilt when "
                "it is next opened",
                l->what, f->path, unclean, units_s(unclean), f->side_path,
                unclean == 1 ? "es" : "");
    rc = unclean ? side_rebuild(f->side, f->diff, &found, &err) : 0;
    if (rc < 0)
        finding(l->c, "%s: %s: %s", l->what, f->path, err.text);
    else if (side_stored_from(f->side, page_count(size)))
        finding(l->c, "%s: %s: %s is shorter than it was: opening it is EIO", l->what, f->path,
                f->diff_path);
    return rc;
}

static bool has_storage(const struct look *l, uint64_t id)
{
    struct dirtree_node node;

    return dirtree_stat(l->tree, id, &node) == 0 && node.links && S_ISREG(node.mode) &&
           (node.layers >> l->index & 1);
}

static void check_file(struct look *l, uint64_t id)
{
    struct file_look f = {.layer = l, .id = id};
    uint64_t size = 0;

    f.path = dirtree_path(l->tree, id);
    layer_path(f.diff_path, LAYER_DIFF, id);
    layer_path(f.side_path, LAYER_SIDE, id);
    l->c->report->files++;
    if (open_diff(&f, &size) == 0 && open_side(&f, size) == 0)
        verify_pages(&f, pages_to_verify(&f, size));
    if (f.side)
        side_abandon(f.side);
    if (f.diff)
        f.diff->ops->close(f.diff);
    free(f.path);
}

/* ---- the names of a layer ---- */

static int apply_layer_names(struct dirtree *tree, unsigned index, const char *bytes, size_t len,
                             uint64_t *good, struct err *err)
{
    int rc = dirtree_apply(tree, index, bytes, len, good, err);

    return rc < 0 ? err_prefix(err, LAYER_NAMES) : 0;
}

static int read_journal(struct disk *d, char **bytes, size_t *len, struct err *err)
{
    int rc = disk_read_file(d, LAYER_NAMES, JOURNAL_MAX, bytes, len);

    return rc < 0 ? err_set(err, -rc, "cannot read " LAYER_NAMES ": %s", strerror(-rc)) : 0;
}

/* The tree as the layers below left it. */
static int build_tree(struct look *l, struct err *err)
{
    uint64_t good;
    unsigned i;
    char *bytes;
    size_t len;
    int rc = 0;

    l->tree = dirtree_new(l->base->manifest);
    if (!l->tree)
        return err_set(err, ENOMEM, "out of memory");
    for (i = 0; i < l->index && rc == 0; i++) {
        bytes = NULL;
        rc = read_journal(l->base->layers[i], &bytes, &len, err);
        if (rc == 0)
            rc = apply_layer_names(l->tree, i, bytes, len, &good, err);
        if (rc < 0)
            err_prefix(err, "the layer %s below it", l->base->layer_ids[i]);
        free(bytes);
    }
    return rc;
}

static int note_id(void *arg, const struct names_record *r, struct err *err)
{
    struct look *l = arg;

    (void)err;
    if (r->type != NAMES_NODE && r->type != NAMES_TOUCHED)
        return 0;
    l->ids = mem_grow(l->ids, l->n, &l->room, sizeof(*l->ids));
    l->ids[l->n++] = r->id;
    return 0;
}

static void check_tail(struct look *l, uint64_t good, size_t len)
{
    uint64_t promised = l->inflight ? inflight_names_bytes(l->inflight) : 0;

    if (good < promised)
        finding(l->c,
                "%s: " LAYER_NAMES " holds %" PRIu64 " bytes of whole frames, but %" PRIu64
                " were acknowledged: changes of names are lost",
                l->what, good, promised);
    else if (good < len && l->clean)
        finding(l->c,
                "%s: " LAYER_NAMES " ends with %" PRIu64 " bytes that are no whole frame, though "
                "it was closed",
                l->what, len - good);
}

static int look_at_names(struct look *l, struct err *err)
{
    uint64_t good = 0;
    char *bytes = NULL;
    size_t len;
    int rc = build_tree(l, err);

    if (rc == 0)
        rc = read_journal(l->disk, &bytes, &len, err);
    if (rc == 0)
        rc = apply_layer_names(l->tree, l->index, bytes, len, &good, err);
    if (rc == 0)
        rc = names_walk(bytes, len, manifest_id(l->base->manifest), note_id, l, &good, err);
    if (rc == 0)
        check_tail(l, good, len);
    free(bytes);
    return rc;
}

/* ---- one layer ---- */

static void look_at_inflight(struct look *l)
{
    struct err err;

    if (inflight_open(l->disk, LAYER_INFLIGHT, false, &l->inflight, &err) < 0) {
        l->inflight = NULL;
        finding(l->c, "%s: %s", l->what, err.text);
        return;
    }
    l->clean = inflight_was_clean(l->inflight);
    if (!l->clean && l->is_view)
        note(l->c, "%s was not closed: it is put right when it is next opened", l->what);
    else if (!l->clean)
        finding(l->c, "%s was not completed: views on it cannot be opened", l->what);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void check_files(struct look *l)
{
    size_t i;

    if (l->n)
        qsort(l->ids, l->n, sizeof(*l->ids), compare_u64);
    for (i = 0; i < l->n; i++)
        if ((!i || l->ids[i] != l->ids[i - 1]) && has_storage(l, l->ids[i]))
            check_file(l, l->ids[i]);
}

struct listing {
    struct look *look;
    const char *kind; /* LAYER_DIFF, LAYER_SIDE */
};

static int check_owner(void *arg, const char *name)
{
    const struct listing *listing = arg;
    struct look *l = listing->look;
    char path[LAYER_PATH_MAX];
    uint64_t id = strtoull(name, NULL, 16);

    layer_path(path, listing->kind, id);
    if (strcmp(strchr(path, '/') + 1, name) != 0 || !has_storage(l, id))
        finding(l->c, "%s: %s/%s belongs to no file", l->what, listing->kind, name);
    return 0;
}

/* Storage that nothing names. In a layer that was not closed it is removed at the next opening. */
static void check_orphans(struct look *l, const char *kind)
{
    struct listing listing = {l, kind};
    int rc = l->clean ? l->disk->ops->list(l->disk, kind, check_owner, &listing) : 0;

    if (rc < 0)
        finding(l->c, "%s: cannot read %s: %s", l->what, kind, strerror(-rc));
}

/* What `what` names: the layer of a view on the base, or (NULL) the newest layer of the base. */
static void check_layer(struct checking *c, const char *what, struct disk *view,
                        const struct store_base *base)
{
    unsigned index = view ? base->n_layers : base->n_layers - 1;
    struct look l = {.c = c, .what = what, .base = base, .index = index, .is_view = view};
    struct err err = {0};

    l.disk = view ? view : base->layers[index];
    look_at_inflight(&l);
    if (look_at_names(&l, &err) < 0) {
        finding(c, "%s: %s", what, err.text);
        goto out;
    }
    check_files(&l);
    check_orphans(&l, LAYER_DIFF);
    check_orphans(&l, LAYER_SIDE);
out:
    if (l.inflight)
        inflight_close(l.inflight, false);
    dirtree_free(l.tree);
    free(l.ids);
}

/* ---- bases and views ---- */

static void check_base(struct checking *c, const char *id)
{
    char *what = mem_printf("base %s", id);
    struct store_base b;
    struct err err = {0};

    c->report->bases++;
    if (store_open_base(c->store, id, &b, &err) < 0) {
        finding(c, "%s: %s", what, err.text);
        goto out;
    }
    if (b.n_layers)
        check_layer(c, what, NULL, &b);
    else if (manifest_check(b.manifest, b.disk, &err) < 0)
        finding(c, "%s: %s", what, err.text);
    store_close_base(&b);
out:
    free(what);
}

static int open_and_check(struct checking *c, const char *what, const char *name, struct err *err)
{
    struct store_base b = {0};
    struct disk *d = NULL;
    int rc = store_open_below_view(c->store, name, &b, err);

    if (rc == 0)
        rc = store_view_disk(c->store, name, &d, err);
    if (rc == 0)
        check_layer(c, what, d, &b);
    if (d)
        d->ops->free(d);
    store_close_base(&b);
    return rc;
}

static void check_view(struct checking *c, const char *name)
{
    char *what = mem_printf("view %s", name);
    struct err err = {0};
    int lock = -1, rc = store_lock_view(c->store, name, false, &lock, &err);

    if (rc == -EBUSY) {
        note(c, "%s: in use, not looked into", what);
        goto out;
    }
    c->report->views++;
    if (rc == 0)
        rc = open_and_check(c, what, name, &err);
    if (rc < 0)
        finding(c, "%s: %s", what, err.text);
    if (lock >= 0)
        close(lock);
out:
    free(what);
}

int store_check(struct store *s, void (*tell_line)(void *arg, const char *line), void *arg,
                struct check_report *report, struct err *err)
{
    struct checking c = {s, tell_line, arg, report};
    char **bases = NULL, **views = NULL, **p;
    int rc = store_bases(s, &bases, err);

    memset(report, 0, sizeof(*report));
    if (rc == 0)
        rc = store_views(s, &views, err);
    for (p = bases; rc == 0 && *p; p++)
        check_base(&c, *p);
    for (p = views; rc == 0 && *p; p++)
        check_view(&c, *p);
    store_names_free(bases);
    store_names_free(views);
    return rc;
}

/* The base's directory as it was adopted, and each layer between it and the view. */
static void check_below(struct checking *c, const char *name)
{
    struct store_base b = {0};
    struct err err = {0};
    char *what, *base = NULL;
    unsigned i;

    if (store_read_view(c->store, name, &base, &err) < 0 ||
        store_open_base(c->store, base, &b, &err) < 0) {
        finding(c, "view %s: %s", name, err.text);
        free(base);
        return;
    }
    what = mem_printf("base %s", base);
    c->report->bases++;
    if (manifest_check(b.manifest, b.disk, &err) < 0)
        finding(c, "%s: %s", what, err.text);
    for (i = 0; i < b.n_layers; i++)
        check_base(c, b.layer_ids[i]);
    store_close_base(&b);
    free(what);
    free(base);
}

int store_check_view(struct store *s, const char *name,
                     void (*tell_line)(void *arg, const char *line), void *arg,
                     struct check_report *report, struct err *err)
{
    struct checking c = {s, tell_line, arg, report};
    int lock, rc = store_lock_view(s, name, false, &lock, err);

    memset(report, 0, sizeof(*report));
    if (rc < 0)
        return rc;
    close(lock); /* check_view takes it again */
    check_below(&c, name);
    check_view(&c, name);
    return 0;
}

/* ---- the map of a file ---- */

/* Why a file cannot be opened; pages that cannot be read the map marks by itself. */
static void keep_words(void *arg, const char *text)
{
    err_set(arg, EIO, "%s", text);
}

static int find_file(struct store_view *v, const char *view, const char *path, uint64_t *id,
                     struct err *err)
{
    struct dirtree_node node;
    int rc = dirtree_walk(datadir_tree(store_view_datadir(v)), path, &node);

    if (rc < 0)
        return err_set(err, -rc, "view %s: %s: %s", view, path, strerror(-rc));
    if (!S_ISREG(node.mode))
        return err_set(err, EINVAL, "view %s: %s is no plain file", view, path);
    *id = node.id;
    return 0;
}

/* What people call the place that pagefile_place tells: a layer by the id of its base. */
static void name_place(const struct store_base *b, int place, char *name, size_t room)
{
    if (place < 0)
        snprintf(name, room, "%s", place == CHAIN_BASE ? "base" : "zero");
    else if ((unsigned)place < b->n_layers)
        snprintf(name, room, "layer %s", b->layer_ids[place]);
    else
        snprintf(name, room, "view");
}

/* Only what is stored has a checksum: pages of the base are not read. */
static bool is_unreadable(struct pagefile *f, uint64_t page, int place)
{
    char bytes[PAGE_BYTES];

    return place >= 0 && pagefile_read(f, bytes, sizeof(bytes), page * PAGE_BYTES) < 0;
}

static void tell_runs(struct pagefile *f, const struct store_base *b,
                      void (*each)(void *arg, const struct map_run *run), void *arg)
{
    uint64_t page = 0, pages = page_count(pagefile_size(f));
    int place = page < pages ? pagefile_place(f, page) : 0, next;
    struct map_run run = {0};
    char name[32];

    while (page < pages) {
        run.count++;
        run.unreadable += is_unreadable(f, page, place);
        page++;
        next = page < pages ? pagefile_place(f, page) : place;
        if (page < pages && next == place)
            continue;
        name_place(b, place, name, sizeof(name));
        run.place = name;
        each(arg, &run);
        run = (struct map_run){.first = page};
        place = next;
    }
}

int store_map(struct store *s, const char *view, const char *path, uint64_t *size,
              void (*each)(void *arg, const struct map_run *run), void *arg, struct err *err)
{
    struct datadir_recovery recovery = {0};
    struct pagefile *f = NULL;
    struct store_view *v;
    struct err words = {0}, ignored;
    uint64_t id = 0;
    int rc = store_open_view(s, view, STORE_READ_ONLY | STORE_NO_BASE_CHECK, keep_words, &words, &v,
                             &recovery, err);

    if (rc < 0)
        return rc;
    rc = find_file(v, view, path, &id, err);
    if (rc < 0)
        goto out;
    rc = datadir_open_file(store_view_datadir(v), id, &f);
    if (rc < 0) {
        rc = err_set(err, -rc, "view %s: cannot open %s: %s", view, path,
                     *words.text ? words.text : strerror(-rc));
        goto out;
    }
    *size = pagefile_size(f);
    tell_runs(f, store_view_base(v), each, arg);
    datadir_close_file(store_view_datadir(v), f);
out:
    store_close_view(v, &ignored);
    return rc;
}
