/*
 * The test of the test, on a plain directory: the end of a file system is pretended, with
 * operations in flight that happened, did not, or did in part; that must be settled. Faults are
 * made behind the model's back; each must be found, and said in the right words.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

/* ---- pages that cannot be read ---- */

static void damage_add(struct model *m, int fd, uint64_t page)
{
    struct stat st;
    pthread_mutex_lock(&m->damage_lock);
    if (fstat(fd, &st) == 0 && m->n_damages < sizeof m->damages / sizeof *m->damages)
        m->damages[m->n_damages++] = (struct damage){st.st_ino, page};
    pthread_mutex_unlock(&m->damage_lock);
}

bool pretend_damaged(struct model *m, int fd, uint64_t offset, size_t n)
{
    struct stat st;
    bool found = false;
    if (fstat(fd, &st) != 0)
        return false;
    pthread_mutex_lock(&m->damage_lock);
    for (size_t i = 0; i < m->n_damages; i++) {
        uint64_t at = m->damages[i].page * PAGE;
        found |= m->damages[i].inode == st.st_ino && at < (uint64_t)st.st_size && at < offset + n &&
                 at + PAGE > offset;
    }
    pthread_mutex_unlock(&m->damage_lock);
    return found;
}

/* What is written whole can be read again. */
void pretend_repair(struct model *m, int fd, uint64_t offset, size_t n)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return;
    pthread_mutex_lock(&m->damage_lock);
    for (size_t i = 0; i < m->n_damages; i++) {
        uint64_t at = m->damages[i].page * PAGE;
        if (m->damages[i].inode == st.st_ino && at >= offset && at + PAGE <= offset + n)
            m->damages[i--] = m->damages[--m->n_damages];
    }
    pthread_mutex_unlock(&m->damage_lock);
}

/* ---- the end ---- */

/* Some pages of a write. */
static void happen_in_part(struct thread *t, struct op *op)
{
    int fd = op->handle->fd[SUBJECT];
    uint64_t page = op->offset / PAGE;
    for (; page * PAGE < op->offset + op->length; page++) {
        struct op part = *op;
        uint64_t from = page * PAGE > op->offset ? page * PAGE : op->offset;
        uint64_t to = (page + 1) * PAGE;
        to = to < op->offset + op->length ? to : op->offset + op->length;
        part.offset = from;
        part.length = to - from;
        part.bytes[0] = op->bytes[0] + (from - op->offset);
        if (!op->handle->append && random_one_in(&t->random, 2))
            op_apply(t->m, &part, SUBJECT);
        if (random_one_in(&t->random, 4))
            damage_add(t->m, fd, page);
    }
}

static void happen_wrongly(struct thread *t, struct op *op)
{
    for (uint64_t i = 0; i < op->length; i++)
        op->bytes[0][i] ^= 0x55;
    op_apply(t->m, op, SUBJECT);
    for (uint64_t i = 0; i < op->length; i++)
        op->bytes[0][i] ^= 0x55;
}

void pretend_end(struct thread *t, struct op *op)
{
    t->down = true;
    t->inflight = *op;
    if (op_writes(op) && t->m->fault == FAULT_INFLIGHT) {
        happen_wrongly(t, op);
    } else if (random_one_in(&t->random, 2)) {
        op_apply(t->m, op, SUBJECT);
        if (op->kind == OP_OPEN && op->handle->fd[SUBJECT] >= 0) {
            close(op->handle->fd[SUBJECT]);
            op->handle->fd[SUBJECT] = -1;
        }
    } else if (op_writes(op)) {
        happen_in_part(t, op);
    }
}

/* ---- faults ---- */

int64_t pretend_wrong(struct thread *t, struct op *op, int64_t got)
{
    struct model *m = t->m;
    if (got < 0 || t->operation < 100 || m->fault_done)
        return got;
    if (m->fault == FAULT_ERROR && op->kind == OP_RENAME) {
        m->fault_done = true;
        return -EPERM;
    }
    if (m->fault == FAULT_READ && op->kind == OP_READ && !op->no_compare && got > 0) {
        m->fault_done = true;
        op->bytes[SUBJECT][got / 2] ^= 1;
    }
    /* More than once: what is lost may be overwritten or removed before anybody looks. */
    if (m->fault == FAULT_WRITE && op->kind == OP_WRITE && !op->handle->append &&
        random_one_in(&t->random, 20))
        happen_wrongly(t, op);
    return got;
}

struct choice {
    struct model *m;
    char path[PATH_BYTES];
    bool found;
};

