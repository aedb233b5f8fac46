/*
 * A journal of names is any bytes at all: first as they are, then with every checksum put right, so
 * that the records after them are reached. What the walk takes is applied to a small tree; a tree
 * that was accepted is looked at and changed.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "framesright.h"
#include "fuzz.h"
#include "pages/dirtree.h"
#include "pages/manifest.h"
#include "pages/names.h"
#include "pages/page.h"

#define MANIFEST_ID 0x1122334455667788u
#define COUNT 6

/* The root with d/, f, l; in d: e/ and g, a further name of f. */
static const char text[] = "\0d\0f\0l\0f\0e\0g";

static struct {
    struct manifest_header header;
    struct manifest_entry entries[COUNT];
    char text[sizeof(text)];
} __attribute__((packed)) base;

static void set_entry(unsigned i, unsigned name, unsigned parent, unsigned first, unsigned children,
                      unsigned mode)
{
    base.entries[i] = (struct manifest_entry){.inode = 100 + (mode & S_IFREG ? first : i),
                                              .name = name,
                                              .parent = parent,
                                              .first = first,
                                              .children = children,
                                              .mode = (uint16_t)mode};
}

static void make_base(void)
{
    memcpy(base.header.magic, MANIFEST_MAGIC, 8);
    base.header.version = MANIFEST_VERSION;
    base.header.count = COUNT;
    base.header.text_bytes = sizeof(text);
    base.header.id = MANIFEST_ID;
    memcpy(base.text, text, sizeof(text));
    set_entry(0, 0, 0, 1, 3, S_IFDIR | 0700);
    set_entry(1, 1, 0, 4, 2, S_IFDIR | 0700);
    set_entry(2, 3, 0, 2, 0, S_IFREG | 0600);
    set_entry(3, 5, 0, 3, 0, S_IFLNK | 0777);
    set_entry(4, 9, 1, 6, 0, S_IFDIR | 0700);
    set_entry(5, 11, 1, 2, 0, S_IFREG | 0600);
    base.entries[5].inode = base.entries[2].inode;
    base.header.crc = crc32c(base.entries, sizeof(base.entries) + sizeof(base.text));
    base.header.header_crc = crc32c(&base.header, offsetof(struct manifest_header, header_crc));
}

static struct manifest *manifest(void)
{
    static struct manifest *m;
    struct err err = {0};

    if (m)
        return m;
    make_base();
    if (manifest_from_bytes(&base, sizeof(base), &m, &err) < 0)
        abort();
    return m;
}

/* Everything that can be reached must be there, and the way down must end. */
static void look(struct dirtree *t, uint64_t dir, unsigned depth)
{
    struct dirtree_listing l;
    struct dirtree_node n;
    size_t i;

    if (depth > 20000 || dirtree_list(t, dir, &l) < 0)
        abort();
    for (i = 0; i < l.count; i++) {
        if (dirtree_lookup(t, dir, l.items[i].name, &n) < 0 || n.id != l.items[i].id ||
            n.links == 0)
            abort();
        if (S_ISDIR(n.mode))
            look(t, n.id, depth + 1);
    }
    dirtree_listing_free(&l);
}

static void apply(const uint8_t *data, size_t size)
{
    struct dirtree *t = dirtree_new(manifest());
    struct err err = {0};
    uint64_t good;

    if (dirtree_apply(t, 0, data, size, &good, &err) == 0) {
        if (good > size || good < FRAMES_START)
            abort();
        look(t, DIRTREE_ROOT, 0);
        free(dirtree_path(t, 2));
        free(dirtree_path(t, 3));
        /* A second layer that says the same is no contradiction. */
        if (dirtree_apply(t, 1, data, (size_t)good, &good, &err) == 0)
            look(t, DIRTREE_ROOT, 0);
    } else if (!*err.text) {
        abort();
    }
    dirtree_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct frames_kind kind = {NAMES_MAGIC, NAMES_VERSION, ""};
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    apply(data, size);
    frames_put_right(copy, size, &kind, MANIFEST_ID);
    apply(copy, size);
    free(copy);
    return 0;
}
