#include "store/internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/lsn.h"
#include "common/mem.h"
#include "pages/page.h"

#define DESCRIPTION_MAX (64u << 10)
#define ID_DIGITS 9
#define SEGMENT_MIN (1 << 20)
#define SEGMENT_MAX (1 << 30)
#define USEC 1000000

bool store_is_id(const char *s)
{
    size_t n = strspn(s, "0123456789");

    return n >= 1 && n <= ID_DIGITS && !s[n] && *s != '0';
}

bool store_is_view_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");

    return n >= 1 && n <= STORE_NAME_MAX && !s[n] && *s != '.';
}

const char *store_view_of_parent(const char *parent)
{
    size_t n = strlen(STORE_OVER_VIEW);

    return parent && strncmp(parent, STORE_OVER_VIEW, n) == 0 ? parent + n : NULL;
}

/* ---- reading ---- */

struct key {
    const char *name;
    json_type type;
    size_t at;
    bool optional;
};

/* clang-format off */
#define KEY(k, type, optional) {#k, type, offsetof(struct store_description, k), optional}
/* clang-format on */
#define NUMBER(k) KEY(k, JSON_INTEGER, false)
#define TEXT(k) KEY(k, JSON_STRING, false)
#define MAYBE_NUMBER(k) KEY(k, JSON_INTEGER, true)
#define MAYBE_TEXT(k) KEY(k, JSON_STRING, true)
#define BASE_FACTS                                                                                 \
    MAYBE_TEXT(start_lsn), MAYBE_TEXT(consistent_lsn), MAYBE_NUMBER(start_time),                   \
        MAYBE_NUMBER(consistent_time), MAYBE_NUMBER(timeline)

static const struct key format_key = NUMBER(format);
static const struct key kind_key = TEXT(kind);
static const struct key store_keys[] = {NUMBER(format),
                                        NUMBER(page_bytes),
                                        MAYBE_TEXT(system_identifier),
                                        MAYBE_NUMBER(major),
                                        MAYBE_NUMBER(segment_bytes),
                                        MAYBE_TEXT(conninfo),
                                        MAYBE_TEXT(slot),
                                        MAYBE_TEXT(slot_mark),
                                        MAYBE_TEXT(log),
                                        MAYBE_TEXT(restore_command),
                                        {0}};
static const struct key directory_keys[] = {
    NUMBER(format), TEXT(kind), TEXT(path), BASE_FACTS, {0}};
static const struct key live_keys[] = {NUMBER(format), TEXT(kind), TEXT(path), {0}};
static const struct key frozen_keys[] = {
    NUMBER(format),   TEXT(kind),         TEXT(live), NUMBER(epoch),
    MAYBE_TEXT(view), MAYBE_NUMBER(rung), BASE_FACTS, {0}};
static const struct key layer_keys[] = {NUMBER(format), TEXT(kind), TEXT(parent), BASE_FACTS, {0}};
static const struct key view_keys[] = {NUMBER(format),
                                       TEXT(base),
                                       TEXT(state),
                                       MAYBE_TEXT(parent),
                                       MAYBE_TEXT(target),
                                       MAYBE_TEXT(lsn),
                                       MAYBE_NUMBER(time_us),
                                       MAYBE_NUMBER(timeline),
                                       {0}};

static int take_key(struct store_description *d, const json_t *j, const struct key *k,
                    const char *file, struct err *err)
{
    const json_t *value = json_object_get(j, k->name);
    char *member = (char *)d + k->at;

    if (!value && k->optional)
        return 0;
    if (!value)
        return err_set(err, EINVAL, "%s: key \"%s\" is missing", file, k->name);
    if (json_typeof(value) != k->type)
        return err_set(err, EINVAL, "%s: key \"%s\" is no %s", file, k->name,
                       k->type == JSON_STRING ? "text" : "whole number");
    if (k->type == JSON_STRING) {
        free(*(char **)member);
        *(char **)member = mem_strdup(json_string_value(value));
    } else {
        *(int64_t *)member = json_integer_value(value);
    }
    return 0;
}

/* The format comes first: all else may mean something different in another. */
static int take_format(struct store_description *d, const json_t *j, const char *file,
                       struct err *err)
{
    int rc = take_key(d, j, &format_key, file, err);

    if (rc == 0 && d->format != STORE_FORMAT)
        rc = err_set(err, ENOTSUP, "%s: key \"format\" is %lld; this program knows format %d only",
                     file, (long long)d->format, STORE_FORMAT);
    return rc;
}

