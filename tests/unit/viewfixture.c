#include "viewfixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/io.h"
#include "common/mem.h"
#include "extract/spooled.h"
#include "fixture.h"
#include "view/report.h"

struct pg_catalog *viewfixture_catalog(const struct place *places, size_t n)
{
    struct pg_catalog *c = mem_alloc(sizeof(*c));
    size_t i;

    c->ntables = n;
    c->tables = mem_array(n, sizeof(*c->tables));
    for (i = 0; i < n; i++)
        c->tables[i].rel = (struct pg_relation){.oid = (uint32_t)i,
                                                .kind = 'r',
                                                .schema = mem_strdup(places[i].schema),
                                                .name = mem_strdup(places[i].name),
                                                .bytes = 8192,
                                                .blocks = 1};
    return c;
}

static const struct snapshot_request request = {.source = "service=erp",
                                                .format = PG_FORMAT_CSV,
                                                .jobs = 3,
                                                .timezone = "UTC",
                                                .encoding = "UTF8"};

static const struct place view_places[] = {{"public", "items"}, {"public", "a,b"}, {"s", "\"m\""}};

static struct coordinator *make_coordinator(const struct snapshot *s)
{
    struct coordinator_config config = {.workers = s->workers,
                                        .catalog = s->catalog,
                                        .plan = &s->plan,
                                        .results = s->results,
                                        .out_fd = -1};

    return coordinator_new(&config);
}

struct snapshot *viewfixture_snapshot(const char *source, const char *schema_error)
{
    struct snapshot *s = mem_alloc(sizeof(*s));

    s->req = request;
    s->dump = (struct pg_dump){.out_fd = -1, .err_fd = -1};
    s->server = (struct pg_server){.version = 150004,
                                   .version_text = mem_strdup("15.4"),
                                   .database = mem_strdup("erp"),
                                   .user = mem_strdup("planner"),
                                   .encoding = mem_strdup("LATIN1"),
                                   .lc_monetary = mem_strdup("C"),
                                   .system_identifier = mem_strdup("7123")};
    s->source = mem_strdup(source);
    s->encoding = "UTF8";
    s->catalog = viewfixture_catalog(view_places, 3);
    s->catalog->tables[0].rel.bytes = 3 * 8192;
    s->catalog->tables[0].rel.blocks = 3;
    s->catalog->tables[1].rel.kind = 'p';
    s->catalog->tables[2].rel.kind = 'm';
    s->moment = (struct pg_moment){.snapshot_id = mem_strdup("1-1"),
                                   .time = mem_strdup("2026-11-16T08:00:00.123456Z"),
                                   .unix_ns = 1794816000123456000,
                                   .lsn = mem_strdup("0/16B3748")};
    s->started = 1000, s->locked = 1200, s->frozen = 1500;
    plan_make(&s->plan, s->catalog, 8192);
    tree_make(&s->tree, s->catalog, PG_FORMAT_CSV, false, NULL);
    s->workers = workers_new(2, 1000);
    s->results = results_new(&s->plan);
    if (schema_error)
        results_set_schema(s->results, NULL, schema_error);
    s->coordinator = make_coordinator(s);
    return s;
}

struct view *viewfixture_view(const char *source, const char *schema_error)
{
    struct view *v = view_new(source, 1);

    view_add(v, viewfixture_snapshot(source, schema_error));
    return v;
}

struct results *viewfixture_results(const struct view *v)
{
    return snapshot_results(v->members[0].snapshot);
}

/* A spool file in memory, with these bytes. */
static void fill_spool(struct view *v, unsigned i, const char *bytes)
{
    struct workers *w = v->members[0].snapshot->workers;

    w->spools[i].fd = memfd_create("unit", MFD_CLOEXEC);
    assert_int_equal(io_pwrite_all(w->spools[i].fd, bytes, strlen(bytes), 0), 0);
}

void viewfixture_complete(struct view *v, size_t t, struct flatfile *file, uint64_t rows,
                          uint64_t checksum)
{
    struct table_result *r = &viewfixture_results(v)->tables[t];

    r->file = file;
    r->bytes = file->size;
    r->rows = rows;
    r->checksum = checksum;
    r->state = TABLE_COMPLETE;
}

struct flatfile *viewfixture_text(const char *text)
{
    struct buf b = {0};

    buf_puts(&b, text);
    return flatfile_from_text(&b);
}

void viewfixture_fail(struct view *v, size_t t, const char *why)
{
    struct table_result *r = &viewfixture_results(v)->tables[t];

    r->error = mem_strdup(why);
    r->state = TABLE_FAILED;
}

int viewfixture_set_up(void **state)
{
    struct view *v = viewfixture_view("erp@db1", NULL);
    const struct spool *spools = v->members[0].snapshot->workers->spools;
    struct spooled *s = spooled_new(3);

    fill_spool(v, 0, "??1,bolt\n??");
    fill_spool(v, 1, "id,name\n");
    spooled_set(s, 0, spools[1].fd, 0, 8);
    spooled_set(s, 1, spools[0].fd, 2, 0);
    spooled_set(s, 2, spools[0].fd, 2, 7);
    viewfixture_complete(v, 0, spooled_seal(s), 12, 0xabc);
    *state = v;
    return 0;
}

int viewfixture_tear_down(void **state)
{
    view_free(*state);
    view_free(NULL);
    return 0;
}

char *viewfixture_report(const struct view *v, enum meta_file which)
{
    struct flatfile *f = report_make(v->members[0].snapshot, which);
    char *text = mem_alloc((size_t)f->size + 1);

    assert_int_equal(flatfile_read(f, text, (size_t)f->size, 0), f->size);
    flatfile_free(f);
    return text;
}

int viewfixture_set_up_place(void **state)
{
    struct place_below *p = mem_alloc(sizeof(*p));

    p->dir = fixture_make_dir();
    p->out = mem_printf("%s/out", p->dir);
    *state = p;
    return 0;
}

int viewfixture_tear_down_place(void **state)
{
    struct place_below *p = *state;

    fixture_remove_dir(p->dir);
    free(p->out);
    free(p);
    return 0;
}
