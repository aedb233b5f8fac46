#include "extract/tablelist.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"
#include "extract/filter.h"

#define MAX_LIST (64u << 20)

static void skip_space(const char **p)
{
    *p += strspn(*p, " \t\r");
}

/* Up to a character of `stop` outside double quotes, or the end. */
static char *take_until(const char **p, const char *stop)
{
    const char *start = *p;
    bool quoted = false;
    char *s;

    for (; **p && (quoted || !strchr(stop, **p)); (*p)++)
        if (**p == '"')
            quoted = !quoted;
    s = mem_alloc((size_t)(*p - start) + 1);
    memcpy(s, start, (size_t)(*p - start));
    return s;
}

/* A name as SQL reads it: folded to lower case unless quoted. */
static int take_name(const char **p, char **name, struct err *err)
{
    struct buf b = {0};

    if (**p == '"') {
        for ((*p)++; **p && (**p != '"' || (*p)[1] == '"'); (*p)++) {
            *p += **p == '"';
            buf_putc(&b, **p);
        }
        if (**p != '"') {
            buf_free(&b);
            return err_set(err, EINVAL, "a double quote is not closed");
        }
        (*p)++;
    } else {
        for (; **p && !strchr(" \t\r,()\"", **p); (*p)++)
            buf_putc(&b, (char)tolower((unsigned char)**p));
    }
    if (!b.len) {
        buf_free(&b);
        return err_set(err, EINVAL, "a column name is missing");
    }
    *name = buf_steal(&b);
    return 0;
}

static int add_column(struct pg_selection *e, char *name, struct err *err)
{
    size_t i;

    for (i = 0; i < e->ncolumns; i++) {
        if (strcmp(e->columns[i], name) == 0) {
            err_set(err, EINVAL, "column \"%s\" is listed twice", name);
            free(name);
            return -err->code;
        }
    }
    e->columns = mem_resize(e->columns, e->ncolumns + 1, sizeof(*e->columns));
    e->columns[e->ncolumns++] = name;
    return 0;
}

/* p stands on the opening parenthesis. */
static int take_columns(const char **p, struct pg_selection *e, struct err *err)
{
    char *name = NULL;
    int rc;

    do {
        (*p)++;
        skip_space(p);
        rc = take_name(p, &name, err);
        if (rc == 0)
            rc = add_column(e, name, err);
        if (rc < 0)
            return rc;
        skip_space(p);
    } while (**p == ',');
    if (**p != ')')
        return err_set(err, EINVAL, "the list of columns is not closed by a parenthesis");
    (*p)++;
    return 0;
}

static int take_filter(const char **p, struct pg_selection *e, struct err *err)
{
    size_t len;

    *p += strlen("where");
    skip_space(p);
    e->filter = mem_strdup(*p);
    for (len = strlen(e->filter); len && strchr(" \t\r", e->filter[len - 1]); len--)
        e->filter[len - 1] = '\0';
    *p += strlen(*p);
    return filter_check(e->filter, err);
}

static bool at_where(const char *p)
{
    return strncasecmp(p, "where", 5) == 0 && (!p[5] || strchr(" \t\r(", p[5]));
}

static int take_pattern(const char **p, struct pg_selection *e, struct err *err)
{
    char *pattern;
    int rc;

    if (**p == '!') {
        e->exclude = true;
        (*p)++;
        skip_space(p);
    }
    pattern = take_until(p, " \t\r(");
    rc = pg_pattern_parse(pattern, &e->pattern, err);
    free(pattern);
    return rc;
}

static int parse_entry(const char *p, struct pg_selection *e, struct err *err)
{
    int rc = take_pattern(&p, e, err);

    skip_space(&p);
    if (rc == 0 && *p == '(')
        rc = take_columns(&p, e, err);
    skip_space(&p);
    if (rc == 0 && at_where(p))
        rc = take_filter(&p, e, err);
    if (rc == 0 && *p)
        rc = err_set(err, EINVAL, "\"%s\" makes no sense here; write TABLE (COLUMNS) WHERE FILTER",
                     p);
    if (rc == 0 && e->exclude && (e->ncolumns || e->filter))
        rc = err_set(err, EINVAL, "what is left out by \"!\" can have no columns and no filter");
    return rc;
}

