#include "store/livewal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "common/mem.h"
#include "store/wal.h"
#include "store/walwalk.h"

/* ---- whose it is ---- */

static bool is_dir(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int livewal_find(struct store *s, const struct store_live *l, char **pg_wal)
{
    const struct store_cluster *c = store_cluster(s);

    *pg_wal = NULL;
    if (!c || c->log || c->restore_command || c->slot)
        return 0;
    *pg_wal = mem_printf("%s/pg_wal", l->directory);
    if (is_dir(*pg_wal))
        return 1;
    free(*pg_wal);
    *pg_wal = NULL;
    return 0;
}

/* The live base of the store, if it has one with such a log. */
static bool find_source(struct store *s, char **pg_wal)
{
    struct store_live l;
    int rc = store_find_live_base(s, &l, NULL);

    *pg_wal = NULL;
    if (rc == 1)
        rc = livewal_find(s, &l, pg_wal);
    store_live_free(&l);
    return rc == 1;
}

bool livewal_is_used(int fd, const char *name)
{
    uint8_t head[WAL_SEGMENT_HEAD];
    struct wal_segment s;
    uint64_t at;
    uint32_t bytes;
    struct stat st;

    if (fstat(fd, &st) < 0 || io_pread_full(fd, head, sizeof(head), 0) != (int64_t)sizeof(head) ||
        !wal_segment_begins(head, sizeof(head), &at, &bytes))
        return false;
    return st.st_size == (off_t)bytes && wal_parse_name(name, bytes, &s) == 0 && !s.partial &&
           s.number * bytes == at;
}

/* ---- what is needed ---- */

/* A freeze has its own log, up to where it begins to be shown. */
static int first_needed(struct store *s, const char *id, uint64_t *lsn)
{
    struct store_base_facts f;
    uint64_t number;
    char *view;
    int frozen = store_is_frozen(s, id, &number, &view, NULL), rc;

    free(view);
    rc = frozen < 0 ? frozen : store_base_facts(s, id, &f, NULL);
    if (rc == 0)
        *lsn = f.plain ? UINT64_MAX : frozen && f.consistent_lsn ? f.consistent_lsn : f.start_lsn;
    return rc;
}

/* The first segment that some base needs; UINT64_MAX: none is. */
static int find_needed(struct store *s, uint64_t *number)
{
    char **ids, **id;
    uint64_t lsn, least = UINT64_MAX;
    int rc = store_bases(s, &ids, NULL);

    if (rc < 0)
        return rc;
    for (id = ids; *id && rc == 0; id++) {
        rc = first_needed(s, *id, &lsn);
        if (rc == 0 && lsn < least)
            least = lsn;
    }
    store_names_free(ids);
    *number = least == UINT64_MAX ? least : least / store_cluster(s)->segment_bytes;
    return rc;
}

/* ---- bringing ---- */

void (*livewal_test_step)(const char *where);

static void livewal_step(const char *where)
{
    if (livewal_test_step)
        livewal_test_step(where);
}

static bool is_same(int dir, const char *name, const struct stat *file)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == file->st_dev &&
           st.st_ino == file->st_ino;
}

static bool is_within(int dir, ino_t ino)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;
    bool found = !d; /* not known */

    while (d && !found && (e = readdir(d)))
        found = e->d_ino == ino;
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return found;
}

/* What there is of that name is of another time, or of another server, unless it has come there just
 * now: this one has the log. */
static void replace(int from, int to, const char *name)
{
    char *beside = mem_printf("%s.%ld", name, (long)getpid());

    unlinkat(to, beside, 0);
    if (linkat(from, name, to, beside, 0) == 0) {
        livewal_step("before it is replaced");
        renameat(to, beside, to, name); /* does nothing if both are the same file */
        unlinkat(to, beside, 0);
    }
    free(beside);
}

/*
 * Who serves may take the name from the server at the same time: then he puts the file where the link
 * is, or is to be, and there it stays. If the server goes on with it under another name, it is
 * another segment's by now.
 */
static void link_file(int from, int to, const char *name, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || is_same(to, name, &st))
        return;
    livewal_step("before it is linked");
    if (linkat(from, name, to, name, 0) < 0 && errno == EEXIST)
        replace(from, to, name);
    livewal_step("linked");
    if (!is_same(from, name, &st) && is_same(to, name, &st) && is_within(from, st.st_ino))
        unlinkat(to, name, 0);
}

void livewal_bring_file(int from, int to, const char *name, bool segment)
{
    int fd = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return;
    if (!segment || livewal_is_used(fd, name))
        link_file(from, to, name, fd);
    close(fd);
}

static void bring_all(const struct wal_list *l, int from, int to, uint64_t needed)
{
    char name[HISTORY_NAME_MAX > 25 ? HISTORY_NAME_MAX : 25];
    size_t i;

    for (i = 0; i < l->n_histories; i++) {
        history_name(l->histories[i].timeline, name);
        livewal_bring_file(from, to, name, false);
    }
    for (i = 0; i < l->n; i++) {
        if (l->segments[i].partial || l->segments[i].number < needed)
            continue;
        wal_segment_name(l->segments[i].timeline, l->segments[i].number, l->segment_bytes, name);
        livewal_bring_file(from, to, name, true);
    }
}

static void bring(struct store *s, const char *pg_wal, uint64_t needed)
{
    const char *log = store_wal_directory(s);
    struct wal_list l;
    int from, to;

    if (wal_read(pg_wal, store_cluster(s)->segment_bytes, &l, NULL) < 0)
        return;
    if (mkdir(log, 0700) < 0 && errno != EEXIST)
        log_debug("cannot make %s: %s", log, strerror(errno));
    from = open(pg_wal, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    to = open(log, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from >= 0 && to >= 0)
        bring_all(&l, from, to, needed);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    wal_free(&l);
}

void livewal_bring(struct store *s)
{
    uint64_t needed;
    char *pg_wal;

    if (find_source(s, &pg_wal) && store_is_served(s) && find_needed(s, &needed) == 0 &&
        needed != UINT64_MAX)
        bring(s, pg_wal, needed);
    free(pg_wal);
}

/* ---- what goes ---- */

static void remove_before(const struct wal_list *l, const char *dir, uint64_t needed)
{
    char name[25], *path;
    size_t i;

    for (i = 0; i < l->n && l->segments[i].number < needed; i++) {
        if (l->segments[i].partial)
            continue;
        wal_segment_name(l->segments[i].timeline, l->segments[i].number, l->segment_bytes, name);
        path = mem_printf("%s/%s", dir, name);
        if (unlink(path) < 0)
            log_debug("cannot remove %s: %s", path, strerror(errno));
        free(path);
    }
}

void livewal_prune(struct store *s)
{
    struct wal_list l;
    uint64_t needed;
    char *pg_wal;

    if (find_source(s, &pg_wal) && find_needed(s, &needed) == 0 &&
        wal_read(store_wal_directory(s), store_cluster(s)->segment_bytes, &l, NULL) == 0) {
        remove_before(&l, store_wal_directory(s), needed);
        wal_free(&l);
    }
    free(pg_wal);
}
