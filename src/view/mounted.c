#include "view/mounted.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ask.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/mounts.h"
#include "replay/serverdir.h"

/* ---- one ---- */

/* In a child. The kernel may know much of the directory by itself, but not this. */
static int await_answer(void *dir, FILE *out)
{
    (void)out;
    mounts_is_dead(dir);
    return 0;
}

int mounted_open(struct inspected *i, const char *dir, struct err *err)
{
    struct buf nothing = {0};
    int rc = ask(await_answer, (char *)(uintptr_t)dir, &nothing, err);

    buf_free(&nothing);
    if (rc == -ETIMEDOUT)
        return err_set(
            err, ETIMEDOUT,
            "%s: the process that serves it does not answer; if it is stopped, let it go "
            "on (kill -CONT), or take the mount away (umount -l)",
            dir);
    return rc < 0 && rc != -EIO ? rc : inspect_open(i, dir, err);
}

/* ---- all ---- */

struct asked {
    char *dir, *source;
    struct ask ask;
};

struct asking {
    struct asked *mounts;
    size_t n, room;
};

static int add_mount(void *arg, const char *dir, const char *source)
{
    struct asking *a = arg;

    if (serverdir_has_mounted(dir))
        return 0;
    a->mounts = mem_grow(a->mounts, a->n + 1, &a->room, sizeof(*a->mounts));
    a->mounts[a->n++] = (struct asked){.dir = mem_strdup(dir), .source = mem_strdup(source)};
    return 0;
}

static bool is_data_directory(const char *dir)
{
    char *path = mem_printf("%s/PG_VERSION", dir);
    bool is = access(path, F_OK) == 0;

    free(path);
    return is;
}

static const char *other_state(const char *dir, const struct err *err)
{
    return mounts_is_dead(dir)                           ? "dead"
           : is_data_directory(dir)                      ? "pages"
           : strstr(err->text, strerror(EACCES)) != NULL ? "closed"
                                                         : "unknown";
}

/* In a child. The state, a NUL, the moment. */
static int find_state(void *arg, FILE *out)
{
    const struct asked *a = arg;
    struct inspected i;
    struct err err;

    if (inspect_open(&i, a->dir, &err) < 0) {
        fprintf(out, "%s%c-", other_state(a->dir, &err), '\0');
        return 0;
    }
    fprintf(out, "%s%c%s", i.state, '\0', i.moment);
    inspect_free(&i);
    return 0;
}

static int ask_all(struct asking *a, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < a->n && rc == 0; i++)
        rc = ask_start(&a->mounts[i].ask, find_state, &a->mounts[i], err);
    return rc;
}

static void tell_answers(struct asking *a, void (*tell)(void *arg, const struct mounted *m),
                         void *arg)
{
    int64_t deadline = clock_ms() + ASK_PATIENCE_MS;
    size_t i;

    for (i = 0; i < a->n; i++) {
        struct mounted m = {a->mounts[i].dir, a->mounts[i].source, "unknown", "-"};
        struct buf answer = {0};
        int rc = ask_wait(&a->mounts[i].ask, deadline, &answer);

        if (rc == 0) {
            m.state = answer.data;
            m.moment = answer.data + strlen(answer.data) + 1;
        } else if (rc == -ETIMEDOUT) {
            m.state = "no answer";
        }
        tell(arg, &m);
        buf_free(&answer);
    }
}

int mounted_each(void (*tell)(void *arg, const struct mounted *m), void *arg, struct err *err)
{
    struct asking a = {0};
    size_t i;
    int rc = inspect_each_mount(add_mount, &a, err);

    if (rc == 0)
        rc = ask_all(&a, err);
    if (rc == 0)
        tell_answers(&a, tell, arg);
    for (i = 0; i < a.n; i++) {
        free(a.mounts[i].dir);
        free(a.mounts[i].source);
    }
    free(a.mounts);
    return rc;
}
