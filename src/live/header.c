#include "live/header.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "pages/page.h"

#define NAME "header"
#define BESIDE "header.new"

_Static_assert(sizeof(struct header) == 48 + HEADER_BOOT_ID + HEADER_WHY, "header has no gaps");

void header_boot_id(char id[HEADER_BOOT_ID])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    int64_t n = fd < 0 ? -1 : io_pread_full(fd, id, HEADER_BOOT_ID - 1, 0);

    memset(id + (n > 0 ? n : 0), 0, HEADER_BOOT_ID - (size_t)(n > 0 ? n : 0));
    id[strcspn(id, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

static uint32_t sum_of(const struct header *h)
{
    struct header copy = *h;

    copy.crc = 0;
    return crc32c(&copy, sizeof(copy));
}

static const char *check(const struct header *h, int64_t n, uint64_t number)
{
    if (n < (int64_t)sizeof(*h))
        return "is too short";
    if (memcmp(h->magic, HEADER_MAGIC, sizeof(h->magic)) != 0)
        return "is something else";
    if (h->version != HEADER_VERSION)
        return "is of another format version";
    if (h->crc != sum_of(h))
        return "is damaged (checksum)";
    if (h->number != number)
        return "belongs to another epoch";
    if (h->state < HEADER_PREPARED || h->state > HEADER_DROPPED ||
        !memchr(h->boot_id, 0, sizeof(h->boot_id)) || !memchr(h->why, 0, sizeof(h->why)))
        return "makes no sense";
    return NULL;
}

int header_read(int dir, uint64_t number, struct header *h, struct err *err)
{
    int fd = openat(dir, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    const char *wrong;
    int64_t n;

    if (fd < 0)
        return err_errno(err, "cannot open the header of epoch %" PRIu64, number);
    n = io_pread_full(fd, h, sizeof(*h), 0);
    close(fd);
    if (n < 0)
        return err_set(err, (int)-n, "cannot read the header of epoch %" PRIu64 ": %s", number,
                       strerror((int)-n));
    wrong = check(h, n, number);
    return wrong ? err_set(err, EIO, "the header of epoch %" PRIu64 " %s", number, wrong) : 0;
}

static void seal(struct header *h)
{
    memcpy(h->magic, HEADER_MAGIC, sizeof(h->magic));
    h->version = HEADER_VERSION;
    header_boot_id(h->boot_id);
    h->crc = sum_of(h);
}

static int write_beside(int dir, const struct header *h, bool sync)
{
    int fd = openat(dir, BESIDE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc;

    if (fd < 0)
        return -errno;
    rc = io_pwrite_all(fd, h, sizeof(*h), 0);
    if (rc == 0 && sync && fdatasync(fd) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

int header_write(int dir, struct header *h, bool sync)
{
    int rc;

    seal(h);
    rc = write_beside(dir, h, sync);
    if (rc == 0 && renameat(dir, BESIDE, dir, NAME) < 0)
        rc = -errno;
    if (rc < 0)
        unlinkat(dir, BESIDE, 0);
    else if (sync && fsync(dir) < 0)
        rc = -errno;
    return rc;
}

void header_overwrite(int dir, struct header *h)
{
    int fd = openat(dir, NAME, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    seal(h);
    if (fd < 0 || io_pwrite_all(fd, h, sizeof(*h), 0) < 0)
        unlinkat(dir, NAME, 0);
    if (fd >= 0)
        close(fd);
}
