/*
 * A model test of a writable file system: random operations on it (the subject) and on a plain
 * directory (the oracle), whose results, errors and contents must be the same. A plain program that
 * shares nothing with what it tests.
 *
 *   pagemodel  options; the director, who ends and starts the file system while threads work
 *   base       what both trees begin as
 *   op         one operation, on one side or on both
 *   step       which operation comes next
 *   compare    two trees, byte by byte
 *   settle     what was in flight when the file system ended: it happened, or not
 *   pretend    ends of a file system on a plain directory, and faults that must be found
 * (self-test)
 *
 * Each thread changes names only below a directory of its own, and bytes of shared files only in
 * blocks of its own; so the oracle's answer never depends on the other threads. While the gate is
 * closed all threads wait, and the director may touch what is theirs.
 */
#ifndef PAGEMODEL_MODEL_H
#define PAGEMODEL_MODEL_H

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum side { SUBJECT, ORACLE };

enum {
    PAGE = 8192,
    PATH_BYTES = 1600,
    LONGEST = 1 << 20,        /* bytes of one operation */
    HANDLES = 8,              /* of a thread */
    ENTRIES = 256,            /* names below a thread's directory that it knows of */
    SHARED = 3,               /* files that all threads write */
    SHARED_BLOCK = 16 * PAGE, /* block b belongs to thread b % threads */
    LOG = 24,                 /* last operations that a failure shows */
    LOG_BYTES = 160,
};

/* ---- random numbers ---- */

struct random {
    uint64_t state;
};

uint64_t random_next(struct random *r);
uint64_t random_below(struct random *r, uint64_t n); /* n > 0 */
bool random_one_in(struct random *r, uint64_t n);
void random_bytes(struct random *r, uint8_t *bytes, size_t n);

/* ---- operations ---- */

struct handle {
    int fd[2]; /* -1: closed */
    bool writable;
    bool append;
    int shared;            /* number of the shared file, or -1 */
    char path[PATH_BYTES]; /* when it was opened; for messages */
};

enum op_kind {
    OP_NONE,
    /* of names */
    OP_OPEN,
    OP_UNLINK,
    OP_RENAME,
    OP_LINK,
    OP_MKDIR,
    OP_RMDIR,
    OP_SYMLINK,
    OP_READLINK,
    OP_CHMOD,
    OP_SYNC_DIR,
    /* of an open file */
    OP_READ,
    OP_WRITE,
    OP_MAP_READ,
    OP_MAP_WRITE,
    OP_TRUNCATE,
    OP_ALLOCATE,
    OP_SYNC,
    OP_STAT,
    OP_TIMES,
};

struct op {
    enum op_kind kind;
    struct handle *handle;
    const char *path; /* OP_SYMLINK: of the link */
    const char *to;   /* OP_RENAME, OP_LINK: new name. OP_SYMLINK: target */
    uint64_t offset;  /* OP_TRUNCATE: size */
    uint64_t length;
    int flags; /* of open, renameat2, fallocate */
    mode_t mode;
    uint8_t
        *bytes[2];   /* OP_WRITE, OP_MAP_WRITE: the first is written. Reads: where to, each side */
    bool no_compare; /* reads: other threads may be writing there */
    struct stat st[2]; /* OP_STAT */
};

struct model;
struct thread;

/* The call on one side: what it returned, or a negative errno. */
int64_t op_apply(struct model *m, struct op *op, enum side side);

/* On both, and compared. False: the file system ended meanwhile, and the operation is in flight. */
bool op_perform(struct thread *t, struct op *op);

void op_describe(const struct op *op, char *text, size_t size);
bool op_writes(const struct op *op);

/* pread that goes on until the end; bytes, or a negative errno. Knows of pretended damage. */
int64_t side_read(struct model *m, enum side side, int fd, void *bytes, size_t n, uint64_t offset);
int64_t side_write(struct model *m, enum side side, int fd, const void *bytes, size_t n,
                   uint64_t offset);

void bus_guard(void); /* SIGBUS in a mapping becomes an error of the operation */

/* ---- threads ---- */

struct entry {
    char *path;
    mode_t type; /* S_IFREG … */
};

