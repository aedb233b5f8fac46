/*
 * What several unit tests need: directories and files of their own, chance that repeats itself,
 * children, and few descriptors.
 */
#ifndef ASOFS_UNIT_FIXTURE_H
#define ASOFS_UNIT_FIXTURE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/proc.h"
#include "pages/disk.h"

/* xorshift: the same numbers on every machine. */
uint32_t fixture_random_below(uint64_t *seed, uint32_t n);

/* `step` under valgrind, where each of many tries takes fifty times as long; 1 without it. */
unsigned fixture_step(unsigned step);

/* A new directory below TMPDIR, by its real path; free it with fixture_remove_dir. */
char *fixture_make_dir(void);

void fixture_remove_dir(char *dir);

/* Before and after a test: *state is such a directory. */
int fixture_set_up_dir(void **state);
int fixture_tear_down_dir(void **state);

/* A file without a name, empty. */
int fixture_memory_file(void);

struct disk_file *fixture_open_file(struct disk *d, const char *path, unsigned flags);
void fixture_put_file(struct disk *d, const char *path, const char *text);

/* PAGE_BYTES (pages/page.h) that say which page of which version they are; none of them is zero. */
void fixture_fill_page(char *bytes, uint64_t page, int version);

void fixture_assert_holds(int fd, const char *bytes, size_t len, uint64_t offset);
void fixture_assert_size(int fd, uint64_t size);

void fixture_assert_says(const struct err *err, const char *what);

uint64_t fixture_checksum(const void *bytes, size_t len); /* common/hash.h */

/* A child that ends with exit, so that what it ran counts (scripts/coverage): nothing of ours may
 * be left for it to write. */
pid_t fixture_fork_flushed(void);

/* As many descriptors as there are numbers below the first free one, and `more`. */
struct rlimit fixture_allow_descriptors(int more);

/* What proc_wait says of it. */
int fixture_run_shell(const char *script, char *const env[], const struct proc_fd *fds,
                      size_t nfds);

#endif
