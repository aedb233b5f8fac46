/* The header of an epoch: raw bytes, and the same with its checksum put right. What is taken can be
 * written and is read as the same. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "live/header.h"
#include "pages/page.h"

#define NUMBER 3

static char dir_name[] = "/dev/shm/fuzz-header.XXXXXX";

static void remove_dir(void)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/header", dir_name);
    unlink(path);
    rmdir(dir_name);
}

static int dir(void)
{
    static int fd = -1;

    if (fd >= 0)
        return fd;
    if (!mkdtemp(dir_name))
        abort();
    atexit(remove_dir);
    fd = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        abort();
    return fd;
}

static void put(const void *data, size_t size)
{
    int fd = openat(dir(), "header", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
}

static void try(const void *data, size_t size, bool write_again)
{
    struct header h, again;
    struct err err = {0};

    put(data, size);
    if (header_read(dir(), NUMBER, &h, &err) < 0) {
        if (!*err.text)
            abort();
        return;
    }
    if (h.number != NUMBER || strlen(h.why) >= HEADER_WHY || h.state < HEADER_PREPARED ||
        h.state > HEADER_DROPPED)
        abort();
    if (!write_again)
        return;
    if (header_write(dir(), &h, false) < 0 || header_read(dir(), NUMBER, &again, &err) < 0 ||
        memcmp(&h, &again, sizeof(h)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned inputs;
    struct header h = {.number = 0};

    try(data, size, true);
    memcpy(&h, data, size < sizeof(h) ? size : sizeof(h));
    memcpy(h.magic, HEADER_MAGIC, sizeof(h.magic));
    h.version = HEADER_VERSION;
    h.number = NUMBER;
    h.crc = 0;
    h.crc = crc32c(&h, sizeof(h));
    try(&h, sizeof(h), ++inputs % 16 == 0);
    return 0;
}
