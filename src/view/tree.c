#include "view/tree.h"

#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/hash.h"
#include "common/mem.h"
#include "view/frame.h"

#define META_DIR ".asofs"
#define PAGES_DIR "pages"

struct name { /* a table's place, for sorting */
    char *dir, *file;
    uint32_t table;
};

const char *tree_meta_name(enum meta_file m)
{
    static const char *const names[] = {"chunks.csv",    "columns.csv", "errors",    "schema.sql",
                                        "snapshot.json", "status.json", "tables.csv"};

    return names[m];
}

static int by_place(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    int d = strcmp(x->dir, y->dir);

    return d ? d : strcmp(x->file, y->file);
}

static struct name *collect_names(struct tree *t, const struct pg_catalog *c, enum pg_format format,
                                  const bool *compressed)
{
    struct name *names = mem_array(c->ntables, sizeof(*names));
    size_t i;

    t->paths = mem_array(c->ntables, sizeof(*t->paths));
    t->npaths = c->ntables;
    for (i = 0; i < c->ntables; i++) {
        char *file = escape_name(c->tables[i].rel.name);

        names[i].dir = escape_name(c->tables[i].rel.schema);
        names[i].file = mem_printf("%s%s%s", file, pg_format_extension(format),
                                   compressed && compressed[i] ? FRAME_SUFFIX : "");
        names[i].table = (uint32_t)i;
        t->paths[i] = mem_printf("%s/%s", names[i].dir, names[i].file);
        free(file);
    }
    qsort(names, c->ntables, sizeof(*names), by_place);
    return names;
}

static uint32_t add_node(struct tree *t, enum node_kind kind, uint32_t parent, const char *name,
                         uint32_t item)
{
    struct node *n = &t->nodes[t->n];

    *n = (struct node){.kind = kind, .name = mem_strdup(name), .parent = parent, .item = item};
    if (t->n) {
        struct node *p = &t->nodes[parent];

        if (p->nchildren++ == 0)
            p->children = t->n;
        p->subdirs += node_is_dir(n);
    }
    return t->n++;
}

/* Directories first, level by level, so that the children of each stand together. */
static void add_directories(struct tree *t, const struct name *names, size_t n)
{
    bool meta_done = false;
    size_t i;

    add_node(t, NODE_DIR, 0, "", 0);
    for (i = 0; i < n; i++) {
        if (i > 0 && strcmp(names[i].dir, names[i - 1].dir) == 0)
            continue;
        if (!meta_done && strcmp(META_DIR, names[i].dir) < 0) {
            add_node(t, NODE_DIR, 0, META_DIR, 0);
            meta_done = true;
        }
        add_node(t, NODE_DIR, 0, names[i].dir, 0);
    }
    if (!meta_done)
        add_node(t, NODE_DIR, 0, META_DIR, 0);
}

static void add_meta(struct tree *t, uint32_t dir, bool pages)
{
    uint32_t m;

    for (m = 0; m < META_FILES; m++) {
        if (pages && m == META_SCHEMA) /* where the name belongs */
            add_node(t, NODE_PAGES, dir, PAGES_DIR, 0);
        add_node(t, NODE_META, dir, tree_meta_name(m), m);
    }
}

static void add_files(struct tree *t, const struct name *names, size_t n, bool pages)
{
    uint32_t dirs = t->n, d;
    size_t i = 0;

    for (d = 1; d < dirs; d++) {
        if (strcmp(t->nodes[d].name, META_DIR) == 0) {
            add_meta(t, d, pages);
            continue;
        }
        for (; i < n && strcmp(names[i].dir, t->nodes[d].name) == 0; i++)
            add_node(t, NODE_TABLE, d, names[i].file, names[i].table);
    }
}

/*
 * 62 bits, so that no program takes it for a negative number; 0 to 15 stay free. A million names
 * share a number with a probability of one in ten million; nothing in asofs relies on them being
 * different.
 */
static void number_inodes(struct tree *t)
{
    struct hash *h = hash_new();
    uint32_t i;

    t->nodes[0].ino = 1;
    for (i = 1; i < t->n; i++) {
        const struct node *p = &t->nodes[t->nodes[i].parent];

        hash_reset(h);
        hash_update(h, p->name, strlen(p->name) + 1);
        hash_update(h, t->nodes[i].name, strlen(t->nodes[i].name));
        t->nodes[i].ino = hash_value(h) >> 2 | 16;
    }
    hash_free(h);
}

