#include "view/contents.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/csv.h"
#include "common/mem.h"

enum { C_SCHEMA, C_TABLE, C_NAME, C_TYPE, C_GENERATED, C_INSIDE, COLUMN_FIELDS };
enum { P_FILE, P_OFFSET, P_BYTES, P_CHECKSUM, PART_FIELDS };
#define FIELDS_MOST COLUMN_FIELDS

struct rows {
    const char *dir, *name; /* of the file */
    int nfields;
    /* Takes what it keeps and sets it NULL. false: it makes no sense. */
    bool (*take)(struct contents *c, const struct inspected *i, char **f);
};

static int read_rows(struct contents *c, const struct inspected *i, const struct rows *rows,
                     struct err *err)
{
    char *f[FIELDS_MOST];
    struct buf b = {0};
    const char *p, *end;
    int n = 0, line = 0, k, rc = inspect_read_meta(rows->dir, rows->name, &b, err);
    bool good = rc == 0;

    p = b.data;
    end = b.data + b.len;
    while (good && (n = csv_read_record(&p, end, f, rows->nfields)) > 0) {
        good = n == rows->nfields && (line == 0 || rows->take(c, i, f));
        line++;
        for (k = 0; k < n; k++)
            free(f[k]);
    }
    if (rc == 0 && (!good || n < 0 || line == 0))
        rc = err_set(err, EINVAL, "%s/.asofs/%s is damaged in line %d", rows->dir, rows->name,
                     good ? line + 1 : line);
    buf_free(&b);
    return rc;
}

/* They come in the order of the tables, as a rule: it is looked for from the last one on. */
static size_t find_table(struct contents *c, const struct inspected *i, char *const *f)
{
    size_t k;

    for (k = 0; k < i->ntables; k++) {
        size_t t = (c->at + k) % i->ntables;

        if (strcmp(i->tables[t].name, f[C_TABLE]) == 0 &&
            strcmp(i->tables[t].schema, f[C_SCHEMA]) == 0)
            return c->at = t;
    }
    return i->ntables;
}

static bool take_column(struct contents *c, const struct inspected *i, char **f)
{
    size_t table = find_table(c, i, f);
    struct contents_table *t = &c->tables[table];

    if (table == i->ntables || !*f[C_NAME] || !*f[C_TYPE])
        return false;
    t->columns = mem_resize(t->columns, t->ncolumns + 1, sizeof(*t->columns));
    t->columns[t->ncolumns++] =
        (struct contents_column){.name = f[C_NAME],
                                 .type = f[C_TYPE],
                                 .inside = f[C_INSIDE],
                                 .generated = strcmp(f[C_GENERATED], "t") == 0};
    f[C_NAME] = f[C_TYPE] = f[C_INSIDE] = NULL;
    return true;
}

static size_t find_file(struct contents *c, const struct inspected *i, const char *file)
{
    size_t k;

    for (k = 0; k < i->ntables; k++) {
        size_t t = (c->at + k) % i->ntables;

        if (strcmp(i->tables[t].file, file) == 0)
            return c->at = t;
    }
    return i->ntables;
}

