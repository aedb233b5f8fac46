/* Where the live base of a store is served, and by whom. What was written down may be of a process that
 * was killed, or whose mount was taken away while somebody was in it: another store's base may be served
 * there by now, and is none of ours. */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/mem.h"
#include "pages/disk.h"

#define DAEMON_FILE "epoch/daemon"
#define DAEMON_FILE_MAX 65536

char *store_epochs_id(const char *store)
{
    char *path = mem_printf("%s/epoch", store), *id = NULL;
    struct stat st;

    if (stat(path, &st) == 0)
        id = mem_printf("%" PRIuMAX ":%" PRIuMAX, (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    free(path);
    return id;
}

/* No pipe is waited for. */
static FILE *open_status(const char *mount)
{
    char *path = mem_printf("%s/.asofs/status.json", mount);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st = {0};
    FILE *f = NULL;

    free(path);
    if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        errno = EINVAL;
    else if (fd >= 0)
        f = fdopen(fd, "r");
    if (fd >= 0 && !f)
        close(fd);
    return f;
}

int store_read_status(const char *mount, json_t **status, json_error_t *why)
{
    FILE *f = open_status(mount);
    int rc = f ? 0 : -errno;

    *status = f ? json_loadf(f, 0, why) : NULL;
    if (f)
        fclose(f);
    return rc;
}

bool store_is_shown(const char *store, const char *mount)
{
    json_t *status;
    int rc = store_read_status(mount, &status, NULL);
    const char *shown = json_string_value(json_object_get(status, "epochs"));
    char *id = store_epochs_id(store);
    bool ours = rc < 0 || (shown && id && strcmp(shown, id) == 0);

    free(id);
    json_decref(status);
    return ours;
}

char *store_mount(const struct store *s)
{
    char *text;
    size_t len;

    if (disk_read_file(s->disk, DAEMON_FILE, DAEMON_FILE_MAX, &text, &len) < 0)
        return NULL;
    text[strcspn(text, "\n")] = '\0';
    if (text[0] == '/' && store_is_shown(s->path, text))
        return text;
    free(text);
    return NULL;
}

bool store_is_served_at(const char *store)
{
    char *path = mem_printf("%s/epoch/lock", store);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool served = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;

    if (fd >= 0)
        close(fd);
    free(path);
    return served;
}

bool store_is_served(const struct store *s)
{
    return store_is_served_at(s->path);
}
