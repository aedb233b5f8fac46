/* What both trees begin as: files of all the shapes that a base may have. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

static void must(struct model *m, int r, const char *what, const char *path)
{
    if (r < 0)
        model_fail(m, NULL, NULL, "cannot %s %s: %s", what, path, strerror(errno));
}

static void make_dir(struct model *m, const char *path)
{
    must(m, mkdirat(m->root[ORACLE], path, 0700), "make", path);
}

/* Bytes [from, to) random, the rest of the file a hole. */
static void make_file(struct model *m, struct random *r, const char *path, size_t from, size_t to,
                      size_t size)
{
    int fd = openat(m->root[ORACLE], path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must(m, fd, "make", path);
    uint8_t *bytes = malloc(to - from + 1);
    if (!bytes)
        abort();
    random_bytes(r, bytes, to - from);
    if (pwrite(fd, bytes, to - from, (off_t)from) != (ssize_t)(to - from))
        must(m, -1, "write", path);
    must(m, ftruncate(fd, (off_t)size), "extend", path);
    free(bytes);
    close(fd);
}

static const struct shape {
    const char *name;
    size_t from, to, size;
} shapes[] = {
    {"f0", 0, 0, 0},
    {"f1", 0, 1, 1},
    {"f2", 0, PAGE, PAGE},
    {"f3", 0, PAGE + 1, PAGE + 1},
    {"f4", 0, 5 * PAGE - 1, 5 * PAGE - 1},
    {"f5", 0, 12345, 12345},
    {"f6", 3 * PAGE, 5 * PAGE, 20 * PAGE}, /* data between holes */
    {"f7", 0, 0, 40 * PAGE + 77},          /* a hole */
    {"f8", 3000, 33000, 99999},            /* holes that end within pages */
    {"d0/f0", 0, 4096, 4096},
    {"d0/f1", 0, 100 * PAGE, 100 * PAGE},
    {"d0/d1/f2", 0, 60001, 60001},
    {"big", 0, 400 * PAGE + 5000, 400 * PAGE + 5000},
};

static void fill_thread(struct model *m, struct random *r, unsigned number)
{
    char path[64], other[64];
    const char *dirs[] = {"", "/d0", "/d0/d1", "/d2", "/d3"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        snprintf(path, sizeof path, "t%u%s", number, dirs[i]);
        make_dir(m, path);
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct shape *s = &shapes[i];
        snprintf(path, sizeof path, "t%u/%s", number, s->name);
        make_file(m, r, path, s->from, s->to, s->size);
    }
    snprintf(path, sizeof path, "t%u/f5", number);
    snprintf(other, sizeof other, "t%u/d2/f9", number);
    must(m, linkat(m->root[ORACLE], path, m->root[ORACLE], other, 0), "link", other);
    snprintf(other, sizeof other, "t%u/l0", number);
    must(m, symlinkat("d0/f1", m->root[ORACLE], other), "link", other);
}

void base_fill(struct model *m)
{
    struct random r = {m->seed ^ 0xba5e};
    char path[32];
    for (unsigned i = 0; i < m->threads; i++)
        fill_thread(m, &r, i);
    make_dir(m, "shared");
    for (unsigned i = 0; i < SHARED; i++) {
        size_t size = i * 700001;
        snprintf(path, sizeof path, "shared/s%u", i);
        make_file(m, &r, path, 0, size, size);
    }
}
