#include "replay/serverfiles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "pg/private.h"
#include "replay/tablespaces.h"

#define RECOVERY_SIGNAL "recovery.signal"
#define STANDBY_SIGNAL "standby.signal"

static int make_signal(const char *data, const char *name, struct err *err)
{
    char *path = mem_printf("%s/%s", data, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = fd < 0 ? err_errno(err, "cannot make %s in the view", name) : 0;

    if (fd >= 0 && close(fd) < 0 && rc == 0)
        rc = err_errno(err, "cannot make %s in the view", name);
    free(path);
    return rc;
}

int serverfiles_begin(const char *data, bool standby, struct err *err)
{
    return make_signal(data, standby ? STANDBY_SIGNAL : RECOVERY_SIGNAL, err);
}

struct wal_file {
    const char *dir, *name, *path;
};

/* Of every name in pg_wal but those that begin with a dot, until `f` returns something else than 0.
 * It may remove the file. */
static int each_in_wal(const char *data,
                       int (*f)(const struct wal_file *file, void *arg, struct err *err), void *arg,
                       struct err *err)
{
    char *wal = mem_printf("%s/pg_wal", data), *path;
    DIR *dir = opendir(wal);
    struct dirent *e;
    int rc = dir ? 0 : err_errno(err, "cannot read %s", wal);

    while (rc == 0 && (e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        path = mem_printf("%s/%s", wal, e->d_name);
        rc = f(&(struct wal_file){wal, e->d_name, path}, arg, err);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(wal);
    return rc;
}

static int remove_one(const char *dir, const char *name, struct err *err)
{
    char *path = mem_printf("%s/%s", dir, name);
    int rc = unlink(path) < 0 && errno != ENOENT ? err_errno(err, "cannot remove %s", path) : 0;

    free(path);
    return rc;
}

/* What lies in the base's own pg_wal may be replayed without being asked for. */
static int look_at_segment(const struct wal_file *file, void *tablespaces, struct err *err)
{
    int rc = tablespaces_look(tablespaces, file->path, file->name, err);

    return rc < 0 ? err_prefix(err, "segment %s", file->name) : 0;
}

int serverfiles_check_wal(const char *data, uint32_t segment_bytes, uint64_t from, struct err *err)
{
    struct tablespaces *t =
        tablespaces_new(&(struct tablespaces_wal){.segment_bytes = segment_bytes, .from = from});
    int rc = each_in_wal(data, look_at_segment, t, err);

    tablespaces_free(t);
    return rc;
}

static bool is_link(const struct wal_file *file)
{
    struct stat st;

    return lstat(file->path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* A segment of the shipped log. Whoever runs a server on a copy of the view must not write to the
 * log through it. */
static int remove_link(const struct wal_file *file, void *unused, struct err *err)
{
    (void)unused;
    return is_link(file) ? remove_one(file->dir, file->name, err) : 0;
}

/* Recovery will fetch it again: a link to the shipped log, or a copy of what is there. */
static bool is_restored(const struct wal_file *file, const char *wal_dir)
{
    char *shipped = mem_printf("%s/%s", wal_dir, file->name);
    struct stat st;
    bool is = is_link(file) || (lstat(file->path, &st) == 0 && S_ISREG(st.st_mode) &&
                                faccessat(AT_FDCWD, shipped, F_OK, AT_EACCESS) == 0);

    free(shipped);
    return is;
}

static int remove_restored(const struct wal_file *file, void *wal_dir, struct err *err)
{
    char *done;
    int rc;

    if (!is_restored(file, wal_dir))
        return 0;
    done = mem_printf("archive_status/%s.done", file->name);
    rc = remove_one(file->dir, file->name, err);
    if (rc == 0)
        rc = remove_one(file->dir, done, err);
    free(done);
    return rc;
}

static int remove_traces(const char *data, struct err *err)
{
    static const char *const names[] = {"backup_label.old", "tablespace_map.old", "postmaster.opts",
                                        PG_PRIVATE_PROMOTE};
    size_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < sizeof(names) / sizeof(*names); i++)
        rc = remove_one(data, names[i], err);
    return rc;
}

/* Recovery renames it when it begins. */
bool serverfiles_has_label(const char *data)
{
    char *path = mem_printf("%s/backup_label", data);
    bool has = faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0;

    free(path);
    return has;
}

int serverfiles_end(const char *data, struct err *err)
{
    int rc = each_in_wal(data, remove_link, NULL, err);

    return rc < 0 ? rc : remove_traces(data, err);
}

int serverfiles_end_standby(const char *data, const char *wal_dir, struct err *err)
{
    int rc = each_in_wal(data, remove_restored, (char *)(uintptr_t)wal_dir, err);

    if (rc == 0)
        rc = remove_one(data, STANDBY_SIGNAL, err);
    return rc < 0 ? rc : remove_traces(data, err);
}
