#include "extract/schema.h"

#define CHECK_MS 1000

bool schema_is_running(const struct schema *s)
{
    return s->dump->pid > 0;
}

void schema_hear(struct schema *s)
{
    struct err why;
    int rc = pg_dump_read(s->dump, &why);

    if (rc != 0)
        results_set_schema(s->results, &s->dump->text, rc < 0 ? why.text : NULL);
}

void schema_check(struct schema *s, int64_t now)
{
    bool was_blocked = s->was_blocked;
    struct err why;

    if (!schema_is_running(s) || now - s->checked < CHECK_MS)
        return;
    s->checked = now;
    s->was_blocked = pg_dump_is_blocked(s->leader);
    if (!was_blocked || !s->was_blocked)
        return;
    pg_dump_give_up(s->dump, &why);
    results_set_schema(s->results, NULL, why.text);
}
