#include "store/history.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"

#define HISTORY_BYTES_MAX 65536

void history_name(uint32_t timeline, char out[HISTORY_NAME_MAX])
{
    snprintf(out, HISTORY_NAME_MAX, "%08X.history", timeline);
}

bool history_parse_name(const char *name, uint32_t *timeline)
{
    char again[HISTORY_NAME_MAX];

    if (strlen(name) != HISTORY_NAME_MAX - 1 || sscanf(name, "%8" SCNx32, timeline) != 1)
        return false;
    history_name(*timeline, again);
    return *timeline > 1 && strcmp(name, again) == 0;
}

static int refuse_line(const struct history *h, const char *dir, size_t line, struct err *err)
{
    char name[HISTORY_NAME_MAX];

    history_name(h->timeline, name);
    return err_set(err, EINVAL,
                   "%s/%s is no history of a timeline (line %zu): it was damaged or cut; put it "
                   "there anew from the server's pg_wal",
                   dir, name, line);
}

/* <timeline> <tab> <LSN> <tab> <reason>. Timelines and places only ever grow. A place that nothing
 * follows may have been cut. */
static bool parse_turn(const char *line, const struct history *h, struct history_turn *turn)
{
    const struct history_turn *before = h->n ? &h->turns[h->n - 1] : NULL;
    uint32_t high, low;
    char after;

    if (sscanf(line, "%" SCNu32 " %8" SCNx32 "/%8" SCNx32 "%c", &turn->timeline, &high, &low,
               &after) != 4 ||
        !isspace((unsigned char)after))
        return false;
    turn->end = (uint64_t)high << 32 | low;
    return turn->timeline && turn->timeline < h->timeline &&
           (!before || (turn->timeline > before->timeline && turn->end >= before->end));
}

int history_parse(const char *text, const char *dir, struct history *h, struct err *err)
{
    size_t room = 0, number = 1;
    struct history_turn turn;

    h->turns = NULL;
    for (h->n = 0; *text; text += strcspn(text, "\n"), number++) {
        text += *text == '\n';
        text += strspn(text, " \t");
        if (!*text || *text == '\n' || *text == '#')
            continue;
        if (!parse_turn(text, h, &turn))
            return refuse_line(h, dir, number, err);
        h->turns = mem_grow(h->turns, h->n, &room, sizeof(*h->turns));
        h->turns[h->n++] = turn;
    }
    return h->n ? 0 : refuse_line(h, dir, number, err);
}

int history_read(int dir_fd, const char *dir, uint32_t timeline, struct history *h, struct err *err)
{
    char name[HISTORY_NAME_MAX], *text = mem_alloc(HISTORY_BYTES_MAX + 1);
    int64_t n = -1;
    int fd, rc = 0;

    *h = (struct history){.timeline = timeline};
    history_name(timeline, name);
    fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        rc = err_errno(err, "cannot read the history of a timeline, %s/%s", dir, name);
    else if ((n = io_pread_full(fd, text, HISTORY_BYTES_MAX, 0)) < 0)
        rc = err_set(err, (int)-n, "cannot read %s/%s: %s", dir, name, strerror((int)-n));
    else
        rc = history_parse(text, dir, h, err);
    if (fd >= 0)
        close(fd);
    free(text);
    if (rc < 0)
        history_free(h);
    return rc;
}

void history_free(struct history *h)
{
    free(h->turns);
    h->turns = NULL;
    h->n = 0;
}

bool history_part(const struct history *h, uint32_t timeline, uint64_t *begin, uint64_t *end)
{
    size_t i;

    *begin = 0;
    *end = UINT64_MAX;
    for (i = 0; i < h->n; i++) {
        if (h->turns[i].timeline == timeline) {
            *end = h->turns[i].end;
            return true;
        }
        *begin = h->turns[i].end;
    }
    return timeline == h->timeline;
}