struct thread {
    struct model *m;
    unsigned number;
    pthread_t id;
    struct random random;
    char dir[16];
    uint64_t operation; /* counted from 1 */
    struct handle handles[HANDLES];
    struct entry entries[ENTRIES]; /* below dir; from the oracle */
    size_t n_entries;
    bool stale;                  /* entries have to be read anew */
    uint64_t shared_end[SHARED]; /* after what we wrote or was there */
    uint8_t *buffer[2];          /* LONGEST each */
    char path[2][PATH_BYTES];    /* of the operation that is going on */
    struct op inflight;          /* kind OP_NONE: nothing */
    bool down;                   /* it has seen the end of the file system */
    char log[LOG][LOG_BYTES];
};

void step(struct thread *t);
void thread_close_all(struct thread *t, enum side side);

/* ---- the whole ---- */

enum fault {
    FAULT_NONE,
    FAULT_BYTE,
    FAULT_SIZE,
    FAULT_MISSING,
    FAULT_EXTRA,
    FAULT_MODE,
    FAULT_LINKS,
    FAULT_ERROR,    /* a call fails on one side */
    FAULT_READ,     /* a byte read is wrong, only once */
    FAULT_WRITE,    /* an acknowledged write is not there */
    FAULT_INFLIGHT, /* a write in flight left other bytes than its own */
    FAULT_DAMAGE,   /* a page that nobody was writing is unreadable */
    FAULTS,
};

struct damage {
    ino_t inode;
    uint64_t page;
};

struct model {
    uint64_t seed;
    unsigned threads;
    uint64_t operations;
    const char *path[2];
    int root[2];
    const char *kill_command, *stop_command, *start_command;
    unsigned kills, reopens;
    bool fuse;    /* the subject is one: O_DIRECT reaches the server */
    bool links;   /* the oracle counts subdirectories in st_nlink */
    bool pretend; /* kills are pretended */
    enum fault fault;
    atomic_bool fault_done;
    atomic_bool ending; /* the file system is being ended: errors are no wonder */
    atomic_bool storm;  /* most operations are long writes */
    atomic_ullong done;

    pthread_mutex_t lock; /* waiting, gate */
    pthread_cond_t changed;
    unsigned waiting, finished; /* threads before the gate; at their end */
    atomic_bool closed;
    uint64_t opened; /* how often the gate was */

    pthread_mutex_t damage_lock; /* damages */
    struct damage damages[64];
    size_t n_damages;

    /* counted for the last line */
    uint64_t inflight, happened, unreadable;
    struct thread *thread;
};

/* Ends the program with status 1. t and op may be NULL. */
void model_fail(struct model *m, struct thread *t, const struct op *op, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

bool model_is_dead(struct model *m); /* nobody serves the subject any more */

/* ---- base ---- */

void base_fill(struct model *m); /* the oracle, an empty directory */

/* ---- compare ---- */

struct difference {
    char text[2048];
};

/* Everything below a path, and itself unless it is ".". */
bool compare_tree(struct model *m, const char *path, struct difference *d);

/* A path of an inode of the oracle at or below a directory. */
bool compare_find(struct model *m, const char *dir, ino_t inode, char path[PATH_BYTES]);

/* Calls `each` for every name below a directory of the oracle, in order. */
void compare_walk(struct model *m, const char *dir,
                  void (*each)(void *arg, const char *path, mode_t type), void *arg);

/* ---- settle ---- */

/* All threads wait, the file system is there again. Afterwards both trees have to be the same. */
void settle_all(struct model *m);

/* ---- pretend ---- */

/* The operation happens, or not, or in part, and then the file system is gone. */
void pretend_end(struct thread *t, struct op *op);
void pretend_fault(struct model *m); /* before a comparison of everything */
int64_t pretend_wrong(struct thread *t, struct op *op, int64_t got);
bool pretend_damaged(struct model *m, int fd, uint64_t offset, size_t n);
void pretend_repair(struct model *m, int fd, uint64_t offset, size_t n);
int pretend_self_test(const char *program, uint64_t seed); /* the exit status */

#endif
