#include "render/xacts.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/mem.h"

#define PAGE 8192u
#define LEAF 2048u /* pages of a leaf, and leaves: together more than 2^32 members need */

#define XACTS_A_PAGE (PAGE * 4)
#define OFFSETS_A_PAGE (PAGE / 4)
#define GROUP 20u /* bytes, four members */
#define MEMBERS_A_PAGE (PAGE / GROUP * 4)

/* Of one multixact: it grows by one member a time, and each step leaves a copy among the 2^32 members that
 * there can be: n * n / 2 of them. */
#define MOST_MEMBERS 100000u

enum { NO_KEY_UPDATE = 4, UPDATE = 5 }; /* multixact.h, MultiXactStatus */

struct leaf {
    _Atomic(char *) pages[LEAF];
};

struct slru {
    _Atomic(struct leaf *) leaves[LEAF];
};

struct render_xacts {
    struct render_xacts_request request;
    pthread_mutex_t lock; /* of who adds a page, or a leaf */
    struct slru slrus[RENDER_MULTI_MEMBERS + 1];
};

struct render_xacts *render_xacts_new(const struct render_xacts_request *r)
{
    struct render_xacts *x = mem_alloc(sizeof(*x));

    x->request = *r;
    pthread_mutex_init(&x->lock, NULL);
    return x;
}

static void free_slru(struct slru *s)
{
    struct leaf *leaf;
    size_t i, k;

    for (i = 0; i < LEAF; i++) {
        leaf = atomic_load_explicit(&s->leaves[i], memory_order_relaxed);
        for (k = 0; leaf && k < LEAF; k++)
            free(atomic_load_explicit(&leaf->pages[k], memory_order_relaxed));
        free(leaf);
    }
}

void render_xacts_free(struct render_xacts *x)
{
    size_t i;

    if (!x)
        return;
    for (i = 0; i < sizeof(x->slrus) / sizeof(x->slrus[0]); i++)
        free_slru(&x->slrus[i]);
    pthread_mutex_destroy(&x->lock);
    free(x);
}

/* ---- pages ---- */

/* NULL: it was not read yet. */
static const char *page_kept(struct slru *s, uint32_t page)
{
    struct leaf *leaf = atomic_load_explicit(&s->leaves[page / LEAF], memory_order_acquire);

    return leaf ? atomic_load_explicit(&leaf->pages[page % LEAF], memory_order_acquire) : NULL;
}

static void keep_page(struct slru *s, uint32_t page, char *bytes)
{
    struct leaf *leaf = atomic_load_explicit(&s->leaves[page / LEAF], memory_order_relaxed);

    if (!leaf) {
        leaf = mem_alloc(sizeof(*leaf));
        atomic_store_explicit(&s->leaves[page / LEAF], leaf, memory_order_release);
    }
    atomic_store_explicit(&leaf->pages[page % LEAF], bytes, memory_order_release);
}

static int load_page(struct render_xacts *x, enum render_slru which, uint32_t page)
{
    char *bytes = NULL;
    int rc = 0;

    pthread_mutex_lock(&x->lock);
    if (!page_kept(&x->slrus[which], page)) { /* nobody was quicker */
        bytes = mem_alloc(PAGE);
        rc = x->request.read(x->request.arg, which, page, bytes);
        if (rc == 0)
            keep_page(&x->slrus[which], page, bytes);
        else
            free(bytes);
    }
    pthread_mutex_unlock(&x->lock);
    return rc;
}

static int get_page(struct render_xacts *x, enum render_slru which, uint32_t page,
                    const char **bytes)
{
    int rc;

    *bytes = page_kept(&x->slrus[which], page);
    if (*bytes)
        return 0;
    rc = load_page(x, which, page);
    *bytes = page_kept(&x->slrus[which], page);
    return rc;
}

static int fail(const char **fault, const char *what)
{
    *fault = what;
    return -EIO;
}

/* ---- transactions ---- */

static int not_in_pg_xact(const struct render_xacts *x, uint32_t xid, int rc, const char **fault)
{
    if (rc != -ENOENT) {
        *fault = "pg_xact cannot be read";
        return rc;
    }
    return fail(fault, (int32_t)(xid - x->request.oldest_xid) < 0
                           ? "a row's transaction is older than what pg_xact still has"
                           : "a row's transaction is missing in pg_xact");
}

int render_xacts_committed(struct render_xacts *x, uint32_t xid, const char **fault)
{
    const char *bytes;
    unsigned four;
    int rc;

    if (xid < 3) /* none, that of initdb, the frozen one */
        return xid != 0;
    if ((int32_t)(xid - (uint32_t)x->request.next_xid) >= 0)
        return fail(fault, "a row's transaction was never begun");
    rc = get_page(x, RENDER_XACT, xid / XACTS_A_PAGE, &bytes);
    if (rc < 0)
        return not_in_pg_xact(x, xid, rc, fault);
    four = (unsigned char)bytes[xid % XACTS_A_PAGE / 4];
    return (four >> xid % 4 * 2 & 3) == 1;
}

/* ---- multixacts ---- */

