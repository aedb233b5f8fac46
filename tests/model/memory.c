/*
 * What a memory answers (pg/memory.h), against the server that it is of: for tests/mount/memory.test.
 *
 * usage: memory CONNINFO [FILE] <LINES   (FILE: where its bytes are left; an input of tests/fuzz/fuzz_memory)
 *
 * Each line is a copy-table list: patterns with a tab between them; "!" before one excludes what it matches, "~" in front of
 * all lets them match nothing. What both make of it is compared: tables, columns, leaves, sizes, what is left out,
 * missed, heaps and types; or the words of the refusal. A line for each difference, and "server: LINE" where memory leaves it to
 * the server; at the end how many lines there were.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/freeze.h"
#include "pg/heaps.h"
#include "pg/memory.h"

#define MOST 16

static _Noreturn void give_up(const struct err *err)
{
    fprintf(stderr, "memory: %s\n", err->text);
    exit(1);
}

/* ---- in words ---- */

static void put_relation(struct buf *b, const struct pg_relation *r)
{
    buf_printf(b, "%u %c %s %s %llu %llu %d%d%d%d\n", r->oid, r->kind, r->schema, r->name,
               (unsigned long long)r->bytes, (unsigned long long)r->blocks, r->readable,
               r->lockable, r->row_security, r->refreshed);
}

static void put_catalog(struct buf *b, const struct pg_catalog *c)
{
    size_t i, k;

    for (i = 0; i < c->ntables; i++) {
        const struct pg_table *t = &c->tables[i];

        put_relation(b, &t->rel);
        for (k = 0; k < t->ncolumns; k++)
            buf_printf(b, " %s %u %s <%s> %d\n", t->columns[k].name, t->columns[k].type,
                       t->columns[k].type_name, t->columns[k].inside, t->columns[k].generated);
        for (k = 0; k < t->nleaves; k++)
            put_relation(b, &t->leaves[k]);
        buf_printf(b, "%s\n", t->filter_where);
    }
    for (i = 0; i < c->nleft_out; i++)
        buf_printf(b, "left out %d %s\n", (int)c->left_out[i].why, c->left_out[i].name);
    for (i = 0; i < c->nmissed; i++)
        buf_printf(b, "missed %zu\n", c->missed[i]);
}

static void put_heaps(struct buf *b, const struct pg_heaps *h)
{
    size_t i, k;

    buf_printf(b, "%d %u %u %u %d %s %s\n", h->version, h->block_bytes, h->max_align, h->toast_chunk,
               h->checksums, h->encoding, h->timezone);
    for (i = 0; i < h->nheaps; i++) {
        const struct pg_heap *p = &h->heaps[i];

        buf_printf(b, "%u %s %d%d %c %s %s\n", p->oid, p->method, p->is_heap, p->is_foreign,
                   p->persistence, p->path ? p->path : "-", p->toast_path ? p->toast_path : "-");
        for (k = 0; k < p->nattributes; k++) {
            const struct pg_heap_attribute *a = &p->attributes[k];

            buf_printf(b, " %s %u %d %c %d%d%d %s %lld\n", a->name, a->type, a->len, a->align,
                       a->is_virtual, a->is_moment, a->missing_unread,
                       a->missing ? a->missing : "-", (long long)a->moment);
        }
    }
}

/* Of all the types that the server names, memory has to know the same; it knows more. */
static void put_types(struct buf *b, const struct pg_heaps *server, const struct pg_heaps *h)
{
    size_t i, k;

    for (i = 0; i < server->ntypes; i++) {
        const struct pg_heap_type *t = pg_heaps_find_type(h, server->types[i].oid);

        if (!t)
            continue;
        buf_printf(b, "%u %c %d %c %c %d%d %u %s\n", t->oid, t->kind, t->len, t->align,
                   t->delimiter, t->is_array, t->is_foreign, t->element, t->name);
        for (k = 0; k < t->nlabels; k++)
            buf_printf(b, " %u %s\n", t->labels[k].oid, t->labels[k].text);
        for (k = 0; k < t->nfields; k++)
            buf_printf(b, " %u %d %c\n", t->fields[k].type, t->fields[k].len, t->fields[k].align);
    }
}

/* ---- asking both ---- */

struct list {
    struct pg_selection entries[MOST];
    size_t n;
    bool may_miss;
};

struct said {
    int rc;
    struct buf words;
    struct pg_heaps *heaps;
};

static void take_words(struct said *s, struct pg_conn *conn, struct pg_catalog *c, struct err *err)
{
    if (s->rc == 0)
        s->rc = pg_heaps_read(conn, c, &s->heaps, err);
    if (s->rc == 0) {
        put_catalog(&s->words, c);
        put_heaps(&s->words, s->heaps);
    } else {
        buf_puts(&s->words, err->text);
    }
    pg_catalog_free(c);
}

static void ask_server(struct pg_conn *conn, const struct pg_server *server, const struct list *l,
                       struct said *s)
{
    struct pg_freeze_request f = {.server = server,
                                  .entries = l->entries,
                                  .nentries = l->n,
                                  .may_miss = l->may_miss,
                                  .lock_timeout_ms = 10000,
                                  .sessions = 1};
    struct pg_catalog *c = NULL;
    struct pg_moment m = {0};
    struct err err;

