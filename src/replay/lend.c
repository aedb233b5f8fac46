#include "replay/lend.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/proc.h"

/* Who may not even read it gets to it all the same. */
static int open_program(const struct pg_identity *as)
{
    int fd;

    pg_identity_leave(as);
    fd = open(proc_self(), O_RDONLY | O_CLOEXEC);
    pg_identity_enter_again(as);
    return fd;
}

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3: an older one gives the right to execute by itself */
#endif

static int make_memory(struct err *err)
{
    int fd = memfd_create("asofs", MFD_CLOEXEC | MFD_EXEC);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("asofs", MFD_CLOEXEC);
    return fd < 0 ? err_errno(err, "cannot make a program in memory") : fd;
}

static int copy_bytes(int from, int to, struct err *err)
{
    struct stat st;
    ssize_t n = 1;

    if (fstat(from, &st) < 0)
        return err_errno(err, "cannot look at this program");
    for (; st.st_size > 0 && n > 0; st.st_size -= n)
        n = sendfile(to, from, NULL, (size_t)st.st_size);
    if (n <= 0 || fchmod(to, 0755) < 0)
        return err_errno(err, "cannot copy this program");
    return 0;
}

static int lend_copy(const struct pg_identity *as, int *fd, struct err *err)
{
    int from = open_program(as), rc;

    if (from < 0)
        return err_errno(err, "cannot read this program");
    *fd = rc = make_memory(err);
    if (rc >= 0)
        rc = copy_bytes(from, *fd, err);
    close(from);
    if (rc >= 0)
        return 0;
    err_prefix(err, "the user %u, who runs PostgreSQL, cannot run asofs where it is",
               (unsigned)as->uid);
    return err_hint(err, "Install it where that user can reach it.");
}

static bool reaches_program(void)
{
    char program[PATH_MAX];
    ssize_t len = readlink(proc_self(), program, sizeof(program) - 1);

    program[len < 0 ? 0 : len] = 0;
    return faccessat(AT_FDCWD, program, X_OK, AT_EACCESS) == 0;
}

int lend_program(const struct pg_identity *as, int *fd, struct err *err)
{
    *fd = -1;
    return reaches_program() ? 0 : lend_copy(as, fd, err);
}
