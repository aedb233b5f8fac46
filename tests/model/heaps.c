/*
 * Prints what is known of heaps (pg/heaps.h), and which tables would be rendered (view/describe.h), for
 * tests/mount/heaps.test.
 *
 * usage: heaps CONNINFO [LIST [ENCODING]]   (LIST: a copy-table list)
 *
 * Lines of fields with "|" between them; a NULL is "-", and a text that there is stands in "<>":
 *   cluster|ENCODING|BLOCK|ALIGN|CHECKSUMS|TIMEZONE
 *   heap|OID|METHOD|IS_HEAP|IS_FOREIGN|PERSISTENCE|PATH|TOAST
 *   attribute|HEAP|NUMBER|NAME|TYPE|LEN|ALIGN|VIRTUAL|UNREAD|MISSING|MOMENT
 *   type|OID|KIND|LEN|ALIGN|DELIMITER|IS_ARRAY|IS_FOREIGN|ELEMENT|NAME
 *   field|TYPE|NUMBER|TYPE|LEN|ALIGN
 *   label|TYPE|OID|TEXT
 *   table|NAME|COPIED|RUNS_CODE|ZONED|ZONED_MISSING
 *   relation|NAME|PATH|TOAST|COLUMNS   (numbers of attributes, from 1)
 */
#include <stdio.h>
#include <stdlib.h>

#include "extract/tablelist.h"
#include "pg/freeze.h"
#include "pg/heaps.h"
#include "view/describe.h"

#define TIMEZONE "Asia/Kathmandu"

static _Noreturn void give_up(const struct err *err)
{
    fprintf(stderr, "heaps: %s\n", err->text);
    exit(1);
}

static const char *yes(bool is)
{
    return is ? "t" : "f";
}

static void print_heap(const struct pg_heap *h)
{
    size_t i;

    printf("heap|%u|%s|%s|%s|%c|%s|%s\n", h->oid, h->method, yes(h->is_heap), yes(h->is_foreign),
           h->persistence, h->path ? h->path : "-", h->toast_path ? h->toast_path : "-");
    for (i = 0; i < h->nattributes; i++) {
        const struct pg_heap_attribute *a = &h->attributes[i];

        printf("attribute|%u|%zu|%s|%u|%d|%c|%s|%s|", h->oid, i + 1, a->name, a->type, a->len,
               a->align, yes(a->is_virtual), yes(a->missing_unread));
        printf(a->missing ? "<%s>" : "-", a->missing);
        printf(a->is_moment ? "|%lld\n" : "|-\n", (long long)a->moment);
    }
}

static void print_type(const struct pg_heap_type *t)
{
    size_t i;

    printf("type|%u|%c|%d|%c|%c|%s|%s|%u|%s\n", t->oid, t->kind, t->len, t->align, t->delimiter,
           yes(t->is_array), yes(t->is_foreign), t->element, t->name);
    for (i = 0; i < t->nfields; i++)
        printf("field|%u|%zu|%u|%d|%c\n", t->oid, i + 1, t->fields[i].type, t->fields[i].len,
               t->fields[i].align);
    for (i = 0; i < t->nlabels; i++)
        printf("label|%u|%u|%s\n", t->oid, t->labels[i].oid, t->labels[i].text);
}

static void check_found(const struct pg_heaps *h)
{
    size_t i;

    for (i = 0; i < h->nheaps; i++)
        if (pg_heaps_find(h, h->heaps[i].oid) != &h->heaps[i])
            printf("heap %u is not found\n", h->heaps[i].oid);
    for (i = 0; i < h->ntypes; i++)
        if (pg_heaps_find_type(h, h->types[i].oid) != &h->types[i])
            printf("type %u is not found\n", h->types[i].oid);
    if (pg_heaps_find(h, 1) || pg_heaps_find_type(h, 1))
        printf("found what is not there\n");
}

static void print_all(const struct pg_heaps *h)
{
    size_t i;

    printf("cluster|%s|%u|%u|%s|%s|%u\n", h->encoding, h->block_bytes, h->max_align,
           yes(h->checksums), h->timezone, h->toast_chunk);
    for (i = 0; i < h->nheaps; i++)
        print_heap(&h->heaps[i]);
    for (i = 0; i < h->ntypes; i++)
        print_type(&h->types[i]);
    check_found(h);
}

static void print_relation(const struct described_relation *r)
{
    size_t i;

    printf("relation|%s|%s|%s|", r->name, r->path, r->toast_path ? r->toast_path : "-");
    for (i = 0; i < r->ncolumns; i++)
        printf("%s%d", i ? "," : "", r->columns[i] + 1);
    printf("\n");
}

static void print_tables(const struct pg_catalog *c, const struct described *d)
{
    size_t i, k;

    for (i = 0; i < d->ntables; i++) {
        const struct described_table *t = &d->tables[i];

        printf("table|%s|%s|%s|%s|%s\n", c->tables[i].rel.name, t->copied ? t->copied : "-",
               yes(t->runs_code), yes(t->zoned), yes(t->zoned_missing));
        for (k = 0; k < t->nrelations; k++)
            print_relation(&t->relations[k]);
    }
}

static void describe_all(const struct pg_catalog *c, struct pg_heaps *h, const char *encoding)
{
    struct describe_request r = {
        .catalog = c, .heaps = h, .encoding = encoding, .timezone = TIMEZONE, .has_zone = true};
    struct described *d = describe_tables(&r);

    print_tables(c, d);
    described_free(d);
}

static int read_all(struct pg_conn *conn, struct pg_server *server, char **args, struct err *err)
{
    struct pg_freeze_request req = {
        .server = server, .may_miss = true, .lock_timeout_ms = 60000, .sessions = 1};
    struct tablelist list = {0};
    struct pg_catalog *catalog;
    struct pg_moment moment = {0};
    struct pg_heaps *h;
    int rc = args[0] ? tablelist_read(&list, args[0], err) : 0;

    req.entries = list.entries, req.nentries = list.n;
    if (rc < 0 || (rc = pg_freeze_export(conn, &req, &catalog, &moment, err)) < 0)
        return rc;
    rc = pg_heaps_read(conn, catalog, &h, err);
    if (rc == 0) {
        print_all(h);
        describe_all(catalog, h, args[0] && args[1] ? args[1] : h->encoding);
    }
    pg_heaps_free(h);
    pg_moment_free(&moment);
    pg_catalog_free(catalog);
    tablelist_free(&list);
    return rc;
}

int main(int argc, char **argv)
{
    struct pg_session session = {.application_name = "asofs heaps",
                                 .timezone = TIMEZONE,
                                 .stop_fd = -1,
                                 .connect_timeout_ms = 60000};
    struct pg_server server = {0};
    struct pg_target target;
    struct pg_conn *conn;
    struct err err;

    if (argc < 2)
        return 2;
    pg_target_init(&target, argv[1]);
    if (pg_conn_open(&conn, &target, &session, &err) < 0 ||
        pg_conn_inspect(conn, &server, &err) < 0 || read_all(conn, &server, argv + 2, &err) < 0)
        give_up(&err);
    pg_server_free(&server);
    pg_conn_close(conn);
    pg_target_free(&target);
    return 0;
}