/* The last file of the first thread that the fault fits. */
static void choose(void *arg, const char *path, mode_t type)
{
    struct choice *c = arg;
    struct stat st;
    if (type != S_IFREG || fstatat(c->m->root[ORACLE], path, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        st.st_size == 0)
        return;
    if ((c->m->fault == FAULT_LINKS) != (st.st_nlink > 1))
        return;
    snprintf(c->path, PATH_BYTES, "%s", path);
    c->found = true;
}

static void flip(int fd)
{
    uint8_t byte = 0;
    struct stat st;
    if (fstat(fd, &st) != 0 || pread(fd, &byte, 1, st.st_size / 2) != 1)
        abort();
    byte ^= 4;
    if (pwrite(fd, &byte, 1, st.st_size / 2) != 1)
        abort();
}

/* The name becomes a file of its own. */
static void part_names(int root, const char *path)
{
    if (linkat(root, path, root, "t0/.keep", 0) != 0 || unlinkat(root, path, 0) != 0)
        abort();
    close(openat(root, path, O_CREAT | O_WRONLY, 0600));
    if (unlinkat(root, "t0/.keep", 0) != 0)
        abort();
}

void pretend_fault(struct model *m)
{
    struct choice c = {.m = m};
    struct stat st;
    int root = m->root[SUBJECT], fd = -1;
    if (m->fault == FAULT_NONE || m->done == 0)
        return;
    compare_walk(m, "t0", choose, &c);
    if (!c.found || fstatat(root, c.path, &st, 0) != 0 ||
        (fd = openat(root, c.path, O_RDWR | O_CLOEXEC)) < 0)
        return;
    int r = 0;
    if (m->fault == FAULT_BYTE)
        flip(fd);
    else if (m->fault == FAULT_SIZE)
        r = ftruncate(fd, st.st_size - 1);
    else if (m->fault == FAULT_MISSING)
        r = unlinkat(root, c.path, 0);
    else if (m->fault == FAULT_EXTRA)
        close(openat(root, "t0/extra", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    else if (m->fault == FAULT_MODE)
        r = fchmod(fd, st.st_mode ^ 0100);
    else if (m->fault == FAULT_LINKS)
        part_names(root, c.path);
    else if (m->fault == FAULT_DAMAGE)
        damage_add(m, fd, 0);
    if (r != 0)
        abort();
    close(fd);
}

/* ---- self-test ---- */

static const struct {
    const char *what, *words;
} expected[FAULTS] = {
    [FAULT_NONE] = {"no fault", "nothing differs"},
    [FAULT_BYTE] = {"a wrong byte", " instead of "},
    [FAULT_SIZE] = {"a wrong size", ": size "},
    [FAULT_MISSING] = {"a missing file", "is missing"},
    [FAULT_EXTRA] = {"a file too many", "t0/extra: should not be there"},
    [FAULT_MODE] = {"a wrong mode", ": mode "},
    [FAULT_LINKS] = {"two files instead of one", " links instead of "},
    [FAULT_ERROR] = {"a call that fails", "Operation not permitted"},
    [FAULT_READ] = {"a wrong read", "byte "},
    [FAULT_WRITE] = {"a lost write", "byte "},
    [FAULT_INFLIGHT] = {"a write in flight that left other bytes", "neither "},
    [FAULT_DAMAGE] = {"an unreadable page", "Input/output error"},
};

static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int run(const char *format, ...)
{
    char command[PATH_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool says(const char *dir, const char *words)
{
    char path[PATH_BYTES], text[8192];
    snprintf(path, sizeof path, "%s/said", dir);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f)
        fclose(f);
    return strstr(text, words) != NULL;
}

static bool fault_is_found(const char *program, const char *dir, unsigned fault, uint64_t seed)
{
    int want = fault == FAULT_NONE ? 0 : 1;
    run("rm -rf '%s/s' '%s/o' && mkdir '%s/o'", dir, dir, dir);
    if (run("'%s' --make-base --seed=%ju --threads=3 '%s/o' && cp -a '%s/o' '%s/s'", program,
            (uintmax_t)seed, dir, dir, dir) != 0)
        return false;
    int got =
        run("'%s' --seed=%ju --threads=3 --operations=%u --kills=8 --reopens=4 --pretend "
            "--fault=%u '%s/s' '%s/o' >'%s/said' 2>&1",
            program, (uintmax_t)seed, fault == FAULT_NONE ? 12000 : 3000, fault, dir, dir, dir);
    bool right = got == want && says(dir, expected[fault].words);
    printf("%s: %s\n", expected[fault].what, right ? "as it should be" : "WRONG:");
    fflush(stdout);
    if (!right)
        run("echo 'exit status %d'; cat '%s/said'", got, dir);
    return right;
}

int pretend_self_test(const char *program, uint64_t seed)
{
    const char *tmp = getenv("TMPDIR");
    char dir[512];
    int status = 0;
    snprintf(dir, sizeof dir, "%s/pagemodel.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        perror(dir);
        return 1;
    }
    for (unsigned fault = 0; fault < FAULTS; fault++)
        if (!fault_is_found(program, dir, fault, seed))
            status = 1;
    run("rm -rf '%s'", dir);
    return status;
}
