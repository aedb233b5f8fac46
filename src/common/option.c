#include "common/option.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

static const struct option_def *find_name(const struct option_def *defs, const char *name,
                                          size_t len)
{
    for (; defs->name; defs++)
        if (strncmp(defs->name, name, len) == 0 && !defs->name[len])
            return defs;
    return NULL;
}

static const struct option_def *find_letter(const struct option_def *defs, char letter)
{
    for (; defs->name; defs++)
        if (defs->letter && defs->letter == letter)
            return defs;
    return NULL;
}

static int apply(const struct option_def *d, void *target, const char *shown, const char *value,
                 struct err *err)
{
    int rc;

    if (d->has_value && !value)
        return err_set(err, EINVAL, "%s needs a value", shown);
    if (!d->has_value && value)
        return err_set(err, EINVAL, "%s takes no value", shown);
    rc = d->set(target, value, err);
    return rc < 0 ? err_prefix(err, "%s", shown) : 0;
}

static int one_of_list(const struct option_def *defs, void *target, const char *item,
                       struct err *err)
{
    const char *eq = strchr(item, '=');
    size_t len = eq ? (size_t)(eq - item) : strlen(item);
    const struct option_def *d = find_name(defs, item, len);
    char shown[80];

    if (!*item)
        return 0;
    if (!d)
        return err_set(err, EINVAL, "unknown option -o %s", item);
    snprintf(shown, sizeof(shown), "-o %s", d->name);
    return apply(d, target, shown, eq ? eq + 1 : NULL, err);
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
    const struct option_def *d = find_name(defs, name, len);
    const char *value = eq ? eq + 1 : NULL;
    char shown[80];

    if (!d || d->only_o)
        return err_set(err, EINVAL, "unknown option --%.*s", (int)len, name);
    if (d->has_value && !value && *i + 1 < argc)
        value = argv[++*i];
    snprintf(shown, sizeof(shown), "--%s", d->name);
    return apply(d, target, shown, value, err);
}

static int short_options(const struct option_def *defs, bool take_o, void *target, int argc,
                         char **argv, int *i, struct err *err)
{
    const char *p;
    int rc;

    for (p = argv[*i] + 1; *p; p++) {
        const struct option_def *d = find_letter(defs, *p);
        bool is_o = take_o && *p == 'o';
        char shown[] = {'-', *p, '\0'};
        const char *value = NULL;

        if (!d && !is_o)
            return err_set(err, EINVAL, "unknown option -%c", *p);
        if (is_o || d->has_value) {
            value = p[1] ? p + 1 : *i + 1 < argc ? argv[++*i] : NULL;
            if (!value)
                return err_set(err, EINVAL, "-%c needs a value", *p);
        }
        rc = is_o ? option_parse_list(defs, target, value, err)
                  : apply(d, target, shown, value, err);
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
