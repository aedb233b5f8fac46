#include "common/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/proc.h"

/* The child says what went wrong itself; only a death without words needs ours. */
static int wait_for_child(pid_t pid, int fd, int *status, struct err *err)
{
    char how[96], byte;
    ssize_t n;
    int ended;

    do {
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    *status = 0;
    if (n == 1)
        return 1;
    ended = proc_wait(pid);
    if (!WIFEXITED(ended))
        return err_set(err, EIO, "the background process %s",
                       proc_describe(ended, how, sizeof(how)));
    *status = WEXITSTATUS(ended);
    return 1;
}

int daemon_fork(int *parent_fd, int *status, struct err *err)
{
    int pair[2], rc;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, "cannot create a socket pair");
    pid = fork();
    if (pid < 0)
        return err_errno(err, "cannot start a background process");
    if (pid > 0) {
        close(pair[1]);
        rc = wait_for_child(pid, pair[0], status, err);
        close(pair[0]);
        return rc;
    }
    close(pair[0]);
    setsid(); /* Ctrl-C reaches the parent only; its end is our sign to stop */
    *parent_fd = pair[1];
    return 0;
}

int daemon_ready(int parent_fd, struct err *err)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), rc = 0;

    log_to_syslog();
    if (chdir("/") < 0 || null_fd < 0)
        log_error("cannot let go of the working directory or terminal");
    dup2(null_fd, STDIN_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    dup2(null_fd, STDERR_FILENO);
    close(null_fd);
    if (send(parent_fd, "", 1, MSG_NOSIGNAL) != 1)
        rc = err_set(err, EPIPE, "the command that wanted this mount is gone");
    close(parent_fd);
    return rc;
}
