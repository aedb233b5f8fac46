#include "replay/refetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"
#include "store/walreach.h"

#define PLACE "pg_wal/asofs-fetched" /* below data, where the command runs */

char *refetch_command(const char *command, const char *name, const char *path, const char *begins)
{
    struct buf b = {0};
    const char *s;

    for (s = command; *s; s++) {
        if (*s != '%' || !s[1]) {
            buf_putc(&b, *s);
            continue;
        }
        s++;
        if (*s == 'f' || *s == 'p' || *s == 'r') {
            buf_puts(&b, *s == 'f' ? name : *s == 'p' ? path : begins);
        } else {
            if (*s != '%')
                buf_putc(&b, '%');
            buf_putc(&b, *s);
        }
    }
    buf_puts(&b, "");
    return b.data;
}

/* In the data directory, as a server runs it. Of what it says nothing is new. */
static int fetch(const struct refetch_request *req, const char *name)
{
    struct pg_programs shell = *req->programs;
    char begins[25], *path = mem_printf(PLACE "/%s", name), *command;
    struct err ignored;
    int rc;

    shell.bindir = (char *)(uintptr_t) "/bin";
    wal_segment_name(req->timeline, req->from / req->segment_bytes, req->segment_bytes, begins);
    command = refetch_command(req->command, name, path, begins);
    rc = pg_program_run(&shell, "sh",
                        (char *[]){"sh", "-c", "cd -- \"$1\" && eval \"$2\"", "sh",
                                   (char *)(uintptr_t)req->data, command, NULL},
                        req->env, NULL, req->stop_fd, NULL, &ignored);
    free(command);
    free(path);
    return rc;
}

/* The segment in which recovery ended is in pg_wal still. */
static uint64_t look_for_more(const struct refetch_request *req, uint64_t number, const char *dir)
{
    char *wal = mem_printf("%s/pg_wal", req->data);
    struct wal_segment segments[] = {{.timeline = req->timeline, .number = number - 1, .own = true},
                                     {.timeline = req->timeline, .number = number}};
    bool within = req->end % req->segment_bytes;
    const struct wal_list list = {.segments = within ? segments : segments + 1,
                                  .n = within ? 2 : 1,
                                  .segment_bytes = req->segment_bytes};
    const struct wal_way way = {.list = &list,
                                .dir = dir,
                                .own = wal,
                                .system = req->system,
                                .timeline = req->timeline,
                                .from = req->end,
                                .before = UINT64_MAX};
    struct err ignored;
    uint64_t there;

    if (wal_find_left_out(&way, &there, &ignored) < 0)
        there = 0;
    free(wal);
    return there;
}

uint64_t refetch_damage(const struct refetch_request *req)
{
    uint64_t number = (req->end + req->segment_bytes - 1) / req->segment_bytes, there = 0;
    char *dir = mem_printf("%s/" PLACE, req->data), name[25], *path;

    wal_segment_name(req->timeline, number, req->segment_bytes, name);
    path = mem_printf("%s/%s", dir, name);
    if (mkdir(dir, 0700) == 0) {
        if (fetch(req, name) == 0)
            there = look_for_more(req, number, dir);
        unlink(path);
        rmdir(dir);
    }
    free(path);
    free(dir);
    return there;
}
