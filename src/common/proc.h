/*
 * Child processes. Started with posix_spawn, so that a process with threads can start one at any
 * time; all descriptors but those named are closed in the child by close-on-exec.
 */
#ifndef ASOFS_COMMON_PROC_H
#define ASOFS_COMMON_PROC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

#define PROC_NULL (-1)

struct proc_fd {
    int ours;   /* open here; or PROC_NULL: /dev/null */
    int theirs; /* its number in the child */
};

/*
 * Start `path` (searched in PATH when it has no slash) with argv; env entries "NAME=value" in
 * extra_env (NULL-terminated, may be NULL) are added to our environment. The child has an empty
 * signal mask, default signals, and the process's rights, not those that a thread has for a while
 * (pg/identity.h). Returns 0 and the pid, or a negative errno.
 */
int proc_spawn(const char *path, char *const argv[], char *const extra_env[],
               const struct proc_fd *fds, size_t nfds, pid_t *pid, struct err *err);

/*
 * Of the signals that whoever started us blocked or ignored, those back to normal without which a
 * process cannot work: an ignored SIGCHLD loses the wait status of every child. What nohup and a
 * shell's "&" ignore stays ignored. At the very beginning of main.
 */
void proc_reset_signals(void);

/*
 * Limits of whoever started us that would be met without words: more descriptors as far as that is
 * ours to choose, too large a file is an error (EFBIG) and no signal, and a umask takes nothing
 * from a file's owner, who has to go on working with it. At the very beginning of main.
 */
void proc_widen_limits(void);

/* A command line that is put together. */
struct proc_args {
    char **argv; /* NULL-terminated once something was added */
    size_t n, room;
    size_t bytes; /* of all, with the NULs */
};

void proc_args_add(struct proc_args *a, char *owned); /* taken over */
void proc_args_free(struct proc_args *a);

/*
 * For who gives up rights for good, and for what is started as somebody else: whoever that is may
 * trace it, and with a controlling terminal could type there (TIOCSTI) what the shell of who had
 * the rights runs next. What the keys send still comes; a leader of a session stays as it is, for
 * nobody else reads there.
 */
void proc_leave_terminal(void);

/* The program that is running, as a path that can be started again even if the file was replaced.
 */
const char *proc_self(void);

/*
 * Run this program anew with argv, to its end; what it writes to standard error is put to `said`,
 * its input and output are /dev/null. stop_fd readable: it is ended (SIGTERM), and -EINTR. Its exit
 * status, or a negative errno (`said` says why, too).
 */
int proc_run_self(char *const argv[], int stop_fd, struct buf *said);

/* Wait for the end of a child; returns its wait status, or -1. */
int proc_wait(pid_t pid);

/* SIGKILL and wait. */
void proc_kill(pid_t pid);

/* Is there no such process any more? One that nobody has waited for yet runs no more either. */
bool proc_has_ended(pid_t pid);

/* A thread that no signal is delivered to: they are for the thread that waits for them. 0 or an
 * errno, as pthread_create. */
int proc_thread(pthread_t *thread, void *(*run)(void *arg), void *arg);

/* A child's wait status in words ("exited with status 1", "was killed by signal 9 (Killed)"). */
const char *proc_describe(int status, char *out, size_t room);

#endif
