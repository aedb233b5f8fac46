#include "load/list.h"

#include <stdlib.h>

static void free_table(struct load_table *t)
{
    size_t i;

    for (i = 0; i < t->ncolumns; i++) {
        free(t->columns[i].name);
        free(t->columns[i].type);
        free(t->columns[i].inside);
    }
    free(t->columns);
    free(t->schema);
    free(t->name);
    free(t->target_schema);
    free(t->file);
    free(t->filter);
    free(t->checksum);
}

void load_list_init(struct load_list *l)
{
    *l = (struct load_list){0};
}

void load_list_free(struct load_list *l)
{
    size_t i;

    for (i = 0; i < l->n; i++)
        free_table(&l->tables[i]);
    free(l->tables);
    free(l->encoding);
    free(l->timezone);
    free(l->lc_monetary);
    free(l->system_identifier);
    free(l->server_started);
    free(l->database);
    free(l->source);
    free(l->moment);
    free(l->lsn);
    load_list_init(l);
}
