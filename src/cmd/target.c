#include "cmd/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/proc.h"
#include "pg/shadow.h"

#define MAX_JOBS 64
#define DEFAULT_JOBS 2

const char target_help[] =
    "      --name=NAME           of the copy (default: that of the source's database)\n"
    "      --publish=HOW         swap: new tables take the place of the old ones; rows: what\n"
    "                            differs is changed; inplace: cleared and loaded (default: swap)\n"
    "      --unlogged            with swap: the new tables are unlogged: filled faster, and lost,\n"
    "                            with the label of the copy, when TARGET crashes\n"
    "      --create=WHICH        tables that are not there: missing, never (default: missing)\n"
    "      --target-schema=NAME  where all tables go (default: as in the source)\n"
    "      --delete-jobs=N       delete workers (default: 2)\n"
    "      --load-jobs=N         loader workers (default: 2)\n"
    "      --publish-timeout=TIME  how long to wait for readers in the way (default: 60s)\n";

static const char *const publish_names[] = {"swap", "rows", "inplace", NULL};
static const char *const create_names[] = {"missing", "never", NULL};

#define JOBS_WRONG "is not a number from 1 to 64"

static bool is_name(const char *s)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t len = strlen(s);

    return len && len <= PG_COPY_NAME_MAX && strspn(s, good) == len;
}

static int check_name(const char *s, struct err *err)
{
    return is_name(s) ? 0
                      : err_set(err, EINVAL,
                                "is no name for a copy: letters, digits, _ and -, at "
                                "most %d",
                                PG_COPY_NAME_MAX);
}

const struct option_def target_options[] = {
    OPTION_CHECKED_TEXT("name", 0, struct target_options, name, check_name),
    OPTION_CHOICE("publish", 0, struct target_options, request.mode, publish_names),
    OPTION_FLAG("unlogged", 0, struct target_options, request.unlogged),
    OPTION_CHOICE("create", 0, struct target_options, create, create_names),
    OPTION_TEXT("target-schema", 0, struct target_options, schema),
    OPTION_NUMBER("delete-jobs", 0, struct target_options, request.delete_jobs, 10, 1, MAX_JOBS,
                  JOBS_WRONG),
    OPTION_NUMBER("load-jobs", 0, struct target_options, request.load_jobs, 10, 1, MAX_JOBS,
                  JOBS_WRONG),
    OPTION_DURATION("publish-timeout", 0, struct target_options, request.publish_timeout_ms, 1,
                    "is not a duration; write 500ms, 10s, 5min"),
    OPTION_END,
};

void target_init(struct target_options *t)
{
    *t = (struct target_options){.request = {.delete_jobs = DEFAULT_JOBS,
                                             .load_jobs = DEFAULT_JOBS,
                                             .worker_timeout_ms = 60000,
                                             .lock_timeout_ms = 10000,
                                             .publish_timeout_ms = 60000,
                                             .stop_fd = -1}};
}

void target_free(struct target_options *t)
{
    free(t->name);
    free(t->schema);
    free((char *)(uintptr_t)t->request.target);
    *t = (struct target_options){0};
}

int target_check(const struct target_options *t, struct err *err)
{
    if (t->request.unlogged && t->request.mode != LOADING_SWAP)
        return err_set(
            err, EINVAL,
            "--unlogged is about new tables, and --publish=%s keeps those that there are",
            publish_names[t->request.mode]);
    return 0;
}

void target_take(struct target_options *t, char *arg)
{
    t->request.target = mem_strdup(arg);
    pg_target_scrub(arg);
}

int target_name(struct target_options *t, const char *database, struct err *err)
{
    if (!t->name)
        t->name = mem_strdup(database);
    if (!is_name(t->name))
        return err_set(err, EINVAL,
                       "\"%s\" is no name for a copy: letters, digits, _ and -, at most %d "
                       "(--name)",
                       t->name, PG_COPY_NAME_MAX);
    t->request.name = t->name;
    t->request.create = t->create == CREATE_MISSING;
    return 0;
}

char *target_schema_of(const struct target_options *t, const char *schema)
{
    return mem_strdup(t->schema ? t->schema : schema);
}

static int by_target(const void *a, const void *b)
{
    const struct load_table *x = *(const struct load_table *const *)a,
                            *y = *(const struct load_table *const *)b;
    int d = strcmp(x->name, y->name);

    return d ? d : strcmp(x->target_schema, y->target_schema);
}

int target_check_list(const struct load_list *list, struct err *err)
{
    const struct load_table **sorted = mem_array(list->n + 1, sizeof(*sorted));
    size_t i;
    int rc = 0;

    for (i = 0; i < list->n; i++)
        sorted[i] = &list->tables[i];
    qsort(sorted, list->n, sizeof(*sorted), by_target);
    for (i = 1; i < list->n && rc == 0; i++)
        if (by_target(&sorted[i - 1], &sorted[i]) == 0)
            rc = err_set(err, EINVAL, "%s.%s and %s.%s would be one table of the second database",
                         sorted[i - 1]->schema, sorted[i - 1]->name, sorted[i]->schema,
                         sorted[i]->name);
    free(sorted);
    return rc;
}
