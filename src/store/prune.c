#include "store/prune.h"

/*
 * Whether everything from the base's first moment on is reached from it: not when the log goes on
 * along another timeline that was begun before it.
 */
static bool leads_to_all(const struct prune_base *b, const struct wal_list *log)
{
    uint64_t start = b->facts.start_lsn / log->segment_bytes;
    size_t i;

    for (i = 0; i < log->n && log->segments[i].number < start; i++)
        if (log->segments[i].timeline > b->facts.timeline)
            return false;
    return true;
}

static bool is_newer(const struct prune_base *a, const struct prune_base *b)
{
    return a->facts.timeline >= b->facts.timeline && a->facts.start_lsn > b->facts.start_lsn;
}

/* The newest base from which all that is retained can be shown, a frozen one only where those count;
 * NULL: there is none. */
static const struct prune_base *find_anchor(const struct prune_base *bases, size_t n,
                                            const struct wal_list *log, int64_t keep_from,
                                            bool frozen)
{
    const struct prune_base *anchor = NULL, *b;

    for (b = bases; b < bases + n; b++) {
        if (b->lost || b->with_view || (b->frozen && !frozen))
            continue;
        if (b->facts.plain || !b->first_time || b->first_time > keep_from || !leads_to_all(b, log))
            continue;
        if (!anchor || is_newer(b, anchor))
            anchor = b;
    }
    return anchor;
}

static enum prune_why judge(const struct prune_base *b, const struct prune_base *anchor)
{
    if (b->facts.plain)
        return PRUNE_PLAIN;
    if (!b->lost && (!anchor || !is_newer(anchor, b)))
        return PRUNE_RETAINED;
    return b->has_view ? PRUNE_VIEW : PRUNE_REMOVE;
}

/* All the way down. A chain is no longer than there are bases, whatever `below` says. */
static void keep_below(struct prune_base *bases, size_t n, const struct prune_base *b)
{
    size_t steps;

    for (steps = 0; steps < n && b->below >= 0; steps++) {
        struct prune_base *next = &bases[b->below];

        if (next->why == PRUNE_REMOVE)
            next->why = PRUNE_BELOW;
        b = next;
    }
}

static bool needs_wal(const struct prune_base *b)
{
    return !b->lost && (b->why == PRUNE_RETAINED || b->why == PRUNE_VIEW);
}

uint64_t prune_decide(struct prune_base *bases, size_t n, const struct wal_list *log,
                      int64_t keep_from)
{
    const struct prune_base *newest = find_anchor(bases, n, log, keep_from, true),
                            *lasting = find_anchor(bases, n, log, keep_from, false);
    uint64_t from = UINT64_MAX;
    size_t i;

    for (i = 0; i < n; i++)
        bases[i].why = judge(&bases[i], bases[i].frozen ? newest : lasting);
    for (i = 0; i < n; i++)
        if (bases[i].why != PRUNE_REMOVE && bases[i].why != PRUNE_BELOW)
            keep_below(bases, n, &bases[i]);
    for (i = 0; i < n; i++)
        if (needs_wal(&bases[i]) && bases[i].facts.start_lsn < from)
            from = bases[i].facts.start_lsn;
    return from == UINT64_MAX ? 0 : from;
}

bool prune_segment(const struct wal_list *log, size_t i, uint64_t needed_from)
{
    return i + 1 < log->n && log->segments[i].number < needed_from / log->segment_bytes;
}
