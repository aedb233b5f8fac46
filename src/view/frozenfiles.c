#include "view/frozenfiles.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pages/pagefile.h"

#define SEGMENT_BLOCKS 131072u /* RELSEG_SIZE: 1 GiB a file */
#define SLRU_PAGES 32u         /* SLRU_PAGES_PER_SEGMENT */

/* With all its layers a file takes up to 33 descriptors. */
#define KEPT 16

struct kept {
    struct pagefile *file; /* NULL: none */
    uint64_t id;           /* of its node */
    unsigned users;
    uint64_t turn; /* when it was last wanted */
};

struct frozenfiles {
    struct datadir *dir;
    atomic_bool stopped;
    pthread_mutex_t lock; /* protects the two below */
    struct kept kept[KEPT];
    uint64_t turn;
};

struct frozenrelation {
    struct frozenfiles *files;
    uint64_t *segments; /* nodes */
    size_t n;
    uint64_t blocks;
};

struct frozenfiles *frozenfiles_new(struct datadir *d)
{
    struct frozenfiles *f = mem_alloc(sizeof(*f));

    f->dir = d;
    pthread_mutex_init(&f->lock, NULL);
    return f;
}

void frozenfiles_free(struct frozenfiles *f)
{
    size_t i;

    if (!f)
        return;
    for (i = 0; i < KEPT; i++)
        if (f->kept[i].file)
            datadir_close_file(f->dir, f->kept[i].file);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void frozenfiles_stop(struct frozenfiles *f)
{
    atomic_store(&f->stopped, true);
}

/* ---- open files ---- */

/* The one with that id; else the one that was not wanted for longest, of those that nobody uses; NULL:
 * all are in use. */
static struct kept *find_place(struct frozenfiles *f, uint64_t id)
{
    struct kept *best = NULL;
    size_t i;

    for (i = 0; i < KEPT; i++) {
        struct kept *k = &f->kept[i];

        if (k->file && k->id == id)
            return k;
        if (!k->users && (!best || k->turn < best->turn))
            best = k;
    }
    return best;
}

/* Leaves *file open for the caller, *place NULL: for him alone. */
static int acquire(struct frozenfiles *f, uint64_t id, struct pagefile **file, struct kept **place)
{
    struct kept *k;
    int rc = 0;

    pthread_mutex_lock(&f->lock);
    k = find_place(f, id);
    if (k && k->file && k->id != id) {
        datadir_close_file(f->dir, k->file);
        k->file = NULL;
    }
    if (!k || !k->file)
        rc = datadir_open_file(f->dir, id, file);
    else
        *file = k->file;
    if (rc == 0 && k)
        *k = (struct kept){*file, id, k->users + 1, ++f->turn};
    *place = k;
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static void release(struct frozenfiles *f, struct pagefile *file, struct kept *place)
{
    pthread_mutex_lock(&f->lock);
    if (place)
        place->users--;
    else
        datadir_close_file(f->dir, file);
    pthread_mutex_unlock(&f->lock);
}

/* All of the bytes, or -ENODATA: less is there. */
static int read_file(struct frozenfiles *f, uint64_t id, char *bytes, size_t len, uint64_t offset)
{
    struct pagefile *file;
    struct kept *place;
    int64_t n;
    int rc = atomic_load(&f->stopped) ? -ECANCELED : acquire(f, id, &file, &place);

    if (rc < 0)
        return rc;
    n = pagefile_read(file, bytes, len, offset);
    release(f, file, place);
    return n < 0 ? (int)n : (size_t)n < len ? -ENODATA : 0;
}

/* ---- relations ---- */

#define TABLESPACES "pg_tblspc/"

/* pg_tblspc/OID is a link, which stays in the directory (manifest.h): "../…" leads to its root. */
static int follow_tablespace(struct frozenfiles *f, const char *path, struct dirtree_node *node)
{
    size_t len = strlen(TABLESPACES) + strcspn(path + strlen(TABLESPACES), "/");
    char *link = mem_printf("%.*s", (int)len, path), *target = NULL, *real = NULL;
    int rc = dirtree_walk(datadir_tree(f->dir), link, node);

    if (rc == 0)
        rc = dirtree_readlink(datadir_tree(f->dir), node->id, &target);
    if (rc == 0) {
        real = strncmp(target, "../", 3) == 0 ? mem_printf("%s%s", target + 3, path + len)
                                              : mem_printf(TABLESPACES "%s%s", target, path + len);
        rc = dirtree_walk(datadir_tree(f->dir), real, node);
    }
    free(real);
    free(target);
    free(link);
    return rc;
}

static int walk(struct frozenfiles *f, const char *path, struct dirtree_node *node)
{
    int rc = dirtree_walk(datadir_tree(f->dir), path, node);

    return rc == -ENOTDIR && strncmp(path, TABLESPACES, strlen(TABLESPACES)) == 0
               ? follow_tablespace(f, path, node)
               : rc;
}

static int find_segment(struct frozenfiles *f, const char *path, size_t number, uint64_t *id,
                        uint64_t *blocks)
{
    char *name = number ? mem_printf("%s.%zu", path, number) : mem_strdup(path);
    struct dirtree_node node;
    struct stat st;
    int rc = walk(f, name, &node);

    if (rc == 0)
        rc = datadir_stat(f->dir, node.id, &st);
    if (rc == 0) {
        *id = node.id;
        *blocks = (uint64_t)st.st_size / RENDER_BLOCK;
        rc = *blocks > SEGMENT_BLOCKS ? -EFBIG : 0;
    }
    free(name);
    return rc;
}

/* As the server counts them (mdnblocks): a segment that is not full is the last. */
static int add_segments(struct frozenrelation *r, const char *path)
{
    uint64_t blocks = SEGMENT_BLOCKS, id = 0;
    int rc;

    while (blocks == SEGMENT_BLOCKS) {
        rc = find_segment(r->files, path, r->n, &id, &blocks);
        if (rc == -ENOENT && r->n)
            return 0;
        if (rc < 0)
            return rc;
        r->segments = mem_resize(r->segments, r->n + 1, sizeof(*r->segments));
        r->segments[r->n++] = id;
        r->blocks += blocks;
    }
    return 0;
}

int frozenrelation_open(struct frozenfiles *f, const char *path, struct frozenrelation **r)
{
    int rc;

    *r = mem_alloc(sizeof(**r));
    (*r)->files = f;
    rc = add_segments(*r, path);
    if (rc < 0) {
        frozenrelation_free(*r);
        *r = NULL;
    }
    return rc;
}

void frozenrelation_free(struct frozenrelation *r)
{
    if (!r)
        return;
    free(r->segments);
    free(r);
}

int frozenrelation_check(const struct frozenrelation *r, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < r->n && rc == 0; i++)
        rc = datadir_check_base(r->files->dir, r->segments[i], err);
    return rc;
}

static int read_blocks(void *arg, uint64_t block, unsigned n, char *pages)
{
    const struct frozenrelation *r = arg;

    while (n) {
        uint64_t within = block % SEGMENT_BLOCKS;
        unsigned some = n < SEGMENT_BLOCKS - within ? n : (unsigned)(SEGMENT_BLOCKS - within);
        int rc = read_file(r->files, r->segments[block / SEGMENT_BLOCKS], pages,
                           (size_t)some * RENDER_BLOCK, within * RENDER_BLOCK);

        if (rc < 0)
            return rc == -ENODATA ? -EIO : rc;
        pages += (size_t)some * RENDER_BLOCK;
        block += some;
        n -= some;
    }
    return 0;
}

struct render_pages frozenrelation_pages(struct frozenrelation *r)
{
    return (struct render_pages){.blocks = r->blocks, .read = read_blocks, .arg = r};
}

/* ---- what became of transactions ---- */

int frozenfiles_read_slru(void *arg, enum render_slru which, uint64_t page, char *bytes)
{
    static const char *const dirs[] = {[RENDER_XACT] = "pg_xact",
                                       [RENDER_MULTI_OFFSETS] = "pg_multixact/offsets",
                                       [RENDER_MULTI_MEMBERS] = "pg_multixact/members"};
    struct frozenfiles *f = arg;
    struct dirtree_node node;
    char name[64];
    int rc;

    snprintf(name, sizeof(name), "%s/%04X", dirs[which], (unsigned)(page / SLRU_PAGES));
    rc = dirtree_walk(datadir_tree(f->dir), name, &node);
    if (rc < 0)
        return rc;
    rc = read_file(f, node.id, bytes, RENDER_BLOCK, page % SLRU_PAGES * RENDER_BLOCK);
    return rc == -ENODATA ? -ENOENT : rc; /* the file ends before it */
}
