/* What is remembered of a server: any bytes are a memory or none, and what it answers is checked like a server's.
 * (An input that holds what asofs asks is written by tests/model/memory.) */
#include <stdlib.h>

#include "common/mem.h"
#include "fuzz.h"
#include "pg/catalog.h"
#include "pg/heaps.h"
#include "pg/memory.h"

/* Of tables that were found all columns are there, and all of it can be freed. */
static void read_all(const struct pg_memory *m, const struct pg_selection *entries, size_t n)
{
    const struct pg_catalog_how how = {.exact_sizes = true, .may_miss = true};
    struct pg_conn *conn = pg_memory_connect(m);
    struct pg_catalog *c = NULL;
    struct pg_heaps *h = NULL;
    struct pg_server server;
    struct err err;

    pg_memory_server(m, &server);
    if (pg_catalog_read(conn, &server, entries, n, &how, &c, &err) == 0) {
        if (pg_heaps_read(conn, c, &h, &err) == 0)
            pg_heaps_free(h);
        pg_catalog_free(c);
    }
    pg_server_free(&server);
    pg_conn_close(conn);
}

static void put_again(const struct pg_memory *m)
{
    struct pg_memory *again;
    struct buf b = {0};

    pg_memory_put(m, &b);
    again = pg_memory_get(b.data, b.len);
    if (!again)
        abort();
    pg_memory_free(again);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pg_selection entry = {.where = (char *)(uintptr_t) "here"};
    char *exact = mem_alloc(size ? size : 1);
    struct pg_memory *m;
    struct err err;
    size_t i;

    for (i = 0; i < size; i++)
        exact[i] = (char)data[i];
    m = pg_memory_get(exact, size);
    free(exact);
    if (!m)
        return 0;
    put_again(m);
    read_all(m, NULL, 0);
    if (pg_pattern_parse("s*_?", &entry.pattern, &err) == 0) {
        read_all(m, &entry, 1);
        pg_pattern_free(&entry.pattern);
    }
    pg_memory_free(m);
    return 0;
}
