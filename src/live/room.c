/*
 * The space that epochs and kept log take: watched by the keeper, and given back where the server
 * would miss it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "live/livestate.h"

int livedir_settle(struct livedir *l)
{
    pthread_mutex_lock(&l->keeping);
    l->wake = true;
    l->kept_up = false;
    pthread_cond_signal(&l->woken);
    while (!l->kept_up)
        pthread_cond_wait(&l->done, &l->keeping);
    pthread_mutex_unlock(&l->keeping);
    return 0;
}

static uint64_t all_bytes(struct livedir *l, uint64_t *oldest)
{
    struct epoch *e;
    uint64_t bytes = 0;

    *oldest = 0;
    pthread_mutex_lock(&l->list);
    for (e = l->oldest; e; e = e->newer) {
        bytes += atomic_load(&e->bytes);
        if (!*oldest && atomic_load(&e->state) == HEADER_OPEN)
            *oldest = e->number;
    }
    pthread_mutex_unlock(&l->list);
    return bytes;
}

void live_watch_space(struct livedir *l)
{
    uint64_t oldest, bytes = all_bytes(l, &oldest);
    struct statvfs s;
    char why[128];

    if (!oldest)
        return;
    if (l->options.limit && bytes > l->options.limit) {
        snprintf(why, sizeof(why), "old pages take %" PRIu64 " bytes, and may take %" PRIu64, bytes,
                 l->options.limit);
        livedir_give_up(l, oldest, why);
    } else if (fstatvfs(l->epochs, &s) == 0 &&
               (uint64_t)s.f_bavail * s.f_frsize < l->options.reserve && !live_wal_shed(l)) {
        snprintf(why, sizeof(why), "the disk has less than %" PRIu64 " bytes left",
                 l->options.reserve);
        livedir_give_up(l, oldest, why);
    }
}

/* The oldest log that is kept, else the oldest freeze. */
static bool give_one_up(struct livedir *l)
{
    uint64_t oldest;

    if (live_wal_shed_one(l))
        return true;
    all_bytes(l, &oldest);
    if (oldest)
        livedir_give_up(l, oldest, "the disk is full");
    return oldest;
}

/* One after the other: who failed at the same time tries again with what the first one freed, and in
 * the end with what was given up by somebody else. */
bool live_make_room(struct livedir *l, struct room_made *m)
{
    bool more;

    pthread_mutex_lock(&l->rooming);
    more = m->rounds != l->rooms;
    if (!more && give_one_up(l)) {
        more = true;
        l->rooms++;
    }
    livedir_settle(l);
    m->rounds = l->rooms;
    pthread_mutex_unlock(&l->rooming);
    if (!more && !m->settled)
        more = m->settled = true;
    return more;
}

bool livedir_make_room(struct livedir *l)
{
    struct room_made made = {.settled = true};

    pthread_mutex_lock(&l->rooming);
    made.rounds = l->rooms;
    pthread_mutex_unlock(&l->rooming);
    return live_make_room(l, &made);
}
