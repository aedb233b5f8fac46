#include "live/nodes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_END NODES_SPACES
#define OF_SERVER "PG_" /* its directories in a tablespace (TABLESPACE_VERSION_DIRECTORY) */

/*
 * What pg_basebackup leaves out, too, and a server makes anew at its start (basebackup.c,
 * excludeDirContents, excludeFiles; file names of fd.c, PG_TEMP_FILE_PREFIX; 14 to 18).
 */
static const char *const empty_dirs[] = {"pg_wal",       "pg_stat_tmp", "pg_notify",   "pg_serial",
                                         "pg_snapshots", "pg_subtrans", "pg_dynshmem", NULL};
static const char *const absent_files[] = {"postmaster.pid", "postmaster.opts", NULL};
#define TEMPORARY "pgsql_tmp"

/* What is in these is the server's data: it must not lie behind a symbolic link. */
static const char *const data_dirs[] = {
    "base",        "global",      "pg_xact", "pg_multixact",    "pg_commit_ts",    "pg_logical",
    "pg_replslot", "pg_twophase", "pg_stat", NODES_SPACE_LINKS, NODES_SPACES_NAME, NULL};

static bool is_one_of(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names;
}

static bool is_temporary(const char *name)
{
    return strncmp(name, TEMPORARY, strlen(TEMPORARY)) == 0;
}

bool nodes_name_exempt(bool in_root, const char *name)
{
    return is_temporary(name) ||
           (in_root && (is_one_of(absent_files, name) || strcmp(name, "pg_wal") == 0));
}

bool nodes_exempt(const struct node *dir, const char *name, mode_t mode)
{
    bool in_root = dir->parent == dir;

    if (dir->exempt)
        return true;
    if (S_ISDIR(mode))
        return is_temporary(name) || (in_root && is_one_of(empty_dirs, name));
    return nodes_name_exempt(in_root, name);
}

/* ---- tables ---- */

static uint64_t name_key(const struct node *dir, const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ node_number(dir);

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return h;
}

struct node *nodes_of_number(const struct nodes *t, uint64_t number)
{
    return table_item(table_find(&t->by_number, number), struct node, by_number);
}

struct node *nodes_of_id(const struct nodes *t, uint64_t id)
{
    return table_item(table_find(&t->by_id, id), struct node, by_id);
}

struct node *nodes_child(const struct nodes *t, const struct node *dir, const char *name)
{
    struct table_link *link = table_find(&t->by_name, name_key(dir, name));
    struct node *n;

    for (; link; link = table_again(link)) {
        n = table_item(link, struct node, by_name);
        if (n->parent == dir && strcmp(n->name, name) == 0)
            return n;
    }
    return NULL;
}

static void attach(struct nodes *t, struct node *dir, struct node *n)
{
    n->parent = dir;
    n->prev = NULL;
    n->next = dir->children;
    if (n->next)
        n->next->prev = n;
    dir->children = n;
    table_add(&t->by_name, &n->by_name, name_key(dir, n->name));
}

static void detach(struct nodes *t, struct node *n)
{
    table_remove(&t->by_name, &n->by_name);
    if (n->prev)
        n->prev->next = n->next;
    else
        n->parent->children = n->next;
    if (n->next)
        n->next->prev = n->prev;
}

/* Takes the name, also when it is NULL. */
static struct node *new_node(struct nodes *t, char *name, uint64_t id, mode_t mode)
{
    struct node *n = name ? calloc(1, sizeof(*n)) : NULL;

    if (!n) {
        free(name);
        return NULL;
    }
    n->name = name;
    n->mode = mode & S_IFMT;
    n->linked = true;
    table_add(&t->by_number, &n->by_number, t->next++);
    table_add(&t->by_id, &n->by_id, id);
    return n;
}

struct node *nodes_add(struct nodes *t, struct node *dir, const char *name, uint64_t id,
                       mode_t mode)
{
    struct node *n = new_node(t, strdup(name), id, mode);

    if (!n)
        return NULL;
    n->exempt = nodes_exempt(dir, name, mode);
    attach(t, dir, n);
    return n;
}

void nodes_remove(struct nodes *t, struct node *n)
{
    table_remove(&t->by_number, &n->by_number);
    free(n->name);
    free(n);
}

void nodes_unlink(struct nodes *t, struct node *n)
{
    detach(t, n);
    table_remove(&t->by_id, &n->by_id);
    n->linked = false;
    if (!n->opened)
        nodes_remove(t, n);
}

