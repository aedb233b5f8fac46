#include "replay/reached.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "pg/serverlog.h"
#include "replay/moment.h"
#include "store/history.h"
#include "store/walreach.h"

#define HISTORY_MAX (1 << 20) /* bytes */

int64_t reached_last_commit(const char *log)
{
    char *text = serverlog_last_commit(log);
    struct moment m;
    int64_t us = 0;

    if (text && moment_parse(MOMENT_TIME, text, &m, NULL) == 0) {
        us = m.time_us;
        moment_free(&m);
    }
    free(text);
    return us;
}

void reached_read_log(const char *log, struct reached *r)
{
    *r = (struct reached){.stopped = serverlog_says_stopped(log),
                          .target_later = serverlog_says_target_later(log),
                          .too_early = serverlog_says_too_early(log),
                          .last = serverlog_last_record(log),
                          .commit_us = reached_last_commit(log)};
}

/* The newest of the histories is its own: it takes a number after all that it finds. */
static uint32_t newest_timeline(DIR *dir)
{
    uint32_t timeline, newest = 0;
    struct dirent *e;

    while ((e = readdir(dir)))
        if (history_parse_name(e->d_name, &timeline) && timeline > newest)
            newest = timeline;
    return newest;
}

uint64_t reached_parse_history(const char *text, uint32_t *timeline)
{
    uint32_t left, high, low;
    uint64_t end = 0;
    const char *line;

    *timeline = 0;
    for (line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (sscanf(line, "%" SCNu32 " %8" SCNx32 "/%8" SCNx32, &left, &high, &low) == 3) {
            end = (uint64_t)high << 32 | low;
            *timeline = left;
        }
    return end;
}

static uint64_t read_history(int dir, uint32_t timeline, uint32_t *left)
{
    char name[HISTORY_NAME_MAX], *text;
    uint64_t end = 0;

    history_name(timeline, name);
    if (io_read_text(dir, name, HISTORY_MAX, &text) == 0) {
        end = reached_parse_history(text, left);
        free(text);
    }
    return end;
}

uint64_t reached_switch_point(const char *wal, uint32_t *timeline)
{
    DIR *dir = opendir(wal);
    uint64_t end = 0;
    uint32_t own;

    *timeline = 0;
    if (!dir)
        return 0;
    own = newest_timeline(dir);
    if (own)
        end = read_history(dirfd(dir), own, timeline);
    closedir(dir);
    return end;
}

/* The newest timeline of which there is that segment, but the server's own; 0: none. */
static uint32_t timeline_of(const char *wal, uint64_t number, uint32_t segment_bytes)
{
    DIR *dir = opendir(wal);
    struct wal_segment s;
    uint32_t newest = 0, own;
    struct dirent *e;

    if (!dir)
        return 0;
    own = newest_timeline(dir);
    rewinddir(dir);
    while ((e = readdir(dir)))
        if (wal_parse_name(e->d_name, segment_bytes, &s) == 0 && !s.partial && s.number == number &&
            s.timeline < own && s.timeline > newest)
            newest = s.timeline;
    closedir(dir);
    return newest;
}

uint64_t reached_damage(const char *wal, uint64_t last, uint32_t segment_bytes)
{
    struct wal_segment s = {.number = last / segment_bytes};
    const struct wal_list l = {.segments = &s, .n = 1, .segment_bytes = segment_bytes};
    struct wal_way way = {.list = &l, .dir = wal, .from = last, .before = UINT64_MAX};
    struct wal_reach reach = {0};
    struct err ignored;

    s.timeline = way.timeline = last ? timeline_of(wal, s.number, segment_bytes) : 0;
    if (!s.timeline || wal_reach(&way, &reach, &ignored) < 0)
        return 0;
    return reach.last == last ? reach.damaged : 0;
}