static int choose_keys(enum store_description_type type, struct store_description *d,
                       const json_t *j, const char *file, const struct key **keys, struct err *err)
{
    static const struct {
        const char *name;
        const struct key *keys;
    } kinds[] = {{"directory", directory_keys},
                 {"layer", layer_keys},
                 {"live", live_keys},
                 {"frozen", frozen_keys}};
    size_t i;
    int rc;

    *keys = type == STORE_JSON ? store_keys : view_keys;
    if (type != BASE_JSON)
        return 0;
    rc = take_key(d, j, &kind_key, file, err);
    if (rc < 0)
        return rc;
    for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (strcmp(d->kind, kinds[i].name) == 0) {
            *keys = kinds[i].keys;
            return 0;
        }
    return err_set(err, EINVAL,
                   "%s: key \"kind\" is \"%s\"; this program knows \"directory\", \"layer\", "
                   "\"live\" and \"frozen\"",
                   file, d->kind);
}

static int take_all(struct store_description *d, json_t *j, const struct key *keys,
                    const char *file, struct err *err)
{
    const struct key *k;
    const char *name;
    json_t *value;
    int rc = 0;

    for (k = keys; k->name && rc == 0; k++)
        rc = take_key(d, j, k, file, err);
    if (rc < 0)
        return rc;
    json_object_foreach(j, name, value)
    {
        for (k = keys; k->name && strcmp(k->name, name) != 0; k++)
            ;
        if (!k->name)
            return err_set(err, EINVAL, "%s: key \"%s\" is unknown", file, name);
    }
    return 0;
}

/* ---- what a value can be ---- */

static int refuse_text(const char *file, const char *key, const char *value, const char *why,
                       struct err *err)
{
    return err_set(err, EINVAL, "%s: key \"%s\" is \"%s\", which is %s", file, key, value, why);
}

static int refuse_number(const char *file, const char *key, int64_t value, const char *why,
                         struct err *err)
{
    return err_set(err, EINVAL, "%s: key \"%s\" is %lld, which is %s", file, key, (long long)value,
                   why);
}

static bool is_system_identifier(const char *text, uint64_t *value)
{
    size_t n = strspn(text, "0123456789");

    errno = 0;
    *value = n ? strtoull(text, NULL, 10) : 0;
    return n && !text[n] && errno == 0 && *value;
}

bool store_is_segment_size(int64_t bytes)
{
    return bytes >= SEGMENT_MIN && bytes <= SEGMENT_MAX && (bytes & (bytes - 1)) == 0;
}

static int check_lsn(const char *file, const char *key, const char *value, struct err *err)
{
    uint64_t lsn;

    return value && lsn_parse(value, &lsn) < 0
               ? refuse_text(file, key, value, "no place on the log", err)
               : 0;
}

static int check_cluster(const struct store_description *d, const char *file, struct err *err)
{
    uint64_t id;

    if (!d->system_identifier && !d->major && !d->segment_bytes) {
        if (d->conninfo || d->slot || d->slot_mark || d->log || d->restore_command)
            return err_set(err, EINVAL, "%s: key \"system_identifier\" is missing", file);
        return 0;
    }
    if (!d->system_identifier)
        return err_set(err, EINVAL, "%s: key \"system_identifier\" is missing", file);
    if (!is_system_identifier(d->system_identifier, &id))
        return refuse_text(file, "system_identifier", d->system_identifier,
                           "no number of a cluster", err);
    if (d->major < 1 || d->major > 999)
        return refuse_number(file, "major", d->major, "no major version", err);
    if (!store_is_segment_size(d->segment_bytes))
        return refuse_number(file, "segment_bytes", d->segment_bytes, "no size of a log segment",
                             err);
    if (d->log && d->log[0] != '/')
        return refuse_text(file, "log", d->log, "not absolute", err);
    if (d->slot_mark && !d->slot)
        return err_set(err, EINVAL, "%s: key \"slot\" is missing", file);
    return check_lsn(file, "slot_mark", d->slot_mark, err);
}

/* Since 1970, in parts of which there are `a_second`. */
static bool is_time(int64_t time, int64_t a_second)
{
    return time >= 0 && time / a_second <= STORE_TIME_MAX;
}

static int check_time(const char *file, const char *key, int64_t value, int64_t a_second,
                      struct err *err)
{
    return is_time(value, a_second)
               ? 0
               : refuse_number(file, key, value, "no time between 1970 and 2262", err);
}

