#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/io.h"
#include "common/mem.h"
#include "pages/page.h"

uint32_t fixture_random_below(uint64_t *seed, uint32_t n)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 33) % n;
}

unsigned fixture_step(unsigned step)
{
    return getenv("UNDER_VALGRIND") ? step : 1;
}

char *fixture_make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = mem_printf("%s/unit-XXXXXX", tmp ? tmp : "/tmp"), *real;

    assert_non_null(mkdtemp(dir));
    real = realpath(dir, NULL);
    assert_non_null(real);
    free(dir);
    return real;
}

void fixture_remove_dir(char *dir)
{
    assert_int_equal(io_remove_tree(dir), 0);
    free(dir);
}

int fixture_set_up_dir(void **state)
{
    *state = fixture_make_dir();
    return 0;
}

int fixture_tear_down_dir(void **state)
{
    fixture_remove_dir(*state);
    return 0;
}

int fixture_memory_file(void)
{
    int fd = memfd_create("unit", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

struct disk_file *fixture_open_file(struct disk *d, const char *path, unsigned flags)
{
    struct disk_file *f;

    assert_int_equal(d->ops->open(d, path, flags, &f), 0);
    return f;
}

void fixture_put_file(struct disk *d, const char *path, const char *text)
{
    struct disk_file *f = fixture_open_file(d, path, DISK_WRITE | DISK_CREATE);

    assert_int_equal(d->ops->write(f, text, strlen(text), 0), 0);
    d->ops->close(f);
}

void fixture_fill_page(char *bytes, uint64_t page, int version)
{
    size_t i;

    for (i = 0; i < PAGE_BYTES; i++)
        bytes[i] = (char)((page * 31 + i * 7 + (i >> 8) + (size_t)version * 101) % 251 + 1);
}

void fixture_assert_holds(int fd, const char *bytes, size_t len, uint64_t offset)
{
    char *got = mem_array(len, 1);

    assert_int_equal(io_pread_full(fd, got, len, offset), len);
    assert_memory_equal(got, bytes, len);
    free(got);
}

void fixture_assert_size(int fd, uint64_t size)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, size);
}

void fixture_assert_says(const struct err *err, const char *what)
{
    if (!strstr(err->text, what))
        fail_msg("\"%s\" does not say \"%s\"", err->text, what);
}

uint64_t fixture_checksum(const void *bytes, size_t len)
{
    struct hash *h = hash_new();
    uint64_t v;

    hash_update(h, bytes, len);
    v = hash_value(h);
    hash_free(h);
    return v;
}

pid_t fixture_fork_flushed(void)
{
    fflush(NULL);
    return fork();
}

struct rlimit fixture_allow_descriptors(int more)
{
    struct rlimit old, r;
    int first = dup(STDERR_FILENO);

    close(first);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    r = old;
    r.rlim_cur = (rlim_t)(first + more);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
    return old;
}

int fixture_run_shell(const char *script, char *const env[], const struct proc_fd *fds, size_t nfds)
{
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)script,
                    NULL};
    struct err err;
    pid_t pid;

    assert_int_equal(proc_spawn("sh", argv, env, fds, nfds, &pid, &err), 0);
    return proc_wait(pid);
}
