#include "extract/passing.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "common/mem.h"
#include "common/units.h"
#include "extract/room.h"

#define PAGE 4096u

struct place {
    bool there;
    uint32_t spool;
    uint64_t offset, bytes;
};

struct passing {
    struct passing_config cfg;
    struct room *room;
    struct place *places; /* by chunk */
    uint32_t *freed;      /* by the guest; the finisher has not read them yet */
    size_t nfreed, freed_room;
};

struct passing *passing_new(const struct passing_config *config)
{
    struct passing *p = mem_alloc(sizeof(*p));

    p->cfg = *config;
    p->room = room_new(config->plan, config->spool_limit, config->writers);
    p->places = mem_array(config->plan->nchunks, sizeof(*p->places));
    return p;
}

void passing_free(struct passing *p)
{
    if (!p)
        return;
    room_free(p->room);
    free(p->places);
    free(p->freed);
    free(p);
}

uint64_t passing_next_offset(uint64_t end)
{
    return (end + PAGE - 1) / PAGE * PAGE;
}

/* ---- given back ---- */

static bool is_in_one_piece(const struct passing *p, uint32_t chunk)
{
    const struct chunk *k = &p->cfg.plan->chunks[chunk];

    return k->first && k->last;
}

static bool can_go_back(const struct passing *p, uint32_t chunk)
{
    return is_in_one_piece(p, chunk) || (p->cfg.guest->direct != NULL) ||
           finisher_is_past(p->cfg.finisher, chunk) ||
           finisher_gave_up(p->cfg.finisher, p->cfg.plan->chunks[chunk].table);
}

static void give_back(struct passing *p, uint32_t chunk)
{
    struct place *at = &p->places[chunk];

    spool_discard(&p->cfg.spools[at->spool], at->offset, passing_next_offset(at->bytes));
    room_give_back(p->room, chunk);
    at->there = false;
}

/* A file that was written into a directory has no place here. */
static void note_freed(struct passing *p, uint32_t chunk)
{
    if (!p->places[chunk].there)
        return;
    p->freed = mem_grow(p->freed, p->nfreed, &p->freed_room, sizeof(*p->freed));
    p->freed[p->nfreed++] = chunk;
}

void passing_take_back(struct passing *p)
{
    const struct extract_guest *guest = p->cfg.guest;
    size_t table, i, n = 0;
    uint32_t number;

    while (guest->freed(guest->arg, &table, &number))
        note_freed(p, (uint32_t)p->cfg.plan->first[table] + number);
    for (i = 0; i < p->nfreed; i++)
        if (can_go_back(p, p->freed[i]))
            give_back(p, p->freed[i]);
        else
            p->freed[n++] = p->freed[i];
    p->nfreed = n;
}

/* ---- begun ---- */

/* Of ours and of the file system. */
static uint64_t disk_of(const struct passing *p, uint64_t under_way)
{
    struct statvfs fs;

    if (statvfs(p->cfg.spool_dir, &fs) < 0)
        return UINT64_MAX / 2; /* writing will tell */
    return (uint64_t)fs.f_bavail * fs.f_frsize + under_way;
}

bool passing_is_ample(const struct passing *p, uint64_t under_way)
{
    return room_is_ample(p->room, disk_of(p, under_way));
}

bool passing_is_stuck(const struct passing *p)
{
    const struct extract_guest *guest = p->cfg.guest;

    if (room_writers(p->room) || finisher_has_work(p->cfg.finisher))
        return false;
    return !room_kept(p->room) || !guest->will_free(guest->arg);
}

/* Their chunks wait for one that is not there, which waits for room. */
static bool give_up_checksums(struct passing *p)
{
    bool any = p->nfreed > 0;

    if (p->cfg.guest->wants_checksums)
        return false;
    while (p->nfreed) {
        finisher_give_up(p->cfg.finisher, p->cfg.plan->chunks[p->freed[0]].table);
        passing_take_back(p);
    }
    return any;
}

bool passing_may_begin(struct passing *p, uint32_t chunk, uint64_t under_way)
{
    if (room_ask(p->room, chunk, disk_of(p, under_way)))
        return true;
    if (!passing_is_stuck(p))
        return false;
    if (give_up_checksums(p) && room_ask(p->room, chunk, disk_of(p, under_way)))
        return true;
    room_ask_all(p->room, chunk);
    return true;
}

uint64_t passing_share(const struct passing *p, uint32_t chunk)
{
    return room_share(p->room, chunk);
}

/* ---- what becomes of it ---- */

void passing_put(struct passing *p, uint32_t chunk, uint32_t spool, uint64_t offset, uint64_t bytes)
{
    room_keep(p->room, chunk, passing_next_offset(bytes));
    p->places[chunk] = (struct place){true, spool, offset, bytes};
}

void passing_return(struct passing *p, uint32_t chunk)
{
    room_return(p->room, chunk);
}

static int fail_full(const struct passing *p, struct err *err)
{
    bool limited = p->cfg.spool_limit != 0;
    char size[32];
    uint64_t room = limited ? p->cfg.spool_limit : room_kept(p->room) + disk_of(p, 0);

    err_set(err, ENOSPC,
            "a chunk of it does not fit into the spool in %s, which has room for %s%s, and nothing "
            "else there can be given back before",
            p->cfg.spool_dir, units_format_size(room, size, sizeof(size)),
            limited ? " (--spool-limit)" : "");
    return err_hint(err,
                    "--spool=DIR names a larger place, --chunk-size=SIZE makes smaller chunks%s",
                    p->cfg.guest->wants_checksums ? "" : ", --direct needs no spool");
}

int passing_overrun(struct passing *p, uint32_t chunk, int code, uint64_t written,
                    uint64_t under_way, struct err *err)
{
    uint64_t held = room_kept(p->room) + under_way + written;

    if (room_overrun(p->room, chunk, written, code != EOVERFLOW, held))
        return 0;
    return fail_full(p, err);
}
