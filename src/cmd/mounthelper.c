/*
 * mount.asofs and mount.fuse.asofs: what mount(8) starts for `mount -t asofs SOURCE DIR -o …` and
 * for lines of fstab. Its command line is that of every mount helper:
 *
 *   mount.asofs SOURCE DIR [-sfnvrw] [-N namespace] [-o options] [-t type]
 *
 * It is turned into one of `asofs mount`. Options that mount(8), systemd or the kernel use are
 * passed over.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"

static bool is_passed_over(const char *item)
{
    static const char *const names[] = {"ro",          "rw",
                                        "defaults",    "auto",
                                        "noauto",      "user",
                                        "users",       "nouser",
                                        "owner",       "group",
                                        "_netdev",     "nofail",
                                        "suid",        "nosuid",
                                        "dev",         "nodev",
                                        "exec",        "noexec",
                                        "atime",       "noatime",
                                        "relatime",    "norelatime",
                                        "strictatime", "nostrictatime",
                                        "diratime",    "nodiratime",
                                        "lazytime",    "nolazytime",
                                        "sync",        "async",
                                        "dirsync",     "iversion",
                                        "noiversion",  "mand",
                                        "nomand",      "silent",
                                        "loud",        "default_permissions",
                                        "nofollow",    "symfollow",
                                        "nosymfollow"};
    size_t i;

    if (strncasecmp(item, "x-", 2) == 0 || strncmp(item, "comment=", 8) == 0 ||
        strncmp(item, "user=", 5) == 0)
        return true;
    for (i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(item, names[i]) == 0)
            return true;
    return false;
}

/* Append those items of a list that are for us; a comma after a backslash belongs to a value. */
static void filter_options(struct buf *out, const char *list)
{
    while (*list) {
        size_t n = 0;
        char *item;

        while (list[n] && list[n] != ',')
            n += list[n] == '\\' && list[n + 1] ? 2 : 1;
        item = mem_alloc(n + 1);
        memcpy(item, list, n);
        if (n && !is_passed_over(item))
            buf_printf(out, "%s%s", out->len ? "," : "", item);
        free(item);
        list += n + (list[n] == ',');
    }
}

/* fstab keeps quotes that a shell would have taken away. */
static char *strip_quotes(char *s)
{
    size_t n = strlen(s);

    if (n >= 2 && (s[0] == '\'' || s[0] == '"') && s[n - 1] == s[0]) {
        s[n - 1] = '\0';
        return s + 1;
    }
    return s;
}

struct helper {
    struct buf options;
    char *operands[2];
    int noperands;
    bool fake, verbose;
};

static int parse_arguments(struct helper *h, int argc, char **argv)
{
    int c;

    opterr = 0;
    while ((c = getopt(argc, argv, "sfnvrwhN:o:t:")) != -1) {
        if (c == 'o')
            filter_options(&h->options, optarg);
        else if (c == 'f')
            h->fake = true;
        else if (c == 'v')
            h->verbose = true;
        else if (c == 'h' || c == '?')
            return -EINVAL;
    }
    for (; optind < argc && h->noperands < 2; optind++)
        h->operands[h->noperands++] = argv[optind];
    return h->noperands == 2 && optind == argc ? 0 : -EINVAL;
}

static int call_mount(struct helper *h)
{
    char verb[] = "mount", quiet[] = "-q", o[] = "-o", end[] = "--";
    char *argv[8];
    int n = 0;

    argv[n++] = verb;
    if (!h->verbose)
        argv[n++] = quiet;
    if (h->options.len) {
        argv[n++] = o;
        argv[n++] = h->options.data;
    }
    argv[n++] = end;
    argv[n++] = strip_quotes(h->operands[0]);
    argv[n++] = h->operands[1];
    argv[n] = NULL;
    return h->fake ? cmd_mount_fake(n, argv) : cmd_mount(n, argv);
}

int cmd_mounthelper(int argc, char **argv)
{
    struct helper h = {0};
    int status;

    log_set_name("mount.asofs");
    if (parse_arguments(&h, argc, argv) < 0) {
        fputs("Usage: mount.asofs SOURCE DIR [-sfnvrw] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]\n"
              "mount(8) calls it for `mount -t asofs SOURCE DIR`; see mount.asofs(8).\n",
              stderr);
        status = EXIT_USAGE;
    } else {
        status = call_mount(&h);
    }
    buf_free(&h.options);
    return status;
}

bool is_mounthelper(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    const char *name = slash ? slash + 1 : argv0;

    return strcmp(name, "mount.asofs") == 0 || strcmp(name, "mount.fuse.asofs") == 0;
}
