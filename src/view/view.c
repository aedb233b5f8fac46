#include "view/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "view/rendering.h"
#include "view/report.h"
#include "view/writing.h"

/* ---- its life ---- */

struct view *view_new(const char *source, size_t room)
{
    struct view *v = mem_alloc(sizeof(*v));

    v->source = mem_strdup(source);
    v->members = mem_array(room, sizeof(*v->members));
    v->tree = &v->joined;
    v->started = clock_ms();
    v->halt_fd = -1;
    pthread_mutex_init(&v->lock, NULL);
    return v;
}

void view_add(struct view *v, struct snapshot *s)
{
    v->members[v->n++] = (struct member){.snapshot = s, .out_fd = -1};
    v->tree = &s->tree;
}

void view_join(struct view *v, char *const *dirs, bool pages)
{
    const struct tree **trees = mem_array(v->n, sizeof(*trees));
    size_t i;

    for (i = 0; i < v->n; i++)
        trees[i] = &v->members[i].snapshot->tree;
    tree_join(&v->joined, trees, dirs, v->n, pages);
    v->tree = &v->joined;
    free(trees);
}

void view_stop(struct view *v)
{
    uint64_t one = 1;

    if (!v)
        return;
    rendering_stop(v->rendering);
    if (!v->threaded)
        return;
    (void)!write(v->halt_fd, &one, sizeof(one));
    pthread_join(v->thread, NULL);
    v->threaded = false;
}

static void free_member(struct member *m)
{
    int i;

    snapshot_free(m->snapshot);
    if (m->out_fd >= 0)
        close(m->out_fd);
    for (i = 0; i < META_FILES; i++)
        flatfile_free(m->texts[i]);
}

void view_free(struct view *v)
{
    size_t i;

    if (!v)
        return;
    view_stop(v);
    writing_end(v->writing);
    if (v->halt_fd >= 0)
        close(v->halt_fd);
    for (i = 0; i < v->n; i++)
        free_member(&v->members[i]);
    rendering_free(v->rendering); /* after the results, which point into it */
    free(v->members);
    tree_free(&v->joined);
    pthread_mutex_destroy(&v->lock);
    free(v->source);
    free(v);
}

/* ---- names and times ---- */

const struct tree *view_tree(const struct view *v)
{
    return v->tree;
}

struct timespec view_time(const struct view *v)
{
    return snapshot_time(v->members[0].snapshot);
}

const char *view_source(const struct view *v)
{
    return v->source;
}

void view_get_facts(const struct view *v, struct view_facts *f)
{
    const struct snapshot *s = v->members[0].snapshot;

    *f = (struct view_facts){.catalog = s->catalog,
                             .plan = &s->plan,
                             .source = s->source,
                             .database = s->server.database,
                             .system_identifier = s->of_store ? NULL : s->server.system_identifier,
                             .server_started = s->of_store ? NULL : s->server.started,
                             .moment = s->moment.time,
                             .lsn = s->moment.lsn,
                             .target = &s->target,
                             .snapshot_id = s->moment.snapshot_id,
                             .encoding = s->encoding,
                             .timezone = s->req.timezone,
                             .lc_monetary = s->server.lc_monetary,
                             .format = s->req.format,
                             .results = snapshot_results(s)};
}

/* ---- the state of a file ---- */

void view_on_settled(struct view *v, void (*settled)(void *arg), void *arg)
{
    v->settled = settled;
    v->settled_arg = arg;
}

static struct member *member_of(const struct view *v, const struct node *n)
{
    return &v->members[n->member];
}

static bool is_final(struct view *v, const struct member *m, uint32_t text)
{
    bool r;

    pthread_mutex_lock(&v->lock);
    r = m->final[text];
    pthread_mutex_unlock(&v->lock);
    return r;
}

static enum view_state table_view_state(const struct member *m, uint32_t table)
{
    enum table_state s = results_state(snapshot_results(m->snapshot), table);

