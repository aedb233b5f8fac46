#include "replay/viewmount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/proc.h"
#include "common/relay.h"
#include "pg/programs.h"

#define MOUNT_TIMEOUT_MS 60000 /* checking a large base against its manifest takes a while */
#define END_TIMEOUT_MS 60000

static int spawn_pagefs(struct viewmount *m, const struct viewmount_request *req, int out,
                        int voice, struct err *err)
{
    char *view = mem_printf("--view=%s", req->view);
    const struct pg_identity *as = req->dir->as;
    char *owner = mem_printf("--owner=%u:%u", (unsigned)as->uid, (unsigned)as->gid);
    char *parent = mem_printf("--parent=%d", (int)getpid());
    char *argv[] = {"asofs",         "pagefs", view, parent,
                    "--allow-other", owner,    "--", (char *)(uintptr_t)req->store,
                    req->dir->data,  NULL};
    struct proc_fd fds[] = {
        {PROC_NULL, STDIN_FILENO}, {out, STDOUT_FILENO}, {voice, STDERR_FILENO}};
    int rc;

    if (!as->change) /* one's own mount needs neither */
        memmove(&argv[4], &argv[6], 4 * sizeof(*argv));
    rc = proc_spawn(proc_self(), argv, NULL, fds, 3, &m->pagefs, err);
    free(view);
    free(owner);
    free(parent);
    return rc;
}

/* Its first line says that the view is mounted; its end that it cannot be. */
static int wait_for_mount(const struct viewmount *m, int stop_fd, struct err *err)
{
    struct pollfd p[] = {{.fd = m->out_fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
    char line[256];
    ssize_t n;

    if (poll(p, stop_fd >= 0 ? 2 : 1, MOUNT_TIMEOUT_MS) <= 0)
        return err_set(err, ETIMEDOUT, "the view was not mounted within a minute");
    if (stop_fd >= 0 && p[1].revents)
        return err_set(err, EINTR, "interrupted");
    n = read(m->out_fd, line, sizeof(line));
    if (n <= 0)
        return err_set(err, EIO, "the view cannot be served (see above)");
    return 0;
}

int viewmount_start(struct viewmount *m, const struct viewmount_request *req, struct err *err)
{
    int fds[2], voice, rc;

    *m = (struct viewmount){.out_fd = -1};
    rc = relay_start(&m->voice, &voice, err);
    if (rc < 0)
        return rc;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        close(voice);
        return err_errno(err, "cannot make a pipe");
    }
    m->out_fd = fds[0];
    rc = spawn_pagefs(m, req, fds[1], voice, err);
    close(fds[1]);
    close(voice);
    return rc < 0 ? rc : wait_for_mount(m, req->stop_fd, err);
}

int viewmount_end(struct viewmount *m, struct serverdir *dir, struct err *err)
{
    int status = 0, waited;
    char words[80];

    if (!m->pagefs)
        return 0;
    kill(m->pagefs, SIGTERM);
    waited = pg_program_ended(m->pagefs, END_TIMEOUT_MS, &status);
    if (!waited)
        proc_kill(m->pagefs);
    m->pagefs = 0;
    if (waited && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    serverdir_detach(dir);
    if (waited && WIFEXITED(status) && WEXITSTATUS(status) == VIEWMOUNT_FULL)
        return err_set(err, ENOSPC, "pages that replay changed could not be stored: %s",
                       strerror(ENOSPC));
    if (waited && WIFEXITED(status) && WEXITSTATUS(status) == VIEWMOUNT_LOST)
        return err_set(err, EIO, "pages that replay changed could not be stored");
    return err_set(err, EIO, "the process that served the view %s",
                   waited ? proc_describe(status, words, sizeof(words)) : "did not end");
}

/* It is not waited for here: viewmount_end does. */
bool viewmount_has_ended(const struct viewmount *m)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)m->pagefs, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid;
}

void viewmount_free(struct viewmount *m)
{
    if (m->out_fd >= 0)
        close(m->out_fd);
    relay_end(m->voice);
}