    s->rc = pg_freeze_export(conn, &f, &c, &m, &err);
    take_words(s, conn, c, &err);
    pg_moment_free(&m);
    if (c && pg_freeze_release(conn, &err) < 0)
        give_up(&err);
}

static void ask_memory(const struct pg_memory *m, const struct list *l, struct said *s)
{
    const struct pg_catalog_how how = {.exact_sizes = true, .may_miss = l->may_miss};
    struct pg_conn *conn = pg_memory_connect(m);
    struct pg_catalog *c = NULL;
    struct pg_server server;
    struct err err;

    pg_memory_server(m, &server);
    s->rc = pg_catalog_read(conn, &server, l->entries, l->n, &how, &c, &err);
    take_words(s, conn, c, &err);
    pg_server_free(&server);
    pg_conn_close(conn);
}

static bool is_same(struct said *server, struct said *memory)
{
    if (server->rc == 0 && memory->rc == 0) {
        put_types(&server->words, server->heaps, server->heaps);
        put_types(&memory->words, server->heaps, memory->heaps);
    }
    return server->rc == memory->rc && strcmp(server->words.data, memory->words.data) == 0;
}

static void free_said(struct said *s)
{
    buf_free(&s->words);
    pg_heaps_free(s->heaps);
}

/* ---- the lines ---- */

static void parse_list(char *line, struct list *l)
{
    struct err err;
    char *p, *save;

    *l = (struct list){.may_miss = *line == '~'};
    for (p = strtok_r(line + l->may_miss, "\t\n", &save); p && l->n < MOST;
         p = strtok_r(NULL, "\t\n", &save)) {
        struct pg_selection *e = &l->entries[l->n++];

        e->exclude = *p == '!';
        e->where = mem_printf("entry %zu", l->n);
        if (pg_pattern_parse(p + e->exclude, &e->pattern, &err) < 0)
            give_up(&err);
    }
}

static void free_list(struct list *l)
{
    size_t i;

    for (i = 0; i < l->n; i++) {
        pg_pattern_free(&l->entries[i].pattern);
        free(l->entries[i].where);
    }
}

static bool try_line(struct pg_conn *conn, const struct pg_server *server,
                     const struct pg_memory *m, const char *line)
{
    struct said by_server = {0}, by_memory = {0};
    char *copy = mem_strdup(line);
    struct list l;
    bool same = true;

    parse_list(copy, &l);
    ask_memory(m, &l, &by_memory);
    if (by_memory.rc == -EREMOTE) {
        printf("server: %s", line);
    } else {
        ask_server(conn, server, &l, &by_server);
        same = is_same(&by_server, &by_memory);
        if (!same)
            printf("other: %s---- server %d\n%s\n---- memory %d\n%s\n", line, by_server.rc,
                   by_server.words.data, by_memory.rc, by_memory.words.data);
    }
    free_said(&by_server);
    free_said(&by_memory);
    free_list(&l);
    free(copy);
    return same;
}

static void leave_bytes(const char *path, const struct buf *b)
{
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(b->data, 1, b->len, f) != b->len || fclose(f) != 0)
        exit(1);
}

/* As it comes back from a file. */
static struct pg_memory *remember(struct pg_conn *conn, const char *path)
{
    struct pg_memory *m, *again;
    struct buf bytes = {0};
    struct err err;
    size_t cut;

    if (pg_memory_make(conn, &m, &err) < 0)
        give_up(&err);
    pg_memory_put(m, &bytes);
    pg_memory_free(m);
    for (cut = 1; cut < 3000 && cut < bytes.len; cut += 7)
        if (pg_memory_get(bytes.data, bytes.len - cut))
            printf("what is cut by %zu is a memory\n", cut);
    again = pg_memory_get(bytes.data, bytes.len);
    if (path)
        leave_bytes(path, &bytes);
    buf_free(&bytes);
    if (!again)
        exit(1);
    return again;
}

int main(int argc, char **argv)
{
    struct pg_session session = {.application_name = "memory",
                                 .timezone = "UTC",
                                 .stop_fd = -1,
                                 .connect_timeout_ms = 30000,
                                 .query_timeout_ms = 30000};
    struct pg_target target;
    struct pg_server server;
    struct pg_memory *m;
    struct pg_conn *conn;
    struct err err;
    char line[4096];
    size_t n = 0;
    bool same = true;

    if (argc != 2 && argc != 3)
        return 2;
    pg_target_init(&target, argv[1]);
    if (pg_conn_open(&conn, &target, &session, &err) < 0 ||
        pg_conn_inspect(conn, &server, &err) < 0)
        give_up(&err);
    m = remember(conn, argv[2]);
    for (; fgets(line, sizeof(line), stdin); n++)
        same = try_line(conn, &server, m, line) && same;
    printf("%zu lines\n", n);
    pg_memory_free(m);
    pg_server_free(&server);
    pg_conn_close(conn);
    pg_target_free(&target);
    return same ? 0 : 1;
}