static int multi_page(struct render_xacts *x, enum render_slru which, uint32_t page,
                      const char **bytes, const char **fault)
{
    int rc = get_page(x, which, page, bytes);

    if (rc == -ENOENT)
        return fail(fault, "a row's multixact is missing in pg_multixact");
    if (rc < 0)
        *fault = "pg_multixact cannot be read";
    return rc;
}

static int read_offset(struct render_xacts *x, uint32_t multi, uint32_t *offset, const char **fault)
{
    const char *bytes;
    int rc = multi_page(x, RENDER_MULTI_OFFSETS, multi / OFFSETS_A_PAGE, &bytes, fault);

    if (rc < 0)
        return rc;
    *offset = bytes_u32(bytes + 4 * (multi % OFFSETS_A_PAGE));
    return *offset ? 0 : fail(fault, "a row's multixact has no members in pg_multixact");
}

static bool multi_exists(const struct render_xacts *x, uint32_t multi, uint32_t next)
{
    uint32_t oldest = x->request.oldest_multi;

    return multi != 0 && multi - oldest < next - oldest; /* numbers go round, past 0 */
}

/* Its members are `n` from `first` on, also round 2^32. */
static int find_members(struct render_xacts *x, uint32_t multi, uint32_t *first, uint32_t *n,
                        const char **fault)
{
    uint32_t next = x->request.next_multi ? x->request.next_multi : 1;
    uint32_t after = multi + 1 ? multi + 1 : 1, end = x->request.next_multi_offset;
    int rc;

    if (!multi_exists(x, multi, next))
        return fail(fault, "a row's multixact is none of those that there are");
    rc = read_offset(x, multi, first, fault);
    if (rc == 0 && after != next)
        rc = read_offset(x, after, &end, fault);
    if (rc < 0)
        return rc;
    *n = end - *first;
    return *n > 0 && *n <= MOST_MEMBERS ? 0
                                        : fail(fault, "a row's multixact has an impossible length");
}

/* *status < 0: there is no such member, and so it is with number 0, which is passed over. */
static int read_member(struct render_xacts *x, uint32_t member, uint32_t *xid, int *status,
                       const char **fault)
{
    const char *group;
    int rc = multi_page(x, RENDER_MULTI_MEMBERS, member / MEMBERS_A_PAGE, &group, fault);

    if (rc < 0)
        return rc;
    group += member % MEMBERS_A_PAGE / 4 * GROUP;
    *status = (unsigned char)group[member % 4];
    *xid = bytes_u32(group + 4 + 4 * (member % 4));
    if (*xid == 0 && member == 0)
        *status = -1;
    else if (*xid == 0 || *status > UPDATE)
        return fail(fault, "a member of a row's multixact is damaged");
    return 0;
}

/* The member that updated or deleted the row; there is one at most. *xid 0: all only locked it. */
static int find_update(struct render_xacts *x, uint32_t multi, uint32_t *xid, const char **fault)
{
    uint32_t first = 0, n = 0, i;
    int status, rc = find_members(x, multi, &first, &n, fault);

    for (i = 0; rc == 0 && i < n; i++) {
        rc = read_member(x, first + i, xid, &status, fault);
        if (rc == 0 && status >= NO_KEY_UPDATE)
            return 0;
    }
    *xid = 0;
    return rc;
}

/* ---- rows ---- */

int render_xacts_judge_insert(struct render_xacts *x, const char *row, const char **fault)
{
    unsigned mask = bytes_u16(row + 20);

    if (mask & RENDER_XMIN_COMMITTED)
        return 1;
    if (mask & RENDER_XMIN_INVALID)
        return 0;
    if (mask & RENDER_MOVED)
        return fail(fault, "a row was moved by a VACUUM FULL of before 9.0");
    return render_xacts_committed(x, bytes_u32(row), fault);
}

/* Also what 9.2 and older wrote, in a cluster that was upgraded: their shared lock is the bit that now says
 * that all of it is a lock only, and their exclusive lock stands alone, without a multixact. */
static bool is_only_locked(unsigned mask)
{
    unsigned old = RENDER_XMAX_IS_MULTI | RENDER_XMAX_EXCL_LOCK | RENDER_XMAX_KEYSHR_LOCK;

    return mask & RENDER_XMAX_LOCK_ONLY || (mask & old) == RENDER_XMAX_EXCL_LOCK;
}

static int judge_delete(struct render_xacts *x, const char *row, const char **fault)
{
    unsigned mask = bytes_u16(row + 20);
    uint32_t xid = bytes_u32(row + 4);
    int rc;

    if (mask & RENDER_XMAX_INVALID || is_only_locked(mask))
        return 0;
    if (mask & RENDER_XMAX_IS_MULTI) {
        rc = find_update(x, xid, &xid, fault);
        return rc < 0 ? rc : render_xacts_committed(x, xid, fault);
    }
    return mask & RENDER_XMAX_COMMITTED ? 1 : render_xacts_committed(x, xid, fault);
}

int render_xacts_judge(struct render_xacts *x, const char *row, const char **fault)
{
    int rc = render_xacts_judge_insert(x, row, fault);

    if (rc == 1) {
        rc = judge_delete(x, row, fault);
        return rc < 0 ? rc : !rc;
    }
    return rc;
}