void tree_make(struct tree *t, const struct pg_catalog *c, enum pg_format format, bool pages,
               const bool *compressed)
{
    struct name *names;
    size_t i;

    *t = (struct tree){0};
    names = collect_names(t, c, format, compressed);
    /* root, .asofs, its files and pages, and at most one directory for each table */
    t->nodes = mem_array(3 + META_FILES + 2 * c->ntables, sizeof(*t->nodes));
    add_directories(t, names, c->ntables);
    add_files(t, names, c->ntables, pages);
    number_inodes(t);
    for (i = 0; i < c->ntables; i++) {
        free(names[i].dir);
        free(names[i].file);
    }
    free(names);
}

/* The nodes of member `number` but for its root, which has become node `root`. */
static void add_member(struct tree *t, const struct tree *m, uint32_t number, uint32_t root)
{
    uint32_t first = t->n, i;

    t->nodes[root].children = m->nodes[0].children - 1 + first;
    t->nodes[root].nchildren = m->nodes[0].nchildren;
    t->nodes[root].subdirs = m->nodes[0].subdirs;
    for (i = 1; i < m->n; i++) {
        struct node *n = &t->nodes[t->n++];

        *n = m->nodes[i];
        n->name = mem_strdup(n->name);
        n->parent = n->parent ? n->parent - 1 + first : root;
        n->children = n->nchildren ? n->children - 1 + first : 0;
        n->member = number;
    }
}

/* The same schemas and tables are in many databases, so the directory's name counts. */
static void number_joined(struct tree *t, char *const *dirs)
{
    struct hash *h = hash_new();
    uint32_t i;

    t->nodes[0].ino = 1;
    for (i = 1; i < t->n; i++) {
        struct node *n = &t->nodes[i];
        const char *dir = n->parent ? dirs[n->member] : n->name;
        uint64_t own = n->parent ? n->ino : 0;

        hash_reset(h);
        hash_update(h, dir, strlen(dir) + 1);
        hash_update(h, &own, sizeof(own));
        n->ino = hash_value(h) >> 2 | 16;
    }
    hash_free(h);
}

/* The directories at the top; tops[i] is that of member i. */
static void add_tops(struct tree *t, char *const *dirs, size_t n, bool pages, uint32_t *tops)
{
    uint32_t meta = 0;
    size_t i;

    add_node(t, NODE_DIR, 0, "", 0);
    for (i = 0; i <= n; i++) {
        if (pages && !meta && (i == n || strcmp(META_DIR, dirs[i]) < 0))
            meta = add_node(t, NODE_DIR, 0, META_DIR, 0);
        if (i < n) {
            tops[i] = add_node(t, NODE_DIR, 0, dirs[i], 0);
            t->nodes[tops[i]].member = (uint32_t)i;
        }
    }
    if (pages)
        add_node(t, NODE_PAGES, meta, PAGES_DIR, 0);
}

void tree_join(struct tree *t, const struct tree *const *members, char *const *dirs, size_t n,
               bool pages)
{
    uint32_t *tops = mem_array(n, sizeof(*tops));
    size_t i, total = 3;

    for (i = 0; i < n; i++)
        total += members[i]->n;
    *t = (struct tree){.nodes = mem_array(total, sizeof(*t->nodes))};
    add_tops(t, dirs, n, pages, tops);
    for (i = 0; i < n; i++)
        add_member(t, members[i], (uint32_t)i, tops[i]);
    number_joined(t, dirs);
    free(tops);
}

void tree_free(struct tree *t)
{
    size_t i;

    for (i = 0; i < t->n; i++)
        free(t->nodes[i].name);
    for (i = 0; i < t->npaths; i++)
        free(t->paths[i]);
    free(t->nodes);
    free(t->paths);
    *t = (struct tree){0};
}

int64_t tree_lookup(const struct tree *t, uint32_t dir, const char *name)
{
    const struct node *d = &t->nodes[dir];
    uint32_t lo = d->children, hi = d->children + d->nchildren;

    while (d->kind == NODE_DIR && lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int cmp = strcmp(name, t->nodes[mid].name);

        if (cmp == 0)
            return mid;
        if (cmp < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return -1;
}
