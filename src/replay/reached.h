/* Where a replay ended, from what its server said and left. */
#ifndef ASOFS_REPLAY_REACHED_H
#define ASOFS_REPLAY_REACHED_H

#include <stdbool.h>
#include <stdint.h>

struct reached {
    bool stopped;      /* at the target */
    bool target_later; /* the log ended before it */
    bool too_early; /* before the base was consistent: at the target, or as the log ended there */
    uint64_t last;  /* LSN of the last record that was replayed; 0: there was none */
    uint64_t end;   /* LSN of its end; 0: recovery did not come to its end */
    int64_t commit_us; /* of the last commit that was replayed; 0: none */
};

/* The last commit that a private server says it replayed, in microseconds since 1970; 0: it names
 * none. */
int64_t reached_last_commit(const char *log);

/* log: of the server, with log_checkpoints off. Sets all but `end`. Pure. */
void reached_read_log(const char *log, struct reached *r);

/*
 * pg_wal of a server that has ended its recovery: where the timeline begins that it made for
 * itself, which is where the last record ends that it replayed, and the timeline that it left there.
 * 0: it has made none.
 */
uint64_t reached_switch_point(const char *wal, uint32_t *timeline);

/*
 * The same pg_wal, of a server that replayed the record at `last` as the last one: log that lies
 * after it in its segment, and that no record leads to. 0: there is none. (What lay in the next
 * segment the server has removed: refetch.h.)
 */
uint64_t reached_damage(const char *wal, uint64_t last, uint32_t segment_bytes);

/* The switch point of a timeline's history, and the timeline left there. Its last line counts: where recovery stopped in front of the
 * timelines that it was on the way to, those stand there too, with later places. Pure. */
uint64_t reached_parse_history(const char *text, uint32_t *timeline);

#endif
