#include "view/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"

void view_free(struct view *v)
{
    int m;

    if (!v)
        return;
    pg_dump_free(&v->dump);
    coordinator_free(v->coordinator);
    pg_conn_close(v->leader);
    tree_free(&v->tree);
    plan_free(&v->plan);
    pg_catalog_free(v->catalog);
    pg_moment_free(&v->moment);
    pg_server_free(&v->server);
    pg_target_free(&v->target);
    for (m = 0; m < META_FILES; m++)
        buf_free(&v->meta[m]);
    free(v->source);
    free(v);
}

const struct tree *view_tree(const struct view *v)
{
    return &v->tree;
}

struct timespec view_time(const struct view *v)
{
    return (struct timespec){.tv_sec = v->moment.unix_ns / 1000000000,
                             .tv_nsec = v->moment.unix_ns % 1000000000};
}

const char *view_source(const struct view *v)
{
    return v->source;
}

static const struct table_result *result_of(const struct view *v, const struct node *n)
{
    return &coordinator_results(v->coordinator)->tables[n->item];
}

uint64_t view_size(const struct view *v, uint32_t node)
{
    const struct node *n = &v->tree.nodes[node];

    switch (n->kind) {
    case NODE_TABLE:
        return result_of(v, n)->file.size;
    case NODE_META:
        return v->meta[n->item].len;
    default:
        return 0;
    }
}

static int64_t read_table(const struct view *v, const struct flatfile *f, char *buffer, size_t size,
                          uint64_t offset)
{
    struct extent e;
    size_t done = 0;
    int64_t n;

    while (done < size && flatfile_locate(f, offset + done, size - done, &e)) {
        n = io_pread_full(coordinator_spool_fd(v->coordinator, e.file), buffer + done,
                          (size_t)e.length, e.offset);
        if (n < 0)
            return n;
        if ((uint64_t)n < e.length)
            return -EIO; /* a spool file that lost its end: never a short file */
        done += (size_t)n;
    }
    return (int64_t)done;
}

static int64_t read_meta(const struct buf *b, char *buffer, size_t size, uint64_t offset)
{
    if (offset >= b->len)
        return 0;
    if (size > b->len - offset)
        size = b->len - (size_t)offset;
    memcpy(buffer, b->data + offset, size);
    return (int64_t)size;
}

int64_t view_read(const struct view *v, uint32_t node, void *buffer, size_t size, uint64_t offset)
{
    const struct node *n = &v->tree.nodes[node];

    if (n->kind == NODE_TABLE)
        return read_table(v, &result_of(v, n)->file, buffer, size, offset);
    if (n->kind == NODE_META)
        return read_meta(&v->meta[n->item], buffer, size, offset);
    return -EISDIR;
}

int view_xattr(const struct view *v, uint32_t node, const char *name, char value[VIEW_XATTR_MAX])
{
    const struct node *n = &v->tree.nodes[node];
    const struct table_result *r;

    if (n->kind != NODE_TABLE)
        return -ENODATA;
    r = result_of(v, n);
    if (strcmp(name, "user.asofs.rows") == 0)
        return snprintf(value, VIEW_XATTR_MAX, "%llu", (unsigned long long)r->rows);
    if (strcmp(name, "user.asofs.xxh3") == 0)
        return snprintf(value, VIEW_XATTR_MAX, "%016llx", (unsigned long long)r->checksum);
    if (strcmp(name, "user.asofs.lsn") == 0)
        return snprintf(value, VIEW_XATTR_MAX, "%s", v->moment.lsn);
    return -ENODATA;
}

size_t view_xattr_names(const struct view *v, uint32_t node, const char **names)
{
    static const char all[] = "user.asofs.lsn\0user.asofs.rows\0user.asofs.xxh3";

    *names = all;
    return v->tree.nodes[node].kind == NODE_TABLE ? sizeof(all) : 0;
}
