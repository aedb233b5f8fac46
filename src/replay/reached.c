#include "replay/reached.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/lsn.h"
#include "store/history.h"
#include "replay/making.h"

#define HISTORY_MAX (1 << 20) /* bytes */

/* What FATAL says of a target in front of the base's first moment, and of a log that ends there. */
static bool says_too_early(const char *log)
{
    static const char *const words[] = {
        "requested recovery stop point is before consistent recovery point",
        "WAL ends before end of online backup", "WAL ends before consistent recovery point"};
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strstr(log, words[i]))
            return true;
    return false;
}

void reached_read_log(const char *log, struct reached *r)
{
    const char *p = strstr(log, "redo done at ");
    char lsn[LSN_TEXT_MAX] = "";

    *r = (struct reached){.stopped = strstr(log, "recovery stopping ") != NULL,
                          .target_later = strstr(log, "recovery ended before configured recovery "
                                                      "target") != NULL,
                          .too_early = says_too_early(log),
                          .commit_us = page_last_commit(log)};
    if (p && sscanf(p, "redo done at %23[0-9A-F/]", lsn) == 1)
        lsn_parse(lsn, &r->last);
}

/* The newest of the histories is its own: it takes a number behind all that it finds. */
static uint32_t newest_timeline(DIR *dir)
{
    uint32_t timeline, newest = 0;
    struct dirent *e;

    while ((e = readdir(dir)))
        if (history_parse_name(e->d_name, &timeline) && timeline > newest)
            newest = timeline;
    return newest;
}

uint64_t reached_parse_history(const char *text)
{
    uint32_t timeline, high, low;
    uint64_t end = 0;
    const char *line;

    for (line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (sscanf(line, "%" SCNu32 " %8" SCNx32 "/%8" SCNx32, &timeline, &high, &low) == 3)
            end = (uint64_t)high << 32 | low;
    return end;
}

static uint64_t read_history(int dir, uint32_t timeline)
{
    char name[HISTORY_NAME_MAX], *text;
    uint64_t end = 0;

    history_name(timeline, name);
    if (io_read_text(dir, name, HISTORY_MAX, &text) == 0) {
        end = reached_parse_history(text);
        free(text);
    }
    return end;
}

uint64_t reached_switch_point(const char *wal)
{
    DIR *dir = opendir(wal);
    uint64_t end = 0;
    uint32_t timeline;

    if (!dir)
        return 0;
    timeline = newest_timeline(dir);
    if (timeline)
        end = read_history(dirfd(dir), timeline);
    closedir(dir);
    return end;
}
