/*
 * Whether the data directory was changed while nobody served it: a server that is started on it
 * makes postmaster.pid, and that changes the time of the directory. So that time is noted after
 * each change of ours, in the file that is locked; `pending` before it, for a kill in between.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "live/livestate.h"
#include "pages/page.h"

struct seen {
    int64_t seconds; /* mtime of the data directory */
    int64_t nanos;
    uint32_t pending; /* 1: it may be another one by now */
    uint32_t crc;     /* CRC-32C of the above */
};

static int put(struct livedir *l, bool pending)
{
    struct seen s = {.pending = pending};
    struct stat st;

    if (fstat(l->dir, &st) < 0)
        return -errno;
    s.seconds = st.st_mtim.tv_sec;
    s.nanos = st.st_mtim.tv_nsec;
    s.crc = crc32c(&s, offsetof(struct seen, crc));
    return io_pwrite_all(l->lock, &s, sizeof(s), 0);
}

void live_root_changes(struct livedir *l, const struct node *dir)
{
    if (dir->parent != dir || l->root_changes)
        return;
    l->root_changes = true;
    put(l, true); /* it has its space: without one, a kill would cost the freezes */
}

void live_root_changed(struct livedir *l)
{
    if (l->root_changes)
        put(l, false);
    l->root_changes = false;
}

int live_note_root(struct livedir *l)
{
    return put(l, false);
}

bool live_root_is_as_seen(struct livedir *l)
{
    struct seen s;
    struct stat st;
    int64_t n = io_pread_full(l->lock, &s, sizeof(s), 0);

    if (n == 0)
        return true; /* nobody has served from here */
    if (n < (int64_t)sizeof(s) || s.crc != crc32c(&s, offsetof(struct seen, crc)) ||
        fstat(l->dir, &st) < 0)
        return false;
    return s.pending || (s.seconds == st.st_mtim.tv_sec && s.nanos == st.st_mtim.tv_nsec);
}