static void entry_free(struct pg_selection *e)
{
    size_t i;

    for (i = 0; i < e->ncolumns; i++)
        free(e->columns[i]);
    free(e->columns);
    free(e->filter);
    free(e->where);
    pg_pattern_free(&e->pattern);
}

static int add_line(struct tablelist *l, const char *line, const char *where, size_t number,
                    struct err *err)
{
    struct pg_selection e = {0};
    int rc;

    line += strspn(line, " \t\r");
    if (!*line || *line == '#')
        return 0;
    rc = parse_entry(line, &e, err);
    if (rc < 0) {
        entry_free(&e);
        return err_prefix(err, "%s, line %zu", where, number);
    }
    e.where = mem_printf("%s, line %zu", where, number);
    l->entries = mem_grow(l->entries, l->n, &l->room, sizeof(*l->entries));
    l->entries[l->n++] = e;
    return 0;
}

static int add_option(struct tablelist *l, const char *pattern, const char *where, bool exclude,
                      struct err *err)
{
    struct pg_selection e = {.where = mem_strdup(where), .exclude = exclude};
    int rc = pg_pattern_parse(pattern, &e.pattern, err);

    if (rc < 0) {
        entry_free(&e);
        return rc;
    }
    l->entries = mem_grow(l->entries, l->n, &l->room, sizeof(*l->entries));
    l->entries[l->n++] = e;
    return 0;
}

int tablelist_add_pattern(struct tablelist *l, const char *pattern, struct err *err)
{
    return add_option(l, pattern, "--tables", false, err);
}

int tablelist_exclude(struct tablelist *l, const char *pattern, struct err *err)
{
    return add_option(l, pattern, "--exclude-table", true, err);
}

int tablelist_parse(struct tablelist *l, const char *text, size_t len, const char *where,
                    struct err *err)
{
    size_t number = 1, before = l->n;
    const char *end = text + len;
    int rc = 0;

    if (memchr(text, '\0', len))
        return err_set(err, EINVAL, "%s: this is not a text file", where);
    while (text < end && rc == 0) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((newline ? newline : end) - text);
        char *line = mem_alloc(n + 1);

        memcpy(line, text, n);
        rc = add_line(l, line, where, number++, err);
        free(line);
        text += n + 1;
    }
    if (rc == 0 && l->n == before)
        rc = err_set(err, EINVAL, "%s: no table is listed", where);
    return rc;
}

static int read_all(int fd, struct buf *b)
{
    ssize_t n;

    do {
        buf_reserve(b, 65536);
        n = read(fd, b->data + b->len, 65536);
        if (n > 0)
            b->len += (size_t)n;
    } while ((n > 0 || (n < 0 && errno == EINTR)) && b->len < MAX_LIST);
    b->data[b->len] = '\0';
    if (n > 0)
        errno = EFBIG; /* never a list that was cut */
    return n != 0 ? -errno : 0;
}

int tablelist_read(struct tablelist *l, const char *path, struct err *err)
{
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), rc;
    struct buf b = {0};

    if (fd < 0)
        return err_errno(err, "cannot open %s", path);
    rc = read_all(fd, &b);
    if (!standard)
        close(fd);
    if (rc < 0) {
        errno = -rc;
        rc = err_errno(err, "cannot read %s", name);
    } else {
        rc = tablelist_parse(l, b.data, b.len, name, err);
    }
    buf_free(&b);
    return rc;
}

void tablelist_free(struct tablelist *l)
{
    size_t i;

    for (i = 0; i < l->n; i++)
        entry_free(&l->entries[i]);
    free(l->entries);
    *l = (struct tablelist){0};
}
