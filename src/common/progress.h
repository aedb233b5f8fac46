/*
 * Progress of long work, on standard error: a bar that is redrawn on a terminal, a line every few
 * seconds elsewhere, nothing when quiet.
 */
#ifndef ASOFS_COMMON_PROGRESS_H
#define ASOFS_COMMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool quiet;
    bool terminal;
    bool drawn;      /* a bar stands on the terminal's line */
    int64_t started; /* clock_ms */
    int64_t shown;   /* clock_ms of the last output */
};

struct progress_state {
    uint64_t done, total; /* estimated bytes of the source: the share that is done */
    uint64_t bytes;       /* bytes written so far */
    unsigned files_done, files;
};

void progress_start(struct progress *p, bool quiet);
void progress_show(struct progress *p, const struct progress_state *s, int64_t now);
void progress_end(struct progress *p); /* takes the bar away */

#endif
