#include "extract/result.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"

void results_init(struct results *r, const struct plan *p)
{
    size_t t, k;

    *r = (struct results){.n = p->ntables};
    pthread_mutex_init(&r->lock, NULL);
    r->tables = mem_array(p->ntables, sizeof(*r->tables));
    for (t = 0; t < p->ntables; t++) {
        r->tables[t].own_fd = -1;
        r->tables[t].chunks = plan_table_chunks(p, t);
        flatfile_init(&r->tables[t].file, r->tables[t].chunks);
        for (k = p->first[t]; k < p->first[t + 1]; k++)
            r->tables[t].estimate += p->chunks[k].weight;
    }
}

void results_free(struct results *r)
{
    size_t t;

    for (t = 0; t < r->n; t++) {
        flatfile_free(&r->tables[t].file);
        free(r->tables[t].error);
        if (r->tables[t].own_fd >= 0)
            close(r->tables[t].own_fd);
    }
    buf_free(&r->schema);
    free(r->schema_error);
    free(r->tables);
    if (r->tables)
        pthread_mutex_destroy(&r->lock);
    *r = (struct results){0};
}

const char *table_state_name(enum table_state s)
{
    static const char *const names[] = {"waiting", "running", "complete", "failed"};

    return names[s];
}
