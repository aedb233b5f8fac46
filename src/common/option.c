#include "common/option.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/units.h"

/* A row, and the struct that it is about. */
struct found {
    const struct option_def *def; /* NULL: there is none */
    void *target;
};

static bool is_called(const struct option_def *d, const char *name, size_t len)
{
    return len && strncmp(d->name, name, len) == 0 && !d->name[len];
}

/* By its name, or by its letter when that is given. */
static struct found find(const struct option_def *defs, void *target, const char *name, size_t len,
                         int letter)
{
    struct found f = {0};

    for (; defs->name && !f.def; defs++) {
        if (defs->kind == OPTION_KIND_ROWS)
            f = find(defs->rows, (char *)target + defs->offset, name, len, letter);
        else if (letter ? defs->letter == letter : is_called(defs, name, len))
            f = (struct found){defs, target};
    }
    return f;
}

static bool has_value(const struct option_def *d)
{
    return d->kind != OPTION_KIND_FLAG && d->kind != OPTION_KIND_CALL_FLAG;
}

/* ---- a value ---- */

static int set_text(const struct option_def *d, char **member, const char *value, struct err *err)
{
    int rc = d->check ? d->check(value, err) : 0;

    if (rc < 0)
        return rc;
    free(*member);
    *member = mem_strdup(value);
    return 0;
}

static int refuse_value(const struct option_def *d, const char *value, struct err *err)
{
    return err_set(err, EINVAL, "\"%s\" %s", value, d->wrong);
}

static int set_size(const struct option_def *d, uint64_t *member, const char *value,
                    struct err *err)
{
    uint64_t n;

    if (units_parse_size(value, &n) < 0 || n < (uint64_t)d->least)
        return refuse_value(d, value, err);
    *member = n;
    return 0;
}

static int set_duration(const struct option_def *d, int64_t *member, const char *value,
                        struct err *err)
{
    int64_t ms;

    if (units_parse_duration(value, &ms) < 0 || ms < d->least)
        return refuse_value(d, value, err);
    *member = ms;
    return 0;
}

static int set_number(const struct option_def *d, unsigned *member, const char *value,
                      struct err *err)
{
    char *end;
    long long n = strtoll(value, &end, d->base);

    if (*end || end == value || *value == '-' || n < d->least || n > d->most)
        return refuse_value(d, value, err);
    *member = (unsigned)n;
    return 0;
}

static int set_choice(const struct option_def *d, unsigned *member, const char *value,
                      struct err *err)
{
    struct buf all = {0};
    unsigned i;

    for (i = 0; d->choices[i]; i++) {
        if (strcmp(value, d->choices[i]) == 0) {
            buf_free(&all);
            *member = i;
            return 0;
        }
        buf_printf(&all, "%s%s", i ? ", " : "", d->choices[i]);
    }
    err_set(err, EINVAL, "\"%s\" is none of %s", value, all.data);
    buf_free(&all);
    return -EINVAL;
}

static int set(const struct option_def *d, void *member, const char *value, struct err *err)
{
    switch (d->kind) {
    case OPTION_KIND_FLAG:
        *(bool *)member = true;
        return 0;
    case OPTION_KIND_TEXT:
        return set_text(d, member, value, err);
    case OPTION_KIND_SIZE:
        return set_size(d, member, value, err);
    case OPTION_KIND_DURATION:
        return set_duration(d, member, value, err);
    case OPTION_KIND_NUMBER:
        return set_number(d, member, value, err);
    case OPTION_KIND_CHOICE:
        return set_choice(d, member, value, err);
    case OPTION_KIND_CALL:
    case OPTION_KIND_CALL_FLAG:
        return d->set(member, value, err);
    case OPTION_KIND_ROWS: /* never found itself */
        break;
    }
    return 0;
}

static int apply(const struct found *f, const char *shown, const char *value, struct err *err)
{
    int rc;

    if (has_value(f->def) && !value)
        return err_set(err, EINVAL, "%s needs a value", shown);
    if (!has_value(f->def) && value)
        return err_set(err, EINVAL, "%s takes no value", shown);
    rc = set(f->def, (char *)f->target + f->def->offset, value, err);
    return rc < 0 ? err_prefix(err, "%s", shown) : 0;
}

