#include "replay/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int owner_enter(const struct pg_programs *p, struct err *err)
{
    int rc = pg_identity_enter(&p->as);

    return rc < 0 ? err_set(err, -rc, "cannot become the owner of the store (user %u): %s",
                            (unsigned)p->as.uid, strerror(-rc))
                  : 0;
}

void owner_leave(const struct pg_programs *p)
{
    pg_identity_leave(&p->as);
}

static int check_writable(const char *path, const struct pg_programs *p, uid_t owner,
                          struct err *err)
{
    if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) == 0)
        return 0;
    err_errno(err, "the user %u cannot write the store %s", (unsigned)p->as.uid, path);
    return err->code == EACCES
               ? err_hint(err,
                          "It belongs to the user %u. Replayed pages are kept there: give all of "
                          "it to the one who works on it (chown -R %u), or name that user with "
                          "--run-as.",
                          (unsigned)owner, (unsigned)p->as.uid)
               : -err->code;
}

int owner_find_programs(const struct store *s, const char *bindir, struct pg_programs *p,
                        struct err *err)
{
    const struct store_cluster *c = store_cluster(s);
    struct pg_identity as = p->as;
    int rc;

    if (!c)
        return err_set(err, EINVAL, "the store %s has no base of a PostgreSQL cluster yet",
                       store_path(s));
    rc = pg_programs_find((int)c->major, bindir, &as, p, err);
    p->as = as;
    return rc;
}

/* Whose the store is, root may look at: it opens nothing for that. */
int owner_open(const char *path, const char *run_as, struct store **s, struct pg_programs *p,
               struct err *err)
{
    bool is_store = store_is(path);
    struct stat st;
    int rc;

    *p = (struct pg_programs){0};
    if (stat(path, &st) < 0)
        return err_errno(err, "cannot open the store %s", path);
    rc = pg_identity_find(run_as, st.st_uid, &p->as, err);
    if (rc == 0)
        rc = pg_identity_check_place(path, st.st_uid, &p->as, err);
    if (rc == 0)
        rc = owner_enter(p, err);
    if (rc < 0)
        p->as.change = false; /* nothing to leave */
    if (rc == 0 && is_store)
        rc = check_writable(path, p, st.st_uid, err);
    return rc == 0 ? store_open(path, s, err) : rc; /* says what is no store */
}

int owner_open_store(const char *path, const char *run_as, const char *bindir, struct store **s,
                     struct pg_programs *p, struct err *err)
{
    int rc = owner_open(path, run_as, s, p, err);

    return rc == 0 ? owner_find_programs(*s, bindir, p, err) : rc;
}