    return s == TABLE_COMPLETE ? VIEW_FINAL : s == TABLE_FAILED ? VIEW_FAILED : VIEW_PENDING;
}

enum view_state view_state(struct view *v, uint32_t node)
{
    const struct node *n = &v->tree->nodes[node];
    const struct member *m = member_of(v, n);

    if (n->kind == NODE_TABLE)
        return table_view_state(m, n->item);
    if (node_is_dir(n) || is_final(v, m, n->item))
        return VIEW_FINAL;
    return n->item == META_SCHEMA ? VIEW_PENDING : VIEW_LIVE;
}

void view_prefer(struct view *v, uint32_t node)
{
    const struct node *n = &v->tree->nodes[node];

    if (n->kind != NODE_TABLE)
        return;
    if (snapshot_renders(member_of(v, n)->snapshot, n->item))
        rendering_prefer(v->rendering, n->member, n->item);
    else
        coordinator_prefer(member_of(v, n)->snapshot->coordinator, n->item);
}

/* ---- final files ---- */

/* Of a table that is complete: nothing of it changes, so it is read without the lock. */
static const struct table_result *result_of(const struct view *v, const struct node *n)
{
    return &snapshot_results(member_of(v, n)->snapshot)->tables[n->item];
}

static uint64_t checksum_of(const struct view *v, const struct node *n)
{
    return results_checksum(snapshot_results(member_of(v, n)->snapshot), n->item);
}

struct flatfile *view_live_text(struct view *v, uint32_t node)
{
    const struct node *n = &v->tree->nodes[node];

    return report_make(member_of(v, n)->snapshot, (enum meta_file)n->item);
}

const struct flatfile *view_file(struct view *v, uint32_t node)
{
    const struct node *n = &v->tree->nodes[node];

    if (node_is_dir(n) || view_state(v, node) != VIEW_FINAL)
        return NULL;
    return n->kind == NODE_TABLE ? result_of(v, n)->file : member_of(v, n)->texts[n->item];
}

static uint64_t live_size(struct view *v, uint32_t node)
{
    struct flatfile *f = view_live_text(v, node);
    uint64_t size = f->size;

    flatfile_free(f);
    return size;
}

uint64_t view_size(struct view *v, uint32_t node)
{
    const struct flatfile *f = view_file(v, node);

    if (f)
        return f->size;
    return v->tree->nodes[node].kind == NODE_META ? live_size(v, node) : 0;
}

int view_xattr(struct view *v, uint32_t node, const char *name, char value[VIEW_XATTR_MAX])
{
    const struct node *n = &v->tree->nodes[node];
    const struct table_result *r;
    uint64_t sum;

    if (n->kind != NODE_TABLE || strncmp(name, "user.asofs.", 11) != 0)
        return -ENODATA;
    r = result_of(v, n);
    if (strcmp(name, "user.asofs.rows") == 0)
        return snprintf(value, VIEW_XATTR_MAX, "%llu", (unsigned long long)r->rows);
    sum = checksum_of(v, n);
    if (strcmp(name, "user.asofs.xxh3") == 0 && sum)
        return snprintf(value, VIEW_XATTR_MAX, "%016llx", (unsigned long long)sum);
    if (strcmp(name, "user.asofs.lsn") == 0)
        return snprintf(value, VIEW_XATTR_MAX, "%s", member_of(v, n)->snapshot->moment.lsn);
    return -ENODATA;
}

size_t view_xattr_names(struct view *v, uint32_t node, const char **names)
{
    static const char all[] = "user.asofs.lsn\0user.asofs.rows\0user.asofs.xxh3";
    const struct node *n = &v->tree->nodes[node];

    *names = all;
    if (n->kind != NODE_TABLE)
        return 0;
    if (view_state(v, node) != VIEW_FINAL || checksum_of(v, n))
        return sizeof(all);
    return sizeof("user.asofs.lsn\0user.asofs.rows");
}