void option_free(const struct option_def *defs, void *target)
{
    for (; defs->name; defs++) {
        char *member = (char *)target + defs->offset;

        if (defs->kind == OPTION_KIND_ROWS) {
            option_free(defs->rows, member);
        } else if (defs->kind == OPTION_KIND_TEXT) {
            free(*(char **)member);
            *(char **)member = NULL;
        }
    }
}

/* ---- a command line ---- */

static int one_of_list(const struct option_def *defs, void *target, const char *item,
                       struct err *err)
{
    const char *eq = strchr(item, '=');
    size_t len = eq ? (size_t)(eq - item) : strlen(item);
    struct found f = find(defs, target, item, len, 0);
    char shown[80];

    if (!*item)
        return 0;
    if (!f.def)
        return err_set(err, EINVAL, "unknown option -o %s", item);
    snprintf(shown, sizeof(shown), "-o %s", f.def->name);
    return apply(&f, shown, eq ? eq + 1 : NULL, err);
}

int option_parse_list(const struct option_def *defs, void *target, const char *list,
                      struct err *err)
{
    struct buf item = {0};
    int rc = 0;

    while (rc == 0) {
        if (*list == '\\' && (list[1] == ',' || list[1] == '\\')) {
            buf_putc(&item, list[1]);
            list += 2;
        } else if (*list && *list != ',') {
            buf_putc(&item, *list++);
        } else {
            rc = one_of_list(defs, target, item.data ? item.data : "", err);
            buf_clear(&item);
            if (!*list++)
                break;
        }
    }
    buf_free(&item);
    return rc;
}

static int long_option(const struct option_def *defs, void *target, int argc, char **argv, int *i,
                       struct err *err)
{
    const char *name = argv[*i] + 2;
    const char *eq = strchr(name, '=');
    size_t len = eq ? (size_t)(eq - name) : strlen(name);
    struct found f = find(defs, target, name, len, 0);
    const char *value = eq ? eq + 1 : NULL;
    char shown[80];

    if (!f.def || f.def->letter == OPTION_ONLY_O)
        return err_set(err, EINVAL, "unknown option --%.*s", (int)len, name);
    if (has_value(f.def) && !value && *i + 1 < argc)
        value = argv[++*i];
    snprintf(shown, sizeof(shown), "--%s", f.def->name);
    return apply(&f, shown, value, err);
}

static int short_options(const struct option_def *defs, bool take_o, void *target, int argc,
                         char **argv, int *i, struct err *err)
{
    const char *p;
    int rc;

    for (p = argv[*i] + 1; *p; p++) {
        struct found f = find(defs, target, "", 0, (unsigned char)*p);
        bool is_o = take_o && *p == 'o';
        char shown[] = {'-', *p, '\0'};
        const char *value = NULL;

        if (!f.def && !is_o)
            return err_set(err, EINVAL, "unknown option -%c", *p);
        if (is_o || has_value(f.def)) {
            value = p[1] ? p + 1 : *i + 1 < argc ? argv[++*i] : NULL;
            if (!value)
                return err_set(err, EINVAL, "-%c needs a value", *p);
        }
        rc = is_o ? option_parse_list(defs, target, value, err) : apply(&f, shown, value, err);
        if (rc < 0 || value)
            return rc;
    }
    return 0;
}

int option_parse(const struct option_def *defs, bool take_o, void *target, int argc, char **argv,
                 char **operands, int max, struct err *err)
{
    bool only_operands = false;
    int n = 0, i, rc;

    for (i = 1; i < argc; i++) {
        if (only_operands || argv[i][0] != '-' || !argv[i][1]) {
            if (n >= max)
                return err_set(err, EINVAL, "unexpected argument \"%s\"", argv[i]);
            operands[n++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            only_operands = true;
            continue;
        }
        if (argv[i][1] == '-')
            rc = long_option(defs, target, argc, argv, &i, err);
        else
            rc = short_options(defs, take_o, target, argc, argv, &i, err);
        if (rc < 0)
            return rc;
    }
    return n;
}
