#include "cmd/livestatus.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "common/printable.h"
#include "fs/livefs.h"
#include "store/store.h"

#define FORMAT 1

/* ---- writing ---- */

/* "2024-05-06T07:08:09.123456Z" */
static void print_time(const struct timespec *t, char text[40])
{
    struct tm tm;
    size_t n;

    gmtime_r(&t->tv_sec, &tm);
    n = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, 40 - n, ".%06ldZ", t->tv_nsec / 1000);
}

static json_t *freeze_json(const struct live_freeze *f)
{
    char time[40];
    bool given_up = f->state == LIVE_GIVEN_UP;

    print_time(&f->time, time);
    return json_pack("{s:I, s:s, s:s, s:I, s:o}", "number", (json_int_t)f->number, "state",
                     given_up ? "given up" : "open", "time", time, "bytes", (json_int_t)f->bytes,
                     "why", given_up ? json_string_nocheck(f->why) : json_null());
}

static json_t *freezes_json(struct livedir *l)
{
    struct live_freeze *list = NULL;
    json_t *array = json_array();
    size_t n = 0, i;

    if (livedir_freezes(l, &list, &n) < 0) {
        json_decref(array);
        return NULL;
    }
    for (i = 0; i < n; i++)
        json_array_append_new(array, freeze_json(&list[i]));
    free(list);
    return array;
}

static json_t *counts_json(struct livedir *l)
{
    struct live_counts c;

    livedir_counts(l, &c);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "writes", (json_int_t)c.writes,
                     "saved", (json_int_t)c.saved, "kept", (json_int_t)c.kept, "raced",
                     (json_int_t)c.raced, "freeze_us", (json_int_t)c.freeze_us, "nodes",
                     (json_int_t)c.nodes, "log_kept", (json_int_t)c.wal_kept, "log_lost",
                     (json_int_t)c.wal_lost);
}

char *live_status_text(struct livedir *l, const char *epochs)
{
    json_t *all = json_pack("{s:i, s:s?, s:I, s:o, s:o}", "format", FORMAT, "epochs", epochs,
                            "next", (json_int_t)livedir_next_freeze(l), "freezes", freezes_json(l),
                            "counts", counts_json(l));
    char *text = all ? json_dumps(all, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL, *line;

    json_decref(all);
    if (!text)
        return NULL;
    line = realloc(text, strlen(text) + 2);
    if (!line) {
        free(text);
        return NULL;
    }
    return strcat(line, "\n");
}

/* ---- reading ---- */

static int load(const char *mountpoint, json_t **all, struct err *err)
{
    char *path = mem_printf("%s/" LIVEFS_CONTROL "/" LIVEFS_STATUS, mountpoint);
    json_error_t error;
    int rc = store_read_status(mountpoint, all, &error);

    if (rc < 0)
        err_set(err, -rc, "cannot read %s: %s", path, strerror(-rc));
    else if (!*all)
        rc = err_set(err, EIO, "%s: %s", path, error.text);
    else if (json_integer_value(json_object_get(*all, "format")) != FORMAT)
        rc = err_set(err, EPROTO, "%s is of another version of asofs", path);
    if (rc == -ENOTCONN)
        err_hint(err, "The process that served it has ended.");
    free(path);
    return rc;
}

static const char *text_of(const json_t *freeze, const char *name)
{
    const char *text = json_string_value(json_object_get(freeze, name));

    return text ? text : "";
}

int live_status_print(const char *mountpoint, struct err *err)
{
    json_t *all, *freeze;
    size_t i;
    int rc = load(mountpoint, &all, err);

    if (rc == 0)
        printf("%-8s  %-8s  %-27s  %15s\n", "FREEZE", "STATE", "TIME", "BYTES");
    json_array_foreach(rc == 0 ? json_object_get(all, "freezes") : NULL, i, freeze)
    {
        printable_out("%-8" JSON_INTEGER_FORMAT "  %-8s  %-27s  %15" JSON_INTEGER_FORMAT "%s%s\n",
                      json_integer_value(json_object_get(freeze, "number")),
                      text_of(freeze, "state"), text_of(freeze, "time"),
                      json_integer_value(json_object_get(freeze, "bytes")),
                      *text_of(freeze, "why") ? "  " : "", text_of(freeze, "why"));
    }
    json_decref(all);
    return rc;
}
