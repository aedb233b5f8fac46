#include "pg/pattern.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define REGEX_SPECIAL "|*+?()[]{}.^$\\"

static void put_literal(struct buf *out, char c)
{
    if (strchr(REGEX_SPECIAL, c))
        buf_putc(out, '\\');
    buf_putc(out, c);
}

/* One character outside quotes. */
static void put_unquoted(struct pg_pattern *p, struct buf *out, const char **at)
{
    char c = **at;

    if (c == '*') {
        buf_puts(out, ".*");
        p->exact = false;
    } else if (c == '?') {
        buf_putc(out, '.');
        p->exact = false;
    } else if (c == '$') {
        buf_puts(out, "\\$");
    } else if (c == '[' && (*at)[1] == ']') {
        buf_puts(out, "\\[\\]");
        (*at)++;
    } else if (strchr(REGEX_SPECIAL, c)) {
        buf_putc(out, c);
        p->exact = false;
    } else {
        buf_putc(out, (char)tolower((unsigned char)c));
    }
}

/* Up to the next separating dot or the end. */
static int parse_part(struct pg_pattern *p, const char **at, struct buf *out, struct err *err)
{
    bool quoted = false;

    buf_puts(out, "^(");
    for (; **at; (*at)++) {
        char c = **at;

        if (c == '"' && quoted && (*at)[1] == '"') {
            buf_putc(out, '"');
            (*at)++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (quoted) {
            put_literal(out, c);
        } else if (c == '.') {
            break;
        } else {
            put_unquoted(p, out, at);
        }
    }
    buf_puts(out, ")$");
    if (quoted)
        return err_set(err, EINVAL, "pattern %s: a double quote is not closed", p->text);
    if (out->len == strlen("^()$"))
        return err_set(err, EINVAL, "pattern \"%s\": a name is missing", p->text);
    return 0;
}

static int parse_parts(struct pg_pattern *p, struct err *err)
{
    struct buf part = {0};
    const char *at = p->text;
    int rc;

    rc = parse_part(p, &at, &part, err);
    if (rc == 0 && *at == '.') {
        p->schema = buf_steal(&part);
        at++;
        rc = parse_part(p, &at, &part, err);
    }
    if (rc == 0 && *at == '.')
        rc = err_set(
            err, EINVAL,
            "pattern %s: too many parts; write schema.table (the database stands in SOURCE)",
            p->text);
    if (rc == 0)
        p->name = buf_steal(&part);
    buf_free(&part);
    return rc;
}

int pg_pattern_parse(const char *text, struct pg_pattern *p, struct err *err)
{
    int rc;

    *p = (struct pg_pattern){.text = mem_strdup(text), .exact = true};
    rc = parse_parts(p, err);
    if (rc < 0)
        pg_pattern_free(p);
    return rc;
}

void pg_pattern_free(struct pg_pattern *p)
{
    free(p->text);
    free(p->schema);
    free(p->name);
    *p = (struct pg_pattern){0};
}

/* Bytes above 127 are folded by nobody. */
static bool needs_no_quotes(const char *name)
{
    const unsigned char *c = (const unsigned char *)name;

    if (!*c || (*c >= '0' && *c <= '9'))
        return false;
    while ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_' || *c > 0x7f)
        c++;
    return !*c;
}

void pg_pattern_put_name(struct buf *out, const char *name)
{
    if (needs_no_quotes(name)) {
        buf_puts(out, name);
        return;
    }
    buf_putc(out, '"');
    for (; *name; name++) {
        if (*name == '"')
            buf_putc(out, '"');
        buf_putc(out, *name);
    }
    buf_putc(out, '"');
}

void pg_pattern_put(struct buf *out, const char *schema, const char *name)
{
    pg_pattern_put_name(out, schema);
    buf_putc(out, '.');
    pg_pattern_put_name(out, name);
}

char *pg_pattern_of(const char *schema, const char *name)
{
    struct buf b = {0};

    pg_pattern_put(&b, schema, name);
    return buf_steal(&b);
}