int nodes_move(struct nodes *t, struct node *n, struct node *dir, const char *name)
{
    char *copy = strdup(name);

    if (!copy)
        return -ENOMEM;
    detach(t, n);
    free(n->name);
    n->name = copy;
    attach(t, dir, n);
    return 0;
}

void nodes_set_id(struct nodes *t, struct node *n, uint64_t id)
{
    table_remove(&t->by_id, &n->by_id);
    table_add(&t->by_id, &n->by_id, id);
}

static const char *place_of(const struct node *space)
{
    return space->name + strlen(space->name) + 1;
}

static int put_in_front(const char *path, char **at, const char *part)
{
    size_t len = strlen(part);

    if ((size_t)(*at - path) < len + 1)
        return -ENAMETOOLONG;
    if (**at)
        *--*at = '/';
    *at -= len;
    memcpy(*at, part, len);
    return 0;
}

/* Put together from its end. */
int nodes_path(const struct node *n, const char *name, char path[PATH_MAX])
{
    char *at = path + PATH_MAX - 1;
    int rc;

    *at = '\0';
    rc = name ? put_in_front(path, &at, name) : 0;
    for (; rc == 0 && n->parent != n && !n->space; n = n->parent)
        rc = node_id(n) == NODES_SPACES ? -EPERM : put_in_front(path, &at, n->name);
    if (rc == 0 && n->space)
        rc = put_in_front(path, &at, place_of(n));
    if (rc < 0)
        return rc;
    if (!*at)
        *--at = '.';
    memmove(path, at, strlen(at) + 1);
    return 0;
}

/* ---- tablespaces that lie elsewhere ---- */

bool nodes_may_have(const struct node *dir, const char *name)
{
    return !dir->space || strncmp(name, OF_SERVER, strlen(OF_SERVER)) == 0;
}

bool nodes_is_oid(const char *name)
{
    return *name && !name[strspn(name, "0123456789")];
}

bool nodes_is_in_root(const struct node *n, const char *name)
{
    return n->parent != n && n->parent->parent == n->parent && strcmp(n->name, name) == 0;
}

bool nodes_has_space_links(const struct node *dir)
{
    return nodes_is_in_root(dir, NODES_SPACE_LINKS);
}

static char *name_and_place(const char *oid, const char *path)
{
    size_t name = strlen(oid) + 1, place = strlen(path) + 1;
    char *both = malloc(name + place);

    if (!both)
        return NULL;
    memcpy(both, oid, name);
    memcpy(both + name, path, place);
    return both;
}

struct node *nodes_add_space(struct nodes *t, const char *oid, const char *path, uint64_t id)
{
    struct node *n = new_node(t, name_and_place(oid, path), id, S_IFDIR);

    if (!n)
        return NULL;
    n->space = true;
    attach(t, nodes_of_id(t, NODES_SPACES), n);
    return n;
}

struct node *nodes_space(const struct nodes *t, const char *oid)
{
    struct node *spaces = nodes_of_id(t, NODES_SPACES);

    return spaces ? nodes_child(t, spaces, oid) : NULL;
}

static void remove_below(struct nodes *t, struct node *n)
{
    while (n->children) {
        remove_below(t, n->children);
        nodes_unlink(t, n->children);
    }
}

void nodes_remove_space(struct nodes *t, struct node *space)
{
    remove_below(t, space);
    nodes_unlink(t, space);
}

/* ---- reading ---- */

static int refuse(const struct node *dir, const char *name, int code, const char *why,
                  struct err *err)
{
    char path[PATH_MAX];

    if (nodes_path(dir, name, path) < 0)
        strcpy(path, "?");
    if (*path == '/')
        return err_set(err, code, "%s, in a tablespace, %s", path, why);
    return err_set(err, code, "\"%s\" in the data directory %s", path, why);
}

/* What is read after all else: spaces.c. */
static bool is_space_link(const struct node *dir, const char *name, mode_t mode)
{
    return S_ISLNK(mode) && nodes_has_space_links(dir) && nodes_is_oid(name);
}

static bool is_data(const struct node *dir, const char *name)
{
    for (; dir->parent != dir; dir = dir->parent)
        name = dir->name;
    return is_one_of(data_dirs, name);
}

bool nodes_leads_away(const struct node *dir, const char *name, mode_t mode)
{
    return S_ISLNK(mode) && !nodes_exempt(dir, name, mode) && is_data(dir, name) &&
           !is_space_link(dir, name, mode);
}

