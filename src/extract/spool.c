#include "extract/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"

/* For file systems without O_TMPFILE: there is a moment in which a kill leaves an empty file. */
static int open_named(const char *dir)
{
    char *path = mem_printf("%s/asofs-XXXXXX", dir);
    int fd = mkostemp(path, O_CLOEXEC);

    if (fd >= 0)
        unlink(path);
    free(path);
    return fd;
}

int spool_open(struct spool *s, const char *dir, struct err *err)
{
    s->end = 0;
    s->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        s->fd = open_named(dir);
    if (s->fd < 0)
        return err_errno(err, "cannot create a spool file in %s", dir);
    return 0;
}

void spool_close(struct spool *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

int spool_trim(struct spool *s, struct err *err)
{
    if (ftruncate(s->fd, (off_t)s->end) < 0)
        return err_errno(err, "cannot truncate a spool file");
    return 0;
}

void spool_discard(struct spool *s, uint64_t offset, uint64_t length)
{
    /* Where it cannot be done the space is held until the end, nothing worse. */
    if (length)
        (void)!fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                         (off_t)length);
}
