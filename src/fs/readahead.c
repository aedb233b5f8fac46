#include "fs/readahead.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/mounts.h"

#define KIB "4096"

void readahead_open(struct readahead *r, const char *path)
{
    char *device = mounts_device(path);
    char *file = device ? mem_printf("/sys/class/bdi/%s/read_ahead_kb", device) : NULL;

    r->fd = file ? open(file, O_WRONLY | O_CLOEXEC) : -1;
    free(file);
    free(device);
}

bool readahead_begin(struct readahead *r)
{
    if (r->fd < 0 || atomic_exchange(&r->begun, true))
        return false;
    if (write(r->fd, KIB, sizeof(KIB) - 1) >= 0)
        return true;
    log_debug("the kernel does not read further ahead: %m");
    return false;
}

void readahead_close(struct readahead *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}
