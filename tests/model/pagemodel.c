/*
 * usage: pagemodel --make-base [option...] ORACLE
 *        pagemodel [option...] MOUNT ORACLE
 *        pagemodel --self-test [--seed=N]
 *
 * First fill ORACLE, copy it to what the file system at MOUNT is made over, then run the model.
 * Options:
 *   --seed=N --threads=N --operations=N (of all threads together)
 *   --kills=N --kill-command=C    so often C ends the process that serves MOUNT, at a random moment
 *   --reopens=N --stop-command=C  so often C unmounts MOUNT, when nothing is open
 *   --start-command=C             serves MOUNT again, after either; returns when it is there
 * --seed and --threads have to be the same for both. Commands are for sh. Exit status 0 when
 * nothing differed, 1 with a message otherwise, 2 for wrong usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

#define FUSE_MAGIC 0x65735546

/* ---- failures ---- */

static pthread_mutex_t fail_lock =
    PTHREAD_MUTEX_INITIALIZER; /* one tells, the others stay silent */

void model_fail(struct model *m, struct thread *t, const struct op *op, const char *format, ...)
{
    char what[512];
    va_list args;
    pthread_mutex_lock(&fail_lock);
    fprintf(stderr, "pagemodel: seed %ju", (uintmax_t)m->seed);
    if (t)
        fprintf(stderr, ", thread %u, operation %ju", t->number, (uintmax_t)t->operation);
    if (op && op->kind != OP_NONE) {
        op_describe(op, what, sizeof what);
        fprintf(stderr, ": %s", what);
    }
    fputs(": ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\n", stderr);
    for (unsigned i = 1; t && i <= LOG; i++)
        if (t->log[(t->operation + i) % LOG][0])
            fprintf(stderr, "    %jd: %s\n", (intmax_t)(t->operation + i) - LOG,
                    t->log[(t->operation + i) % LOG]);
    fflush(stderr);
    _exit(1);
}

/* ---- the gate ---- */

static void gate_wait(struct thread *t)
{
    struct model *m = t->m;
    pthread_mutex_lock(&m->lock);
    uint64_t opened = m->opened;
    m->waiting++;
    pthread_cond_broadcast(&m->changed);
    while (m->opened == opened)
        pthread_cond_wait(&m->changed, &m->lock);
    pthread_mutex_unlock(&m->lock);
}

static void gate_close(struct model *m)
{
    m->closed = true;
    pthread_mutex_lock(&m->lock);
    while (m->waiting + m->finished < m->threads)
        pthread_cond_wait(&m->changed, &m->lock);
    pthread_mutex_unlock(&m->lock);
}

