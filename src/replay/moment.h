/*
 * The moment that a page view is asked for, and the base from which it is reached. Pure, but for
 * the time zone of the process.
 */
#ifndef ASOFS_REPLAY_MOMENT_H
#define ASOFS_REPLAY_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "store/walreach.h"
#include "store/store.h"

enum moment_kind {
    MOMENT_NONE,
    MOMENT_LATEST,        /* the end of the log that is there */
    MOMENT_TIME,          /* every transaction committed at or before it */
    MOMENT_LSN,           /* every record that begins before it */
    MOMENT_XID,           /* up to the end of that transaction, it included */
    MOMENT_RESTORE_POINT, /* pg_create_restore_point() */
};

struct moment {
    enum moment_kind kind;
    char *text;      /* as PostgreSQL's recovery_target_* wants it; "" for the latest */
    int64_t time_us; /* since 1970 */
    uint64_t lsn;
};

/*
 * value: of the option. Times are ISO 8601: 2026-11-16, 2026-11-16 08:00,
 * 2026-11-16T08:00:00.5+01:00, …Z; without a zone they are in the zone of the process (TZ).
 */
int moment_parse(enum moment_kind kind, const char *value, struct moment *m, struct err *err);
void moment_free(struct moment *m);

/* "time 2026-11-16 08:00:00+00", "lsn 0/3000148", "latest" …; owned by the caller. */
char *moment_words(const struct moment *m);

/* Microseconds since 1970 as "2026-11-16 08:00:00.5+00" (UTC). */
#define MOMENT_TIME_MAX 48
const char *moment_time_text(int64_t us, char out[MOMENT_TIME_MAX]);

/* What a view of a moment shows: the log in front of that place, and the time that was asked for, or
 * else the newest that base and log prove. */
struct moment_shown {
    uint64_t lsn;
    int64_t time_us; /* since 1970 */
};

struct moment_base {
    const char *id;
    struct store_base_facts facts;
};

/* The first moment of a base, as far as it is known: seconds since 1970, and the place on the log.
 */
int64_t moment_first_time(const struct store_base_facts *f);
uint64_t moment_first_lsn(const struct store_base_facts *f);

/* Is the base early enough? Of those whose first moment is not known, replay will tell. */
bool moment_is_after(const struct moment *m, const struct store_base_facts *f);

/*
 * The log as seen from a base: the timeline that replay goes to, and where its first moment is on
 * it. Bases on a branch that was left are put after the others; how many of the others there are.
 */
uint32_t moment_towards(const struct store_base_facts *f, const struct wal_list *log);
unsigned moment_leave_branches(struct moment_base *bases, unsigned n, const struct wal_list *log);

/* Of one of those: -ERANGE. words: what cannot be done. */
int moment_refuse_left(const char *words, const struct moment_base *base,
                       const struct wal_list *log, struct err *err);

/*
 * The newest of the bases (oldest first) that is early enough, and older than `before` of them
 * (n: any); its index, or -1.
 */
int moment_choose(const struct moment *m, const struct moment_base *bases, unsigned n,
                  unsigned before);

/*
 * The moment against the log, which reaches so far (its time_us also by what the source said of
 * it): 0, or -ERANGE with err saying which moments can be had, or that a segment or the history of a
 * timeline is missing. What cannot be known here (xid, restore point, a log that somebody else
 * keeps) passes.
 */
int moment_check_wal(const struct moment *m, const struct moment_base *base,
                     const struct wal_list *log, const struct wal_reach *reach, struct err *err);

/* An LSN that is not beyond `end` is in that log; both as places of records. */
bool moment_reaches(uint64_t end, uint64_t lsn, uint32_t segment_bytes);

/* The last time that can be asked for with a base and its log, seconds since 1970; 0: there is none,
 * though there may be an LSN. */
int64_t moment_last_time(const struct store_base_facts *f, const struct wal_reach *reach);

/* The log after `at` is of a timeline whose history is missing: -ENOENT, which names it. */
int moment_check_history(const struct moment_base *base, const struct wal_list *log, uint64_t at,
                         struct err *err);

#endif
