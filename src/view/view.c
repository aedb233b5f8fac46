#include "view/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "view/report.h"

void view_stop(struct view *v)
{
    uint64_t one = 1;

    if (!v || !v->threaded)
        return;
    (void)!write(v->halt_fd, &one, sizeof(one));
    pthread_join(v->thread, NULL);
    v->threaded = false;
}

void view_free(struct view *v)
{
    int m;

    if (!v)
        return;
    if (v->cluster) {
        cluster_free(v);
        return;
    }
    view_stop(v);
    if (v->halt_fd >= 0)
        close(v->halt_fd);
    pg_dump_free(&v->dump);
    coordinator_free(v->coordinator);
    crew_free(v->crew);
    pg_conn_close(v->leader);
    tree_free(&v->tree);
    plan_free(&v->plan);
    pg_catalog_free(v->catalog);
    pg_moment_free(&v->moment);
    pg_server_free(&v->server);
    pg_target_free(&v->target);
    for (m = 0; m < META_FILES; m++)
        buf_free(&v->meta[m]);
    pthread_mutex_destroy(&v->lock);
    free(v->source);
    free(v);
}

const struct tree *view_tree(const struct view *v)
{
    return &v->tree;
}

struct timespec view_time(const struct view *v)
{
    if (v->cluster)
        return view_time(cluster_first(v));
    return (struct timespec){.tv_sec = v->moment.unix_ns / 1000000000,
                             .tv_nsec = v->moment.unix_ns % 1000000000};
}

const char *view_source(const struct view *v)
{
    return v->source;
}

void view_on_settled(struct view *v, void (*settled)(void *arg), void *arg)
{
    v->settled = settled;
    v->settled_arg = arg;
}

static bool is_reported(struct view *v)
{
    bool r;

    pthread_mutex_lock(&v->lock);
    r = v->reported;
    pthread_mutex_unlock(&v->lock);
    return r;
}

static enum view_state table_view_state(struct view *v, uint32_t table)
{
    struct results *r = view_results(v);
    enum table_state s;

    pthread_mutex_lock(&r->lock);
    s = r->tables[table].state;
    pthread_mutex_unlock(&r->lock);
    return s == TABLE_COMPLETE ? VIEW_FINAL : s == TABLE_FAILED ? VIEW_FAILED : VIEW_PENDING;
}

enum view_state view_state(struct view *v, uint32_t node)
{
    const struct node *n;

    v = view_of_node(v, &node);
    n = &v->tree.nodes[node];
    if (n->kind == NODE_TABLE)
        return table_view_state(v, n->item);
    if (node_is_dir(n) || is_reported(v))
        return VIEW_FINAL;
    return n->item == META_SCHEMA ? VIEW_PENDING : VIEW_LIVE;
}

void view_prefer(struct view *v, uint32_t node)
{
    v = view_of_node(v, &node);
    if (v->tree.nodes[node].kind == NODE_TABLE)
        coordinator_prefer(v->coordinator, v->tree.nodes[node].item);
}

/* Of a table that is complete: nothing of it changes, so it is read without the lock. */
static const struct table_result *result_of(const struct view *v, const struct node *n)
{
    return &view_results(v)->tables[n->item];
}

void view_live_text(struct view *v, uint32_t node, char **text, size_t *len)
{
    struct buf b = {0};

    v = view_of_node(v, &node);
    report_make(v, v->tree.nodes[node].item, &b);
    *len = b.len;
    *text = buf_steal(&b);
}

static uint64_t meta_size(struct view *v, uint32_t node)
{
    char *text;
    size_t len;

    if (is_reported(v))
        return v->meta[v->tree.nodes[node].item].len;
    view_live_text(v, node, &text, &len);
    free(text);
    return len;
}

uint64_t view_size(struct view *v, uint32_t node)
{
    const struct node *n;

    v = view_of_node(v, &node);
    n = &v->tree.nodes[node];
    switch (n->kind) {
    case NODE_TABLE:
        return result_of(v, n)->bytes;
    case NODE_META:
        return meta_size(v, node);
    default:
        return 0;
    }
}

/* Short only at the end of the file; a file that lost its end is an error. */
static int64_t read_own(const struct table_result *r, char *buffer, size_t size, uint64_t offset)
{
    int64_t n;

    if (offset >= r->bytes)
        return 0;
    if (size > r->bytes - offset)
        size = (size_t)(r->bytes - offset);
    n = io_pread_full(r->own_fd, buffer, size, offset);
    return n < 0 || (size_t)n == size ? n : -EIO;
}

static int64_t read_table(const struct view *v, const struct table_result *r, char *buffer,
                          size_t size, uint64_t offset)
{
    const struct flatfile *f = &r->file;
    struct extent e;
    size_t done = 0;
    int64_t n;

    if (r->own_fd >= 0)
        return read_own(r, buffer, size, offset);
    while (done < size && flatfile_locate(f, offset + done, size - done, &e)) {
        n = io_pread_full(v->crew->spools[e.file].fd, buffer + done, (size_t)e.length, e.offset);
        if (n < 0)
            return n;
        if ((uint64_t)n < e.length)
            return -EIO; /* a spool file that lost its end: never a short file */
        done += (size_t)n;
    }
    return (int64_t)done;
}

int view_own_fd(struct view *v, uint32_t node)
{
    const struct node *n;

    v = view_of_node(v, &node);
    n = &v->tree.nodes[node];
    return n->kind == NODE_TABLE ? result_of(v, n)->own_fd : -1;
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

int64_t view_read(struct view *v, uint32_t node, void *buffer, size_t size, uint64_t offset)
{
    const struct node *n;

    v = view_of_node(v, &node);
    n = &v->tree.nodes[node];
    if (node_is_dir(n))
        return -EISDIR;
    if (view_state(v, node) != VIEW_FINAL)
        return -EIO;
    if (n->kind == NODE_TABLE)
        return read_table(v, result_of(v, n), buffer, size, offset);
    return read_meta(&v->meta[n->item], buffer, size, offset);
}

int view_xattr(struct view *v, uint32_t node, const char *name, char value[VIEW_XATTR_MAX])
{
    const struct table_result *r;
    const struct node *n;

    v = view_of_node(v, &node);
    n = &v->tree.nodes[node];
    if (n->kind != NODE_TABLE || strncmp(name, "user.asofs.", 11) != 0)
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