static void note_change(struct nodes *t, const struct node *n, const struct stat *st)
{
    int64_t changed = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;

    if (!n->exempt && changed > t->changed)
        t->changed = changed;
}

static int read_entry(struct nodes *t, struct node *dir, const char *name, const struct stat *st,
                      struct node **n, struct err *err)
{
    bool exempt = nodes_exempt(dir, name, st->st_mode);

    if (st->st_ino >= ID_END)
        return refuse(dir, name, EOVERFLOW, "has an inode number that is too large", err);
    if (nodes_leads_away(dir, name, st->st_mode))
        return refuse(dir, name, EXDEV,
                      "is a symbolic link: what it leads to would not be frozen; put it there",
                      err);
    if (S_ISREG(st->st_mode) && !exempt && nodes_of_id(t, st->st_ino))
        return refuse(dir, name, EMLINK, "is a file of two names", err);
    if (S_ISDIR(st->st_mode) && nodes_of_id(t, st->st_ino))
        return refuse(dir, name, EMLINK, "is a directory that is there twice", err);
    *n = nodes_add(t, dir, name, st->st_ino, st->st_mode);
    return *n ? 0 : err_set(err, ENOMEM, "no memory for the names of the data directory");
}

static int read_dir(struct nodes *t, struct node *dir, int fd, dev_t device, struct err *err);

static int read_below(struct nodes *t, struct node *n, int parent, dev_t device, struct err *err)
{
    int fd = openat(parent, n->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return refuse(n->parent, n->name, errno, strerror(errno), err);
    return read_dir(t, n, fd, device, err);
}

static int read_name(struct nodes *t, struct node *dir, int fd, dev_t device, const char *name,
                     struct err *err)
{
    struct node *n;
    struct stat st;
    int rc;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    if (!nodes_may_have(dir, name))
        return 0;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return refuse(dir, name, errno, strerror(errno), err);
    if (st.st_dev != device)
        return refuse(dir, name, EXDEV, "lies on another file system", err);
    rc = read_entry(t, dir, name, &st, &n, err);
    if (rc == 0)
        note_change(t, n, &st);
    if (rc == 0 && S_ISDIR(st.st_mode))
        rc = read_below(t, n, fd, device, err);
    return rc;
}

static int read_dir(struct nodes *t, struct node *dir, int fd, dev_t device, struct err *err)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    int rc = 0;

    if (!d) {
        close(fd);
        return refuse(dir, NULL, errno, strerror(errno), err);
    }
    while (rc == 0 && (errno = 0, e = readdir(d)))
        rc = read_name(t, dir, fd, device, e->d_name, err);
    if (rc == 0 && errno)
        rc = refuse(dir, NULL, errno, strerror(errno), err);
    closedir(d);
    return rc;
}

int nodes_read(struct nodes *t, int dir, struct err *err)
{
    struct stat st;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, "cannot read the data directory");
    t->next = 1;
    t->root = new_node(t, strdup(""), st.st_ino, S_IFDIR);
    if (!t->root) {
        close(fd);
        return err_set(err, ENOMEM, "no memory for the names of the data directory");
    }
    t->root->parent = t->root;
    note_change(t, t->root, &st);
    rc = read_dir(t, t->root, fd, st.st_dev, err);
    if (rc == 0 && !nodes_child(t, t->root, NODES_SPACES_NAME) &&
        !nodes_add(t, t->root, NODES_SPACES_NAME, NODES_SPACES, S_IFDIR))
        rc = err_set(err, ENOMEM, "no memory for the names of the data directory");
    return rc;
}

int nodes_read_space(struct nodes *t, struct node *space, int dir, struct err *err)
{
    struct stat st;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0) {
        err_errno(err, "cannot read %s", place_of(space));
        if (fd >= 0)
            close(fd);
        return -err->code;
    }
    note_change(t, space, &st);
    return read_dir(t, space, fd, st.st_dev, err);
}

void nodes_free(struct nodes *t)
{
    struct table_link *link, *next;
    struct node *n;

    for (link = table_next(&t->by_number, NULL); link; link = next) {
        next = table_next(&t->by_number, link);
        n = table_item(link, struct node, by_number);
        free(n->name);
        free(n);
    }
    table_free(&t->by_number);
    table_free(&t->by_id);
    table_free(&t->by_name);
    *t = (struct nodes){0};
}
