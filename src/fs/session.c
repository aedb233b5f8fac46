#define FUSE_USE_VERSION 312

#include "fs/internal.h"

#include <errno.h>
#include <fuse_log.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"

/* A comma in a mount option has to be escaped. */
static void put_option_value(struct buf *b, const char *value)
{
    for (; *value; value++) {
        if (*value == ',' || *value == '\\')
            buf_putc(b, '\\');
        buf_putc(b, *value);
    }
}

static char *mount_options(const struct fs_session_options *o)
{
    struct buf b = {0};

    buf_printf(&b, "%s,default_permissions,subtype=asofs,fsname=", o->flags);
    put_option_value(&b, o->source);
    if (o->allow_other)
        buf_puts(&b, ",allow_other");
    if (o->debug)
        buf_puts(&b, ",debug");
    return buf_steal(&b);
}

/* libfuse tells on standard error why a mount failed; here it goes where all messages go. */
static void fuse_message(enum fuse_log_level level, const char *fmt, va_list ap)
{
    char text[1024];
    size_t len;

    vsnprintf(text, sizeof(text), fmt, ap);
    len = strcspn(text, "\n");
    text[len] = '\0';
    if (level <= FUSE_LOG_WARNING && len)
        log_error("%s", text);
    else if (len)
        log_debug("%s", text);
}

int fs_session_open(const struct fs_session_options *o, const struct fuse_lowlevel_ops *ops,
                    void *userdata, struct fuse_session **session, struct err *err)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    char *options = mount_options(o);

    fuse_set_log_func(fuse_message);
    fuse_opt_add_arg(&args, "asofs");
    fuse_opt_add_arg(&args, "-o");
    fuse_opt_add_arg(&args, options);
    *session = fuse_session_new(&args, ops, sizeof(*ops), userdata);
    fuse_opt_free_args(&args);
    free(options);
    return *session ? 0 : err_set(err, EINVAL, "libfuse refused the mount options");
}

uint64_t fs_generation(void)
{
    struct timespec now;
    uint32_t n = 0;

    clock_gettime(CLOCK_REALTIME, &now);
    if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n))
        n = (uint32_t)now.tv_nsec ^ (uint32_t)now.tv_sec << 8 ^ (uint32_t)getpid() << 16;
    return (n & 0x7fffffff) | 1; /* the kernel keeps 32 bits */
}

static int refuse_mount(const char *path, bool allow_other, struct err *err)
{
    return err_set(err, EPERM, "cannot mount on %s%s", path,
                   allow_other && geteuid() != 0
                       ? "; allow_other needs user_allow_other in /etc/fuse.conf"
                       : "");
}

/* libfuse takes an open device for a mount point, and unmounts nothing then. */
static int mount_as_root(struct fuse_session *session, struct mountpoint *m,
                         const struct fs_session_options *o, struct err *err)
{
    char path[32];
    int fd = mountpoint_mount(m, o->source, o->flags, o->allow_other, err);

    if (fd < 0)
        return fd;
    snprintf(path, sizeof(path), "/dev/fd/%d", fd);
    if (fuse_session_mount(session, path) == 0)
        return 0;
    close(fd);
    mountpoint_unmount(m, true);
    return refuse_mount(m->path, o->allow_other, err);
}

int fs_session_mount(struct fuse_session *session, struct mountpoint *m,
                     const struct fs_session_options *o, struct err *err)
{
    if (geteuid() == 0)
        return mount_as_root(session, m, o, err);
    return fuse_session_mount(session, m->path) == 0 ? 0
                                                     : refuse_mount(m->path, o->allow_other, err);
}

void fs_session_unmount(struct fuse_session *session, struct mountpoint *m)
{
    if (geteuid() == 0)
        mountpoint_unmount(m, true);
    else
        fuse_session_unmount(session);
}

void fs_prepare_heap(void)
{
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 32 << 20);
}