/* Of a base and of a view. */
static int check_facts(const struct store_description *d, enum store_description_type type,
                       const char *file, struct err *err)
{
    int rc = check_lsn(file, "start_lsn", d->start_lsn, err);

    if (rc == 0)
        rc = check_lsn(file, "consistent_lsn", d->consistent_lsn, err);
    if (rc == 0)
        rc = check_lsn(file, "lsn", d->lsn, err);
    if (rc == 0)
        rc = check_time(file, "start_time", d->start_time, 1, err);
    if (rc == 0)
        rc = check_time(file, "consistent_time", d->consistent_time, 1, err);
    if (rc == 0)
        rc = check_time(file, "time_us", d->time_us, USEC, err);
    if (rc < 0)
        return rc;
    if (d->timeline < 0 || d->timeline > UINT32_MAX || (d->start_lsn && !d->timeline))
        return refuse_number(file, "timeline", d->timeline, "no timeline", err);
    if (type == BASE_JSON && !d->start_lsn &&
        (d->consistent_lsn || d->start_time || d->consistent_time || d->timeline))
        return err_set(err, EINVAL, "%s: key \"start_lsn\" is missing", file);
    return 0;
}

static int check_parent_name(const char *parent, enum store_description_type type, const char *file,
                             struct err *err)
{
    const char *view = store_view_of_parent(parent);

    if (type == VIEW_JSON)
        return view && store_is_view_name(view)
                   ? 0
                   : refuse_text(file, "parent", parent, "no view", err);
    return store_is_id(parent) ? 0 : refuse_text(file, "parent", parent, "no id of a base", err);
}

static bool is_state(const char *state)
{
    return strcmp(state, "open") == 0 || strcmp(state, "replaying") == 0 ||
           strcmp(state, "complete") == 0;
}

/* Of a base that is frozen. */
static int check_freeze(const struct store_description *d, const char *file, struct err *err)
{
    if (!store_is_id(d->live))
        return refuse_text(file, "live", d->live, "no id of a base", err);
    if (d->epoch < 1)
        return refuse_number(file, "epoch", d->epoch, "no number of a freeze", err);
    if (d->view && !store_is_view_name(d->view))
        return refuse_text(file, "view", d->view, "no name of a view", err);
    if (d->rung != 0 && d->rung != 1)
        return refuse_number(file, "rung", d->rung, "neither 0 nor 1", err);
    return d->start_lsn && d->consistent_lsn
               ? 0
               : err_set(err, EINVAL, "%s: key \"%s\" is missing", file,
                         d->start_lsn ? "consistent_lsn" : "start_lsn");
}

/* What a type alone does not tell. */
static int check_values(const struct store_description *d, enum store_description_type type,
                        const char *file, struct err *err)
{
    int rc = type == STORE_JSON ? check_cluster(d, file, err) : check_facts(d, type, file, err);

    if (rc < 0)
        return rc;
    if (type == STORE_JSON && d->page_bytes != PAGE_BYTES)
        return err_set(err, ENOTSUP,
                       "%s: key \"page_bytes\" is %lld; this program stores pages of %u bytes",
                       file, (long long)d->page_bytes, PAGE_BYTES);
    if (d->path && d->path[0] != '/')
        return refuse_text(file, "path", d->path, "not absolute", err);
    if (d->live && check_freeze(d, file, err) < 0)
        return -err->code;
    if (d->base && !store_is_id(d->base))
        return refuse_text(file, "base", d->base, "no id of a base", err);
    if (d->state && !is_state(d->state))
        return err_set(err, EINVAL,
                       "%s: key \"state\" is \"%s\"; this program knows \"open\", \"replaying\" "
                       "and \"complete\"",
                       file, d->state);
    return d->parent ? check_parent_name(d->parent, type, file, err) : 0;
}

int store_parse(enum store_description_type type, const char *bytes, size_t len, const char *file,
                struct store_description *d, struct err *err)
{
    const struct key *keys;
    json_error_t why;
    json_t *j = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &why);
    int rc = 0;

    memset(d, 0, sizeof(*d));
    if (!j)
        rc = err_set(err, EINVAL, "%s is damaged: line %d: %s", file, why.line, why.text);
    else if (!json_is_object(j))
        rc = err_set(err, EINVAL, "%s is damaged: it is no JSON object", file);
    if (rc == 0)
        rc = take_format(d, j, file, err);
    if (rc == 0)
        rc = choose_keys(type, d, j, file, &keys, err);
    if (rc == 0)
        rc = take_all(d, j, keys, file, err);
    if (rc == 0)
        rc = check_values(d, type, file, err);
    if (rc < 0)
        store_description_free(d);
    json_decref(j);
    return rc;
}

