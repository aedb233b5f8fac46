#include "store/walsaid.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/io.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "store/walwalk.h"

#define NAME "source-log"
#define FILE_MAX 4096

/* A line each: microseconds, LSN, timeline. */
static bool parse_line(const char *line, struct wal_said *said)
{
    char lsn[LSN_TEXT_MAX], after;

    return sscanf(line, "%" SCNd64 " %23s %" SCNu32 "%c", &said->time_us, lsn, &said->timeline,
                  &after) == 4 &&
           after == '\n' && said->time_us > 0 && said->timeline && lsn_parse(lsn, &said->lsn) == 0;
}

size_t walsaid_read(const char *store, struct wal_said out[WALSAID_MAX])
{
    char *path = mem_printf("%s/" NAME, store), *text = NULL;
    const char *line;
    size_t n = 0;

    if (io_read_text(AT_FDCWD, path, FILE_MAX, &text) == 0)
        for (line = text; n < WALSAID_MAX && parse_line(line, &out[n]); n++)
            line += strcspn(line, "\n") + 1;
    free(text);
    free(path);
    return n;
}

static int write_file(const char *path, const struct buf *b, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = fd < 0 ? err_errno(err, "cannot write %s", path) : 0;

    if (rc == 0) {
        rc = io_pwrite_all(fd, b->data, b->len, 0);
        if (rc < 0)
            rc = err_set(err, -rc, "cannot write %s: %s", path, strerror(-rc));
    }
    if (fd >= 0 && close(fd) < 0 && rc == 0)
        rc = err_errno(err, "cannot write %s", path);
    return rc;
}

int walsaid_add(const char *store, const struct wal_said *said, struct err *err)
{
    char *path = mem_printf("%s/" NAME, store), *made = mem_printf("%s.new", path);
    struct wal_said all[WALSAID_MAX + 1];
    char lsn[LSN_TEXT_MAX];
    size_t n = walsaid_read(store, all), i;
    struct buf b = {0};
    int rc;

    all[n++] = *said;
    for (i = n > WALSAID_MAX ? 1 : 0; i < n; i++)
        buf_printf(&b, "%" PRId64 " %s %" PRIu32 "\n", all[i].time_us, lsn_text(all[i].lsn, lsn),
                   all[i].timeline);
    rc = write_file(made, &b, err);
    if (rc == 0 && rename(made, path) < 0)
        rc = err_errno(err, "cannot write %s", path);
    buf_free(&b);
    free(made);
    free(path);
    return rc;
}

int64_t walsaid_proves(const struct wal_said *said, size_t n, const struct wal_list *l,
                       uint32_t towards, uint64_t end)
{
    int64_t proved = 0;

    for (; n; said++, n--)
        if (said->lsn && said->time_us > proved &&
            wal_after_head(said->lsn, l->segment_bytes) <= wal_after_head(end, l->segment_bytes) &&
            wal_timeline_at(l, towards, said->lsn - 1) == said->timeline)
            proved = said->time_us;
    return proved;
}
