/*
 * Whether the values that come mean the same in the second database, by its catalog: what need not
 * is refused before anything is changed.
 */
#include "load/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/typeform.h"

#define NAMES_MOST 1000 /* bytes */

/* Columns that are refused. */
static void name_column(const struct load_table *t, size_t column, struct buf *names)
{
    const struct load_column *c = &t->columns[column];

    if (names->len < NAMES_MOST)
        buf_printf(names, "%s%s.%s.%s (%s)", names->len ? ", " : "", t->schema, t->name, c->name,
                   c->type);
    else if (names->data[names->len - 1] == ')')
        buf_puts(names, ", …");
}

/* What makes a column unfit. */
typedef bool unfit(const struct pg_typeform *form, const struct load_column *c);

static void name_unfit(const struct loading *l, const struct pg_typeform *forms, unfit *is_unfit,
                       struct buf *names)
{
    size_t i, k;

    for (i = 0; i < l->list->n; i++)
        for (k = 0; k < l->tables[i].ncolumns; k++, forms++)
            if (!l->tables[i].columns[k].skip && is_unfit(forms, &l->list->tables[i].columns[k]))
                name_column(&l->list->tables[i], k, names);
}

/* ---- money ---- */

static bool has_money(const struct pg_typeform *form, const struct load_column *c)
{
    (void)c;
    return form->money;
}

/* Its text is that of a locale: currency, digits behind the point, which sign is which. */
static int check_money(struct loading *l, const struct pg_typeform *forms, struct err *err)
{
    const char *wanted = l->list->lc_monetary ? l->list->lc_monetary : "";
    struct buf names = {0};
    bool takes = false;
    int rc = *wanted ? pg_typeform_takes_monetary(l->conn, wanted, &takes, err) : 0;

    if (rc < 0)
        return rc;
    if (takes) {
        l->lc_monetary = wanted;
        return 0;
    }
    name_unfit(l, forms, has_money, &names);
    if (names.len) {
        err_set(err, EINVAL,
                "columns with money, which is written as in locale \"%s\", and the second database "
                "knows no such locale: %s",
                wanted, names.data);
        rc = err_hint(err, "give the operating system there that locale, or leave them out");
    }
    buf_free(&names);
    return rc;
}

/* ---- the binary form ---- */

/* A domain of that name can be another one there. */
static bool is_unsafe(const struct pg_typeform *form, const struct load_column *c)
{
    return !form->portable || strcmp(form->inside, c->inside ? c->inside : "") != 0;
}

static void note_portable(struct loading *l, const struct pg_typeform *forms)
{
    size_t i, k;

    for (i = 0; i < l->list->n; i++) {
        l->work[i].portable = true;
        for (k = 0; k < l->tables[i].ncolumns; k++, forms++)
            if (!l->tables[i].columns[k].skip && is_unsafe(forms, &l->list->tables[i].columns[k]))
                l->work[i].portable = false;
    }
}

/* The binary form of some types holds numbers of the source's catalogs, or depends on its settings:
 * loaded elsewhere they would be other values, without a word. */
static int check_binary(const struct loading *l, const struct pg_typeform *forms, struct err *err)
{
    struct buf names = {0};
    int rc = 0;

    name_unfit(l, forms, is_unsafe, &names);
    if (names.len) {
        err_set(err, EINVAL,
                "columns whose binary form need not mean the same in another database: %s",
                names.data);
        rc = err_hint(err, "--format=csv or text of the files can take them");
    }
    buf_free(&names);
    return rc;
}

/* ---- all columns ---- */

static int read_forms(const struct loading *l, struct pg_typeform **forms, size_t *n,
                      struct err *err)
{
    const char **types;
    size_t i, k;
    int rc;

    *n = 0;
    for (i = 0; i < l->list->n; i++)
        *n += l->tables[i].ncolumns;
    types = mem_array(*n + 1, sizeof(*types));
    *n = 0;
    for (i = 0; i < l->list->n; i++)
        for (k = 0; k < l->tables[i].ncolumns; k++)
            types[(*n)++] = l->tables[i].columns[k].type;
    rc = pg_typeform_read(l->conn, types, *n, forms, err);
    free(types);
    return rc;
}

int loading_check_forms(struct loading *l, struct err *err)
{
    struct pg_typeform *forms;
    size_t n;
    int rc = read_forms(l, &forms, &n, err);

    if (rc < 0)
        return rc;
    note_portable(l, forms);
    rc = l->list->format == PG_FORMAT_BINARY && !l->req.direct ? check_binary(l, forms, err)
                                                               : check_money(l, forms, err);
    pg_typeform_free(forms, n);
    return rc;
}