static void gate_open(struct model *m)
{
    pthread_mutex_lock(&m->lock);
    m->closed = false;
    m->opened++;
    m->waiting = 0; /* also those that have not woken up yet: the gate may soon be closed again */
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

/* ---- threads ---- */

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct model *m = t->m;
    uint64_t operations = m->operations / m->threads;
    for (uint64_t i = 0; i < operations; i++) {
        /* A pretended end is for every thread to see. */
        if (t->down || (m->closed && !(m->pretend && m->ending)))
            gate_wait(t);
        step(t);
        m->done++;
    }
    pthread_mutex_lock(&m->lock);
    m->finished++;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static void thread_init(struct model *m, unsigned number)
{
    struct thread *t = &m->thread[number];
    struct stat st;
    char path[32];
    t->m = m;
    t->number = number;
    t->random.state = m->seed * 1000003 + number;
    t->stale = true;
    snprintf(t->dir, sizeof t->dir, "t%u", number);
    for (size_t i = 0; i < HANDLES; i++)
        t->handles[i].fd[SUBJECT] = t->handles[i].fd[ORACLE] = -1;
    for (int side = 0; side < 2; side++)
        if (!(t->buffer[side] = malloc(LONGEST + 4096)))
            abort();
    for (unsigned i = 0; i < SHARED; i++) {
        snprintf(path, sizeof path, "shared/s%u", i);
        if (fstatat(m->root[ORACLE], path, &st, 0) != 0)
            model_fail(m, NULL, NULL, "%s: %s", path, strerror(errno));
        t->shared_end[i] = (uint64_t)st.st_size;
    }
}

static void thread_free(struct thread *t)
{
    for (int side = 0; side < 2; side++) {
        thread_close_all(t, side);
        free(t->buffer[side]);
    }
    for (size_t i = 0; i < t->n_entries; i++)
        free(t->entries[i].path);
}

/* ---- the director ---- */

static void run(struct model *m, const char *command)
{
    int status = command ? system(command) : 0;
    if (status != 0)
        model_fail(m, NULL, NULL, "status %x of: %s", (unsigned)status, command);
}

static void open_root(struct model *m, enum side side)
{
    m->root[side] = open(m->path[side], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->root[side] < 0)
        model_fail(m, NULL, NULL, "%s: %s", m->path[side], strerror(errno));
}

static void compare_all(struct model *m)
{
    struct difference d;
    pretend_fault(m);
    if (!compare_tree(m, ".", &d))
        model_fail(m, NULL, NULL, "comparing everything after %ju operations: %s",
                   (uintmax_t)m->done, d.text);
}

/* The file system ends, by a kill or properly, and comes back. */
static void change_process(struct model *m, bool kill, struct random *r)
{
    if (kill) {
        m->storm = random_one_in(r, 2);
        usleep((useconds_t)random_below(r, 20000));
        m->ending = true;
        run(m, m->kill_command);
        m->storm = false;
    }
    gate_close(m);
    for (unsigned i = 0; i < m->threads; i++)
        thread_close_all(&m->thread[i], SUBJECT);
    close(m->root[SUBJECT]);
    if (!kill)
        run(m, m->stop_command);
    run(m, m->start_command);
    open_root(m, SUBJECT);
    m->ending = false;
    settle_all(m);
    for (unsigned i = 0; i < m->threads; i++) {
        thread_close_all(&m->thread[i], ORACLE);
        m->thread[i].down = false;
        m->thread[i].stale = true;
    }
    compare_all(m);
    m->n_damages = 0; /* those left are of pages that no longer are */
    gate_open(m);
}

static void wait_done(struct model *m, uint64_t operations)
{
    while (m->done < operations)
        usleep(500);
}

static void direct(struct model *m)
{
    struct random r = {m->seed ^ 0xd12ec7};
    unsigned events = m->kills + m->reopens, kills = m->kills;
    uint64_t each = m->operations / (events + 1);
    for (unsigned i = 0; i < events; i++) {
        bool kill = random_below(&r, events - i) < kills;
        wait_done(m, each * i + each / 2 + random_below(&r, each / 2 + 1));
        change_process(m, kill, &r);
        kills -= kill;
    }
    for (unsigned i = 0; i < m->threads; i++)
        pthread_join(m->thread[i].id, NULL);
}

/* What the two file systems are like. */
static void look(struct model *m)
{
    struct statfs s;
    struct stat st;
    open_root(m, SUBJECT);
    open_root(m, ORACLE);
    m->fuse = fstatfs(m->root[SUBJECT], &s) == 0 && s.f_type == FUSE_MAGIC;
    m->links = fstatat(m->root[ORACLE], "t0/d0", &st, 0) == 0 && st.st_nlink == 3;
}

static int run_model(struct model *m)
{
    look(m);
    bus_guard();
    m->thread = calloc(m->threads, sizeof *m->thread);
    if (!m->thread)
        abort();
    compare_all(m);
    for (unsigned i = 0; i < m->threads; i++)
        thread_init(m, i);
    for (unsigned i = 0; i < m->threads; i++)
        if (pthread_create(&m->thread[i].id, NULL, thread_main, &m->thread[i]) != 0)
            abort();
    direct(m);
    compare_all(m);
    for (unsigned i = 0; i < m->threads; i++)
        thread_free(&m->thread[i]);
    free(m->thread);
    printf("pagemodel: seed %ju: %ju operations, %u kills, %u re-opens, %ju in flight "
           "(%ju bytes or names had changed, %ju pages unreadable), nothing differs\n",
           (uintmax_t)m->seed, (uintmax_t)m->done, m->kills, m->reopens, (uintmax_t)m->inflight,
           (uintmax_t)m->happened, (uintmax_t)m->unreadable);
    return 0;
}

static int make_base(struct model *m, const char *path)
{
    m->path[ORACLE] = path;
    open_root(m, ORACLE);
    base_fill(m);
    return 0;
}

/* ---- options ---- */

enum { SEED = 1, THREADS, OPERATIONS, KILLS, KILL_COMMAND, REOPENS, STOP, START, FAULT };

static const struct option options[] = {
    {"seed", required_argument, NULL, SEED},
    {"threads", required_argument, NULL, THREADS},
    {"operations", required_argument, NULL, OPERATIONS},
    {"kills", required_argument, NULL, KILLS},
    {"kill-command", required_argument, NULL, KILL_COMMAND},
    {"reopens", required_argument, NULL, REOPENS},
    {"stop-command", required_argument, NULL, STOP},
    {"start-command", required_argument, NULL, START},
    {"fault", required_argument, NULL, FAULT},
    {"pretend", no_argument, NULL, 'p'},
    {"make-base", no_argument, NULL, 'b'},
    {"self-test", no_argument, NULL, 't'},
    {0},
};

static int usage(void)
{
    fprintf(stderr, "usage: pagemodel [--seed=N] [--threads=N] [--operations=N] [--kills=N "
                    "--kill-command=C]\n"
                    "                 [--reopens=N --stop-command=C] [--start-command=C] MOUNT "
                    "ORACLE\n"
                    "       pagemodel --make-base [--seed=N] [--threads=N] ORACLE\n"
                    "       pagemodel --self-test [--seed=N]\n");
    return 2;
}

static void take_option(struct model *m, int option, int *what)
{
    uint64_t number = optarg ? strtoull(optarg, NULL, 10) : 0;
    if (option == SEED)
        m->seed = number;
    else if (option == THREADS)
        m->threads = (unsigned)number;
    else if (option == OPERATIONS)
        m->operations = number;
    else if (option == KILLS)
        m->kills = (unsigned)number;
    else if (option == REOPENS)
        m->reopens = (unsigned)number;
    else if (option == KILL_COMMAND)
        m->kill_command = optarg;
    else if (option == STOP)
        m->stop_command = optarg;
    else if (option == START)
        m->start_command = optarg;
    else if (option == FAULT)
        m->fault = (enum fault)number;
    else if (option == 'p')
        m->pretend = true;
    else
        *what = option;
}

int main(int argc, char **argv)
{
    static struct model m = {.seed = 1,
                             .threads = 4,
                             .operations = 20000,
                             .root = {-1, -1},
                             .lock = PTHREAD_MUTEX_INITIALIZER,
                             .changed = PTHREAD_COND_INITIALIZER,
                             .damage_lock = PTHREAD_MUTEX_INITIALIZER};
    int what = 0, option;
    umask(022);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(&m, option, &what);
    argc -= optind;
    if (what == 't' && argc == 0)
        return pretend_self_test(argv[0], m.seed);
    if (what == 'b' && argc == 1 && m.threads > 0)
        return make_base(&m, argv[optind]);
    if (what != 0 || argc != 2 || m.threads == 0 || m.threads > 64)
        return usage();
    m.path[SUBJECT] = argv[optind];
    m.path[ORACLE] = argv[optind + 1];
    return run_model(&m);
}
