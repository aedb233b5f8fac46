#include "view/pagestore.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"

#define TEMPORARY ".tmp" /* ends the names of views that are not kept */

const char *const page_hidden[] = {
    "postgresql.conf", "postgresql.auto.conf", "pg_hba.conf",    "pg_ident.conf",  "postmaster.pid",
    "postmaster.opts", "recovery.signal",      "standby.signal", "tablespace_map", NULL};

void page_become_owner(const struct pg_programs *p)
{
    if (p->as.change && (setegid(p->as.gid) < 0 || seteuid(p->as.uid) < 0))
        log_error("cannot become the owner of the store: %s", strerror(errno));
}

void page_become_self(const struct pg_programs *p)
{
    if (p->as.change && (seteuid(0) < 0 || setegid(0) < 0))
        log_error("cannot become root again: %s", strerror(errno));
}

int page_find_programs(const struct store *s, const char *run_as, const char *bindir,
                       struct pg_programs *p, struct err *err)
{
    const struct store_cluster *c = store_cluster(s);
    struct pg_identity id;
    struct stat st;
    int rc;

    if (!c)
        return err_set(err, EINVAL, "the store %s has no base of a PostgreSQL cluster yet",
                       store_path(s));
    if (stat(store_path(s), &st) < 0)
        return err_errno(err, "cannot look at %s", store_path(s));
    rc = pg_identity_find(run_as, st.st_uid, &id, err);
    return rc < 0 ? rc : pg_programs_find((int)c->major, bindir, &id, p, err);
}

/* "NAME-<pid>.tmp": of a process that may have ended. */
static bool is_leftover(const char *name)
{
    const char *dash = strrchr(name, '-');
    char *end;
    long pid = dash ? strtol(dash + 1, &end, 10) : 0;

    return pid > 0 && strcmp(end, TEMPORARY) == 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

char *page_temporary_name(const char *what)
{
    return mem_printf("%s-%d%s", what, (int)getpid(), TEMPORARY);
}

/* Those on others first: they are the scratch views. */
void page_clear_leftovers(struct store *s)
{
    char **names, **n;
    int round;

    if (store_views(s, &names, NULL) < 0)
        return;
    for (round = 0; round < 2; round++)
        for (n = names; *n; n++)
            if (is_leftover(*n))
                store_drop_view(s, *n, NULL);
    store_names_free(names);
}

int page_read_bases(struct store *s, char *const *ids, struct moment_base **bases, unsigned *n,
                    struct err *err)
{
    size_t count = 0;
    int rc = 0;

    while (ids[count])
        count++;
    *bases = mem_array(count + 1, sizeof(**bases));
    for (*n = 0; rc == 0 && *ids; ids++) {
        (*bases)[*n].id = *ids;
        rc = store_base_facts(s, *ids, &(*bases)[*n].facts, err);
        if (rc == 0 && !(*bases)[*n].facts.plain)
            (*n)++;
    }
    return rc;
}

int page_make_durable(struct store *s, const char *view, struct err *err)
{
    struct datadir_recovery recovery;
    struct store_view *v = NULL;
    int rc = store_open_view(s, view, STORE_NO_BASE_CHECK, NULL, NULL, &v, &recovery, err);

    if (rc == 0 && recovery.unclean)
        rc =
            err_set(err, EIO, "the view \"%s\" was not closed by the process that served it", view);
    if (rc == 0)
        rc = datadir_complete(store_view_datadir(v), err);
    if (v && store_close_view(v, rc < 0 ? NULL : err) < 0 && rc == 0)
        rc = -err->code;
    return rc;
}
