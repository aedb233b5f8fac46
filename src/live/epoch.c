#include "live/epoch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"

static const char *const contents[] = {"old", "side", "kept", "wal"};
/* Its directory has another name before its header is there, and when that goes. */
#define UNFINISHED "unfinished"
#define GONE "gone"

#define CONTENTS (sizeof(contents) / sizeof(contents[0]))

void epoch_kept_path(char path[EPOCH_KEPT_MAX], uint64_t id)
{
    snprintf(path, EPOCH_KEPT_MAX, "kept/%016" PRIx64, id);
}

static void name_of(char name[24], uint64_t number)
{
    snprintf(name, 24, "%" PRIu64, number);
}

/* The directory, open; *e has no header yet. */
static int open_dir(int epochs, const char *name, uint64_t number, struct epoch **e)
{
    struct epoch *new = calloc(1, sizeof(*new));
    int rc;

    *e = NULL;
    if (!new)
        return -ENOMEM;
    new->number = number;
    atomic_init(&new->refs, 1);
    pthread_mutex_init(&new->lock, NULL);
    new->dir = openat(epochs, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    rc = new->dir < 0 ? -errno : disk_posix_at(new->dir, ".", &new->disk);
    if (rc < 0)
        epoch_release(new);
    else
        *e = new;
    return rc;
}

static int make_contents(struct epoch *e)
{
    size_t i;

    for (i = 0; i < CONTENTS; i++)
        if (mkdirat(e->dir, contents[i], 0700) < 0)
            return -errno;
    return journal_create(e->dir, e->number);
}

/* A directory below `epochs` and all that is in it; fine when there is none. */
static int remove_dir(int epochs, const char *name)
{
    int fd = openat(epochs, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int rc;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    rc = io_remove_below(fd);
    close(fd);
    if (rc == 0 && unlinkat(epochs, name, AT_REMOVEDIR) < 0)
        rc = -errno;
    return rc;
}

int epoch_clear_remains(int epochs)
{
    int rc = remove_dir(epochs, UNFINISHED);

    return rc < 0 ? rc : remove_dir(epochs, GONE);
}

static int fill(int epochs, uint64_t number, bool durable, struct epoch **e)
{
    int rc;

    if (mkdirat(epochs, UNFINISHED, 0700) < 0)
        return -errno;
    rc = open_dir(epochs, UNFINISHED, number, e);
    if (rc == 0)
        rc = make_contents(*e);
    if (rc == 0)
        rc = journal_open((*e)->dir, JOURNAL_START, &(*e)->journal);
    if (rc < 0)
        return rc;
    (*e)->durable = durable;
    (*e)->header = (struct header){.number = number, .durable = durable};
    return epoch_set_state(*e, HEADER_PREPARED, NULL);
}

/* It has its name only with a header: one without was given up. */
static int make(int epochs, uint64_t number, bool durable, struct epoch **e)
{
    char name[24];
    int rc = remove_dir(epochs, UNFINISHED);

    *e = NULL;
    if (rc == 0)
        rc = fill(epochs, number, durable, e);
    name_of(name, number);
    if (rc == 0 && renameat(epochs, UNFINISHED, epochs, name) < 0)
        rc = -errno;
    if (rc == 0 && durable && fsync(epochs) < 0)
        rc = -errno;
    return rc;
}

int epoch_make(int epochs, uint64_t number, bool durable, struct epoch **e, struct err *err)
{
    int rc = make(epochs, number, durable, e);

    if (rc == 0)
        return 0;
    if (*e)
        epoch_release(*e);
    *e = NULL;
    return err_set(err, -rc, "cannot make epoch %" PRIu64 ": %s", number, strerror(-rc));
}

int epoch_open(int epochs, uint64_t number, struct epoch **e, struct err *err)
{
    char name[24];
    int rc;

    name_of(name, number);
    rc = open_dir(epochs, name, number, e);
    if (rc < 0)
        return err_set(err, -rc, "cannot open epoch %" PRIu64 ": %s", number, strerror(-rc));
    rc = header_read((*e)->dir, number, &(*e)->header, err);
    (*e)->unread = rc < 0;
    if (rc < 0) { /* what it was nobody knows */
        (*e)->header = (struct header){.number = number, .state = HEADER_GIVEN_UP};
        snprintf((*e)->header.why, HEADER_WHY, "%.*s", HEADER_WHY - 1, err->text);
    }
    (*e)->durable = (*e)->header.durable;
    atomic_store(&(*e)->state, (int)(*e)->header.state);
    return 0;
}

int epoch_replay(struct epoch *e, int (*each)(void *arg, const struct journal_record *r), void *arg,
                 struct err *err)
{
    uint64_t good;
    int rc = journal_read(e->dir, e->number, each, arg, &good, err);

    if (rc < 0)
        return rc;
    rc = journal_open(e->dir, good, &e->journal);
    return rc < 0 ? err_set(err, -rc, "cannot open the journal of epoch %" PRIu64 ": %s", e->number,
                            strerror(-rc))
                  : 0;
}

struct epoch *epoch_hold(struct epoch *e)
{
    atomic_fetch_add(&e->refs, 1);
    return e;
}

void epoch_release(struct epoch *e)
{
    if (!e || atomic_fetch_sub(&e->refs, 1) > 1)
        return;
    journal_close(e->journal);
    if (e->disk)
        e->disk->ops->free(e->disk);
    if (e->dir >= 0)
        close(e->dir);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

static void set_time(struct header *h)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    h->seconds = now.tv_sec;
    h->nanos = (uint32_t)now.tv_nsec;
}

/* That a freeze was given up must be there before the first change that is not saved. */
int epoch_set_state(struct epoch *e, enum header_state state, const char *why)
{
    int rc;

    pthread_mutex_lock(&e->lock);
    if (state == HEADER_OPEN && e->header.state == HEADER_PREPARED)
        set_time(&e->header);
    e->header.state = state;
    if (why)
        snprintf(e->header.why, sizeof(e->header.why), "%s", why);
    rc = header_write(e->dir, &e->header, e->durable);
    if (rc < 0 && state != HEADER_PREPARED && state != HEADER_OPEN)
        header_overwrite(e->dir, &e->header);
    atomic_store(&e->state, (int)state);
    pthread_mutex_unlock(&e->lock);
    return rc;
}

int epoch_say(struct epoch *e, const struct journal_record *records, size_t n)
{
    int rc;

    pthread_mutex_lock(&e->lock);
    rc = e->journal ? journal_append(e->journal, records, n, e->durable) : -EIO;
    pthread_mutex_unlock(&e->lock);
    return rc;
}

struct measure {
    struct disk *disk;
    const char *dir;
    uint64_t bytes;
};

static int measure_file(void *arg, const char *name)
{
    struct measure *m = arg;
    char path[64];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%.40s", m->dir, name);
    if (m->disk->ops->stat(m->disk, path, &st) == 0)
        m->bytes += (uint64_t)st.st_blocks * 512;
    return 0;
}

void epoch_measure(struct epoch *e)
{
    struct measure m = {.disk = e->disk};
    size_t i;

    for (i = 0; i < CONTENTS; i++) {
        m.dir = contents[i];
        e->disk->ops->list(e->disk, m.dir, measure_file, &m);
    }
    atomic_store(&e->bytes, m.bytes);
}

static int empty_dir(struct epoch *e, const char *name)
{
    int fd = openat(e->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int rc;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    rc = io_remove_below(fd);
    close(fd);
    return rc;
}

int epoch_empty(struct epoch *e)
{
    size_t i;
    int rc = 0, one;

    pthread_mutex_lock(&e->lock);
    journal_close(e->journal);
    e->journal = NULL;
    pthread_mutex_unlock(&e->lock);
    for (i = 0; i < CONTENTS; i++) {
        one = empty_dir(e, contents[i]);
        rc = rc < 0 ? rc : one;
    }
    if (unlinkat(e->dir, JOURNAL_NAME, 0) < 0 && errno != ENOENT && rc == 0)
        rc = -errno;
    atomic_store(&e->bytes, 0);
    return rc;
}

/* Its name goes first: half of one would cost the older freezes at the next start. */
int epoch_remove(int epochs, struct epoch *e)
{
    char name[24];
    int rc = remove_dir(epochs, GONE);

    name_of(name, e->number);
    if (rc == 0 && renameat(epochs, name, epochs, GONE) < 0)
        rc = -errno;
    if (rc == 0)
        rc = remove_dir(epochs, GONE);
    if (rc == 0)
        atomic_store(&e->bytes, 0);
    return rc;
}