static bool take_number(const char *text, uint64_t *v)
{
    char *end;

    errno = 0;
    *v = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

static bool take_checksum(const char *text, uint64_t *v)
{
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return false;
    *v = strtoull(text, NULL, 16);
    return true;
}

/* Parts of a file follow one another, from its beginning to its end. One that was not complete when
 * the tables were looked at may be by now; it is loaded as one part. */
static bool take_part(struct contents *c, const struct inspected *i, char **f)
{
    struct contents_part part, *before;
    struct contents_table *t;
    size_t k;

    if (!take_number(f[P_OFFSET], &part.offset) || !take_number(f[P_BYTES], &part.bytes) ||
        !take_checksum(f[P_CHECKSUM], &part.checksum))
        return false;
    k = find_file(c, i, f[P_FILE]);
    if (k == i->ntables || !part.bytes)
        return false;
    if (strcmp(i->tables[k].state, "complete") != 0)
        return true;
    t = &c->tables[k];
    before = t->nparts ? &t->parts[t->nparts - 1] : NULL;
    if (part.offset != (before ? before->offset + before->bytes : 0) ||
        part.bytes > i->tables[k].bytes - part.offset)
        return false;
    t->parts = mem_resize(t->parts, t->nparts + 1, sizeof(*t->parts));
    t->parts[t->nparts++] = part;
    return true;
}

static bool find_format(const char *name, enum pg_format *format)
{
    int k;

    for (k = 0; pg_format_names[k]; k++) {
        *format = (enum pg_format)k;
        if (strcmp(name, pg_format_names[k]) == 0)
            return true;
    }
    return false;
}

static int read_settings(struct contents *c, const char *dir, struct err *err)
{
    struct buf b = {0};
    json_t *j = NULL;
    const char *format, *encoding, *timezone, *lc_monetary, *lsn, *database, *compression = NULL;
    int rc = inspect_read_meta(dir, "snapshot.json", &b, err);

    if (rc < 0)
        return rc;
    j = json_loadb(b.data, strlen(b.data), 0, NULL);
    buf_free(&b);
    if (!j ||
        json_unpack(j, "{s:s,s:{s:s},s:{s:s,s:s,s:s,s:s,s?:s}}", "lsn", &lsn, "server", "database",
                    &database, "settings", "format", &format, "encoding", &encoding, "timezone",
                    &timezone, "lc_monetary", &lc_monetary, "compression", &compression) < 0 ||
        !find_format(format, &c->format)) {
        json_decref(j);
        return err_set(err, EINVAL, "%s/.asofs/snapshot.json lacks what it should hold", dir);
    }
    if (compression) {
        err_set(err, EINVAL,
                "the files of %s are compressed (%s), and only plain ones can be read: extract it "
                "again "
                "without --compress",
                dir, compression);
        json_decref(j);
        return -err->code;
    }
    c->encoding = mem_strdup(encoding);
    c->timezone = mem_strdup(timezone);
    c->lc_monetary = mem_strdup(lc_monetary);
    c->lsn = mem_strdup(lsn);
    c->database = mem_strdup(database);
    json_decref(j);
    return 0;
}

/* Of a file that is complete, all of it has to be in its parts; one that a mount renders has none. */
static int check_parts(const struct contents *c, const char *dir, const struct inspected *i,
                       struct err *err)
{
    size_t k;

    for (k = 0; k < i->ntables; k++) {
        const struct contents_table *t = &c->tables[k];
        const struct contents_part *last = t->nparts ? &t->parts[t->nparts - 1] : NULL;
        bool whole = (last ? last->offset + last->bytes : 0) == i->tables[k].bytes;

        if (strcmp(i->tables[k].state, "complete") == 0 && !whole &&
            !(i->tables[k].rendered && !t->nparts))
            return err_set(err, EINVAL, "%s/.asofs/chunks.csv does not have all of %s", dir,
                           i->tables[k].file);
    }
    return 0;
}

int contents_read(struct contents *c, const char *dir, const struct inspected *i, struct err *err)
{
    const struct rows columns = {dir, "columns.csv", COLUMN_FIELDS, take_column},
                      parts = {dir, "chunks.csv", PART_FIELDS, take_part};
    int rc;

    *c = (struct contents){.ntables = i->ntables};
    if (i->ntables && i->tables[0].database)
        return err_set(err, EINVAL, "%s is a view of several databases: name one of them, %s/%s",
                       dir, dir, i->tables[0].database);
    c->tables = mem_array(i->ntables + 1, sizeof(*c->tables));
    rc = read_settings(c, dir, err);
    if (rc == 0)
        rc = read_rows(c, i, &columns, err);
    if (rc == 0)
        rc = read_rows(c, i, &parts, err);
    if (rc == 0)
        rc = check_parts(c, dir, i, err);
    if (rc < 0)
        contents_free(c);
    return rc;
}

void contents_free(struct contents *c)
{
    size_t t, k;

    for (t = 0; c->tables && t < c->ntables; t++) {
        for (k = 0; k < c->tables[t].ncolumns; k++) {
            free(c->tables[t].columns[k].name);
            free(c->tables[t].columns[k].type);
            free(c->tables[t].columns[k].inside);
        }
        free(c->tables[t].columns);
        free(c->tables[t].parts);
    }
    free(c->tables);
    free(c->encoding);
    free(c->timezone);
    free(c->lc_monetary);
    free(c->lsn);
    free(c->database);
    *c = (struct contents){0};
}
