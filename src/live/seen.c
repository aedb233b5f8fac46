/*
 * Whether the data directory was changed while nobody served it: by a server that was started on
 * it, by a tool, by hand. Noted in the file that is locked:
 *
 *   - when we shall have changed something last. It is a moment to come, put off before a change
 *     would reach it, and the end itself when we end cleanly. What has a later change time (which
 *     nobody can set) was changed by somebody else; the names are read at the start anyway.
 *   - which numbers may have been given to freezes: after a crash of the operating system these are
 *     not given again, whatever reached the disk.
 *   - the modification time of the data directory. A server makes its postmaster.pid there when it
 *     starts: that is noticed also within the moments after a kill, and when the clock was set
 *     back. `pending` before a change of ours, for a kill in between. While it is served that time
 *     is looked at again and again, since nothing is saved of what somebody else changes.
 *   - that a tablespace has lost its link, and not all that is in it (spaces.c).
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "live/livestate.h"
#include "pages/page.h"

#define SECOND INT64_C(1000000000)
#define NUMBERS_AHEAD 64
#define AHEAD (2 * SECOND)
#define AHEAD_DURABLE (30 * SECOND) /* each time waits for the disk */

#define PENDING 1u   /* mtime may be another one by now */
#define LINGERING 2u /* a tablespace lost its link */

struct seen {
    int64_t mtime;    /* of the data directory; nanoseconds since 1970, as below */
    int64_t until;    /* nothing was changed by us after it */
    uint64_t numbers; /* of freezes, up to which they may have been given */
    uint32_t pending; /* PENDING, LINGERING */
    uint32_t crc;     /* CRC-32C of the above */
};

static int64_t nanos(struct timespec t)
{
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t); /* never before what a file was stamped with */
    return nanos(t);
}

static int64_t root_time(const struct livedir *l)
{
    struct stat st;

    return fstat(l->dir, &st) < 0 ? l->root_time : nanos(st.st_mtim);
}

/* `seeing` is locked. */
static int put(struct livedir *l)
{
    struct seen s = {.until = atomic_load(&l->until),
                     .numbers = atomic_load(&l->numbers),
                     .pending =
                         (l->pending ? PENDING : 0) | (atomic_load(&l->lingering) ? LINGERING : 0)};
    struct stat st;

    if (fstat(l->dir, &st) < 0)
        return -errno;
    s.mtime = nanos(st.st_mtim);
    s.crc = crc32c(&s, offsetof(struct seen, crc));
    return io_pwrite_all(l->lock, &s, sizeof(s), 0);
}

static int64_t ahead(const struct livedir *l)
{
    return l->lasting ? AHEAD_DURABLE : AHEAD;
}

static bool is_near(struct livedir *l, int64_t moment)
{
    return moment + ahead(l) / 2 >= atomic_load(&l->until);
}

/* An error is none of the server's: it costs the freezes at the next start. */
void live_changes(struct livedir *l)
{
    int64_t moment = now();

    if (!is_near(l, moment))
        return;
    pthread_mutex_lock(&l->seeing);
    if (is_near(l, moment)) {
        atomic_store(&l->until, moment + ahead(l));
        if (put(l) == 0 && l->lasting)
            fdatasync(l->lock);
    }
    pthread_mutex_unlock(&l->seeing);
}

static int note(struct livedir *l, bool pending)
{
    int rc;

    pthread_mutex_lock(&l->seeing);
    if (pending && root_time(l) != l->root_time)
        l->changed_past = true;
    l->pending = pending;
    if (!pending)
        l->root_time = root_time(l);
    rc = put(l);
    pthread_mutex_unlock(&l->seeing);
    return rc;
}

void live_root_changes(struct livedir *l, const struct node *dir)
{
    if (dir->parent != dir || l->root_changes)
        return;
    l->root_changes = true;
    note(l, true); /* it has its space: without one, a kill would cost the freezes */
}

void live_root_changed(struct livedir *l)
{
    if (l->root_changes)
        note(l, false);
    l->root_changes = false;
}

/* Of a link that is removed or made just then. */
void live_note_lingering(struct livedir *l)
{
    pthread_mutex_lock(&l->seeing);
    if (put(l) == 0 && l->lasting)
        fdatasync(l->lock);
    pthread_mutex_unlock(&l->seeing);
}

int live_note_root(struct livedir *l)
{
    live_changes(l);
    return note(l, false);
}

bool live_is_changed_past(struct livedir *l)
{
    bool changed;

    pthread_rwlock_rdlock(&l->tree); /* no change of ours is under way */
    pthread_mutex_lock(&l->seeing);
    l->changed_past = l->changed_past || root_time(l) != l->root_time;
    changed = l->changed_past;
    pthread_mutex_unlock(&l->seeing);
    pthread_rwlock_unlock(&l->tree);
    return changed;
}

int live_reserve(struct livedir *l, uint64_t number)
{
    int rc;

    if (number <= atomic_load(&l->numbers))
        return 0;
    pthread_mutex_lock(&l->seeing);
    atomic_store(&l->numbers, number + NUMBERS_AHEAD);
    rc = put(l);
    pthread_mutex_unlock(&l->seeing);
    if (rc == 0 && fdatasync(l->lock) < 0)
        rc = -errno;
    if (rc < 0)
        atomic_store(&l->numbers, number - 1);
    return rc;
}

/* A clock that was set back would make what we have changed look like somebody else's. */
int live_note_end(struct livedir *l)
{
    int64_t moment = now();

    if (moment > atomic_load(&l->until) - ahead(l) - SECOND)
        atomic_store(&l->until, moment);
    atomic_store(&l->numbers, l->last ? l->last->number : l->least ? l->least - 1 : 0);
    return note(l, false);
}

static bool is_as_seen(const struct livedir *l, const struct seen *s, bool crashed)
{
    struct stat st;

    if (l->nodes.changed > s->until || fstat(l->dir, &st) < 0)
        return false;
    return crashed || (s->pending & PENDING) || s->mtime == nanos(st.st_mtim);
}

const char *live_changed(struct livedir *l, bool crashed)
{
    static const char changed[] = "the data directory was changed while asofs did not serve it";
    struct seen s;
    int64_t n = io_pread_full(l->lock, &s, sizeof(s), 0);

    if (n == 0)
        return NULL; /* nobody has served from here */
    if (n < (int64_t)sizeof(s) || s.crc != crc32c(&s, offsetof(struct seen, crc)))
        return changed;
    atomic_store(&l->until, s.until);
    atomic_store(&l->numbers, s.numbers);
    if (crashed)
        l->least = s.numbers + 1; /* what was made may be lost, and is known elsewhere */
    if (s.pending & LINGERING)
        return "the link of a tablespace was removed, and not what is in it";
    return is_as_seen(l, &s, crashed) ? NULL : changed;
}