void store_description_free(struct store_description *d)
{
    free(d->kind);
    free(d->path);
    free(d->live);
    free(d->view);
    free(d->parent);
    free(d->base);
    free(d->state);
    free(d->system_identifier);
    free(d->conninfo);
    free(d->slot);
    free(d->slot_mark);
    free(d->log);
    free(d->restore_command);
    free(d->start_lsn);
    free(d->consistent_lsn);
    free(d->target);
    free(d->lsn);
    memset(d, 0, sizeof(*d));
}

/* ---- loading and saving ---- */

int store_load_description(const struct store *s, enum store_description_type type,
                           const char *path, struct store_description *d, struct err *err)
{
    char *file = mem_printf("%s/%s", s->path, path), *bytes = NULL;
    size_t len;
    int rc = disk_read_file(s->disk, path, DESCRIPTION_MAX, &bytes, &len);

    memset(d, 0, sizeof(*d));
    if (rc < 0)
        rc = err_set(err, -rc, "cannot read %s: %s", file, strerror(-rc));
    else
        rc = store_parse(type, bytes, len, file, d, err);
    free(bytes);
    free(file);
    return rc;
}

int store_save_description(struct disk *disk, const char *path, const char *shown, json_t *j,
                           struct err *err)
{
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL, *line = NULL;
    int rc;

    json_decref(j);
    if (!text)
        return err_set(err, EINVAL, "cannot describe %s in JSON: names must be UTF-8", shown);
    line = mem_printf("%s\n", text);
    rc = disk_replace_file(disk, path, line, strlen(line));
    if (rc < 0)
        rc = err_set(err, -rc, "cannot write %s/%s: %s", shown, path, strerror(-rc));
    free(line);
    free(text);
    return rc;
}

/* ---- what is written ---- */

/* NULL is left out of what it is put into. */
static json_t *maybe_number(int64_t value)
{
    return value ? json_integer(value) : NULL;
}

/* By a clock that is that wrong, it is not known. */
static json_t *maybe_time(int64_t value, int64_t a_second)
{
    return is_time(value, a_second) ? maybe_number(value) : NULL;
}

json_t *store_describe_empty(void)
{
    return json_pack("{s:i,s:i}", "format", STORE_FORMAT, "page_bytes", (int)PAGE_BYTES);
}

/* Puts what is known into j, which may be NULL, as what cannot be told is. */
static json_t *add_facts(json_t *j, const struct store_base_facts *f)
{
    char start[LSN_TEXT_MAX], consistent[LSN_TEXT_MAX];
    json_t *facts;

    if (!j || !f || f->plain)
        return j;
    facts = json_pack("{s:s,s:s*,s:o*,s:o*,s:o*}", "start_lsn", lsn_text(f->start_lsn, start),
                      "consistent_lsn",
                      f->consistent_lsn ? lsn_text(f->consistent_lsn, consistent) : NULL,
                      "start_time", maybe_time(f->start_time, 1), "consistent_time",
                      maybe_time(f->consistent_time, 1), "timeline", maybe_number(f->timeline));
    json_object_update(j, facts);
    json_decref(facts);
    return j;
}

json_t *store_describe_base(const char *path, const char *parent, const struct store_base_facts *f)
{
    return add_facts(json_pack("{s:i,s:s,s:s*,s:s*}", "format", STORE_FORMAT, "kind",
                               parent ? "layer" : "directory", "path", path, "parent", parent),
                     f);
}

json_t *store_describe_live(const char *path)
{
    return json_pack("{s:i,s:s,s:s}", "format", STORE_FORMAT, "kind", "live", "path", path);
}

json_t *store_describe_frozen(const char *live, const struct store_freeze *z,
                              const struct store_base_facts *f)
{
    return add_facts(json_pack("{s:i,s:s,s:s,s:I,s:s*,s:o*}", "format", STORE_FORMAT, "kind",
                               "frozen", "live", live, "epoch", (json_int_t)z->number, "view",
                               z->view, "rung", maybe_number(z->rung)),
                     f);
}

json_t *store_describe_view(const char *base, const char *parent, const struct store_view_facts *f)
{
    char lsn[LSN_TEXT_MAX];
    const char *state = f->complete ? "complete" : f->target ? "replaying" : "open";

    return json_pack("{s:i,s:s,s:s*,s:s,s:s*,s:s*,s:o*,s:o*}", "format", STORE_FORMAT, "base", base,
                     "parent", parent, "state", state, "target", f->target, "lsn",
                     f->lsn ? lsn_text(f->lsn, lsn) : NULL, "time_us", maybe_time(f->time_us, USEC),
                     "timeline", maybe_number(f->timeline));
}

uint64_t store_lsn_or_zero(const char *text)
{
    uint64_t lsn = 0;

    return text && lsn_parse(text, &lsn) == 0 ? lsn : 0;
}
