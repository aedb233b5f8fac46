#include "livecut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/hash.h"
#include "fixture.h"
#include "live/frozen.h"
#include "live/livedir.h"
#include "pages/page.h"

enum { PAGERS = 3, CUTTER = PAGERS, NAMER, THREADS };
enum { FILES = 3, PAGES = 96, CUT_PAGES = 80, SLOTS = 24, CALLS = 1 << 20, FREEZES = 4096 };

enum what { WRITE, CUT, MAKE, FILL, UNLINK, RENAME };

struct call {
    int what, file, page;         /* RENAME: from slot `file` to slot `page` */
    _Atomic int64_t begun, ended; /* nanoseconds; ended 0: cut short */
};

struct freeze {
    uint64_t number, sum;
    int64_t begun, ended;
    bool alive;
};

/* In memory that outlives a child. */
struct shared {
    atomic_int calls_of[THREADS]; /* that have ended */
    struct call calls[THREADS][CALLS];
    atomic_int freezes;
    struct freeze freeze[FREEZES];
    int length;            /* of the cutter's file, in pages */
    uint64_t slots[SLOTS]; /* of the namer: 0: no such name, else 1 + the content's stamp */
    unsigned faults;
    unsigned long dropped, raced, freeze_us;
};

struct image {
    char (*pages)[PAGES][PAGE_BYTES]; /* [FILES + 1] */
    int64_t size[FILES + 1];
    uint64_t slots[SLOTS];
};

struct livecut {
    const char *dir;
    uint64_t seed;
    bool counting;
    atomic_bool stop;
    struct livedir *l;
    struct livefile *files[FILES + 1];
    uint64_t names_dir;
    struct shared *s;
    struct image image;
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

__attribute__((format(printf, 2, 3))) static void fault(struct livecut *c, const char *fmt, ...)
{
    va_list args;

    if (c->s->faults++ < 10) {
        va_start(args, fmt);
        vfprintf(stderr, fmt, args);
        va_end(args);
        fputc('\n', stderr);
    }
    if (!c->counting)
        fail();
}

/* ---- what is changed ---- */

static void stamp_page(char *bytes, uint64_t thread, uint64_t call)
{
    uint64_t *words = (uint64_t *)(void *)bytes;
    size_t i;

    for (i = 0; i < PAGE_BYTES / 8; i += 2) {
        words[i] = thread;
        words[i + 1] = call;
    }
}

static void file_name(char name[8], int i)
{
    snprintf(name, 8, "f%d", i);
}

static void slot_name(char name[8], int i)
{
    snprintf(name, 8, "s%02d", i);
}

static void do_write(struct livecut *c, int thread, int n, const struct call *call)
{
    _Alignas(8) char bytes[PAGE_BYTES];

    stamp_page(bytes, (uint64_t)thread, (uint64_t)n + 1);
    if (livedir_write(c->files[call->file], bytes, PAGE_BYTES, (uint64_t)call->page * PAGE_BYTES) !=
        PAGE_BYTES)
        abort();
}

static struct livefile *open_slot(struct livecut *c, int slot)
{
    struct live_node n;
    struct livefile *f;
    char name[8];

    slot_name(name, slot);
    if (livedir_create(c->l, c->names_dir, name, 0600, O_RDWR, &n, &f) < 0)
        abort();
    return f;
}

static void do_fill(struct livecut *c, int n, const struct call *call)
{
    struct livefile *f = open_slot(c, call->file);
    uint64_t stamp = (uint64_t)n + 1;

    if (livedir_write(f, &stamp, sizeof(stamp), 0) != sizeof(stamp))
        abort();
    livedir_close_file(f);
}

static void do_rename(struct livecut *c, const struct call *call, bool again)
{
    char from[8], to[8];
    int rc;

    slot_name(from, call->file);
    slot_name(to, call->page);
    rc = livedir_rename(c->l, c->names_dir, from, c->names_dir, to, 0);
    if (rc < 0 && !(again && rc == -ENOENT))
        abort();
}

static void do_unlink(struct livecut *c, const struct call *call, bool again)
{
    char name[8];
    int rc;

    slot_name(name, call->file);
    rc = livedir_unlink(c->l, c->names_dir, name);
    if (rc < 0 && !(again && rc == -ENOENT))
        abort();
}

static void do_call(struct livecut *c, int thread, int n, const struct call *call, bool again)
{
    switch ((enum what)call->what) {
    case WRITE:
        do_write(c, thread, n, call);
        break;
    case CUT:
        if (livedir_resize(c->files[call->file], (uint64_t)call->page * PAGE_BYTES) < 0)
            abort();
        break;
    case MAKE:
        livedir_close_file(open_slot(c, call->file));
        break;
    case FILL:
        do_fill(c, n, call);
        break;
    case UNLINK:
        do_unlink(c, call, again);
        break;
    case RENAME:
        do_rename(c, call, again);
        break;
    }
}

/* What the state is after a call: the model. */
static void apply(const struct call *call, int n, uint64_t slots[SLOTS], int pages[PAGES],
                  int *length)
{
    int p;

    if (call->what == WRITE && pages) {
        pages[call->page] = n + 1;
        *length = call->page >= *length ? call->page + 1 : *length;
    } else if (call->what == CUT) {
        for (p = call->page; p < PAGES; p++)
            pages[p] = 0;
        *length = call->page;
    } else if (call->what == MAKE) {
        slots[call->file] = 1;
    } else if (call->what == FILL) {
        slots[call->file] = (uint64_t)n + 2;
    } else if (call->what == UNLINK) {
        slots[call->file] = 0;
    } else if (call->what == RENAME) {
        slots[call->page] = slots[call->file];
        slots[call->file] = 0;
    }
}

static void choose_cutting(struct livecut *c, uint64_t *seed, struct call *call)
{
    int length = c->s->length;

    call->file = FILES;
    if (fixture_random_below(seed, 16) == 0) {
        call->what = CUT;
        call->page = fixture_random_below(seed, 3) == 0
                         ? 0
                         : (int)fixture_random_below(seed, (uint32_t)length + 1);
        return;
    }
    call->what = WRITE;
    call->page = fixture_random_below(seed, 3) == 0 || length == 0
                     ? length
                     : (int)fixture_random_below(seed, (uint32_t)length);
    if (call->page >= CUT_PAGES)
        call->page = 0;
}

static void choose_naming(struct livecut *c, uint64_t *seed, struct call *call)
{
    uint64_t *slots = c->s->slots;

    call->file = (int)fixture_random_below(seed, SLOTS);
    call->page = (int)fixture_random_below(seed, SLOTS);
    if (slots[call->file] == 0)
        call->what = MAKE;
    else if (slots[call->file] == 1)
        call->what = FILL;
    else if (call->page == call->file || fixture_random_below(seed, 2))
        call->what = fixture_random_below(seed, 3) ? UNLINK : FILL;
    else
        call->what = RENAME;
}

static void choose(struct livecut *c, int thread, uint64_t *seed, struct call *call)
{
    if (thread == CUTTER) {
        choose_cutting(c, seed, call);
    } else if (thread == NAMER) {
        choose_naming(c, seed, call);
    } else {
        call->what = WRITE;
        call->file = (int)fixture_random_below(seed, FILES);
        call->page = (int)fixture_random_below(seed, PAGES / PAGERS) * PAGERS + thread;
    }
}

static void note_done(struct livecut *c, int thread, int n, struct call *call)
{
    int pages[PAGES] = {0};

    call->ended = now_ns();
    if (thread >= CUTTER)
        apply(call, n, c->s->slots, thread == CUTTER ? pages : NULL, &c->s->length);
    atomic_store(&c->s->calls_of[thread], n + 1);
}

struct worker {
    struct livecut *c;
    int thread;
    pthread_t id;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct shared *s = w->c->s;
    uint64_t seed =
        w->c->seed * 31 + (uint64_t)w->thread + 7 + (uint64_t)atomic_load(&s->calls_of[w->thread]);
    struct call *call;
    int n;

    while (!atomic_load(&w->c->stop) && (n = atomic_load(&s->calls_of[w->thread])) < CALLS) {
        call = &s->calls[w->thread][n];
        choose(w->c, w->thread, &seed, call);
        call->ended = 0;
        call->begun = now_ns();
        do_call(w->c, w->thread, n, call, false);
        note_done(w->c, w->thread, n, call);
    }
    return NULL;
}

void livecut_repeat_cut_short(struct livecut *c)
{
    struct call *call;
    int thread, n;

    for (thread = 0; thread < THREADS; thread++) {
        n = atomic_load(&c->s->calls_of[thread]);
        call = &c->s->calls[thread][n];
        if (!call->begun || call->ended)
            continue;
        do_call(c, thread, n, call, true);
        note_done(c, thread, n, call);
    }
}

/* ---- reading a frozen tree ---- */

static void read_file(struct livecut *c, struct frozen *t, int i)
{
    char name[8], *to = c->image.pages[i][0];
    struct frozen_file *f;
    struct stat st;
    int64_t n, at = 0;

    file_name(name, i);
    c->image.size[i] = 0;
    if (frozen_lookup(t, frozen_root(t), name, &st) < 0 || frozen_open_file(t, st.st_ino, &f) < 0) {
        fault(c, "freeze %d: no file %s", (int)frozen_number(t), name);
        return;
    }
    while ((n = frozen_read(f, to + at, 5 * PAGE_BYTES, (uint64_t)at)) > 0)
        at += n;
    if (n < 0 || at != st.st_size)
        fault(c, "freeze %d: reading %s gives %d after %ld of %ld", (int)frozen_number(t), name,
              (int)n, (long)at, (long)st.st_size);
    c->image.size[i] = at;
    frozen_close_file(f);
}

struct slot_reader {
    struct livecut *c;
    uint64_t id[SLOTS];
};

static int take_slot(void *arg, const char *name, uint64_t id, mode_t mode)
{
    struct slot_reader *r = arg;
    int i = atoi(name + 1);

    if (!S_ISREG(mode) || r->id[i])
        fault(r->c, "%s is listed twice, or is no file", name);
    r->id[i] = id;
    return 0;
}

static uint64_t read_slot(struct livecut *c, struct frozen *t, int i, uint64_t id)
{
    struct frozen_file *f;
    uint64_t stamp = 0;
    int64_t n = frozen_open_file(t, id, &f);

    if (n == 0) {
        n = frozen_read(f, &stamp, sizeof(stamp), 0);
        frozen_close_file(f);
    }
    if (n != 0 && n != sizeof(stamp))
        fault(c, "freeze %d: slot %d cannot be read: %d", (int)frozen_number(t), i, (int)n);
    return 1 + stamp;
}

static void read_slots(struct livecut *c, struct frozen *t)
{
    struct slot_reader r = {.c = c};
    struct stat st, one;
    char name[8];
    int i, rc;

    memset(c->image.slots, 0, sizeof(c->image.slots));
    if (frozen_lookup(t, frozen_root(t), "names", &st) < 0 ||
        frozen_list(t, st.st_ino, take_slot, &r) < 0)
        fault(c, "freeze %d: names cannot be listed", (int)frozen_number(t));
    for (i = 0; i < SLOTS; i++) {
        slot_name(name, i);
        rc = frozen_lookup(t, st.st_ino, name, &one);
        if ((rc == 0) != (r.id[i] != 0))
            fault(c, "freeze %d: %s is listed with id %ld, and looking it up gives %d",
                  (int)frozen_number(t), name, (long)r.id[i], rc);
        if (r.id[i])
            c->image.slots[i] = read_slot(c, t, i, r.id[i]);
    }
}

/* The image, and a checksum of it; 0: there is no such tree any more. */
static uint64_t read_tree(struct livecut *c, uint64_t number)
{
    struct hash *h = hash_new();
    struct frozen *t;
    uint64_t sum;
    int i;

    if (frozen_open(c->l, number, &t) < 0) {
        fault(c, "freeze %d is not there", (int)number);
        hash_free(h);
        return 0;
    }
    memset(c->image.pages, 0, sizeof(c->image.pages[0]) * (FILES + 1));
    for (i = 0; i <= FILES; i++)
        read_file(c, t, i);
    read_slots(c, t);
    frozen_close(t);
    hash_update(h, c->image.pages, sizeof(c->image.pages[0]) * (FILES + 1));
    hash_update(h, c->image.size, sizeof(c->image.size));
    hash_update(h, c->image.slots, sizeof(c->image.slots));
    sum = hash_value(h);
    hash_free(h);
    return sum;
}

/* ---- checking it ---- */

struct cut {
    int least[THREADS], most[THREADS]; /* so many calls of a thread are in it */
};

/* The number of the call that wrote the page. */
static int page_value(struct livecut *c, int file, int page, int *thread)
{
    const uint64_t *words = (const uint64_t *)(const void *)c->image.pages[file][page];
    size_t i;

    for (i = 2; i < PAGE_BYTES / 8; i++)
        if (words[i] != words[i & 1]) {
            fault(c, "page %d of file %d is torn", page, file);
            break;
        }
    *thread = (int)words[0];
    return (int)words[1];
}

static int calls_begun(struct livecut *c, int thread, int64_t until)
{
    int n = atomic_load(&c->s->calls_of[thread]);

    if (n < CALLS && c->s->calls[thread][n].begun && !c->s->calls[thread][n].ended)
        n++;
    while (n && c->s->calls[thread][n - 1].begun > until)
        n--;
    return n;
}

static void check_pager(struct livecut *c, int thread, const struct freeze *f, struct cut *cut)
{
    static int last[FILES][PAGES];
    int file, page, value, owner, n = 0;

    for (file = 0; file < FILES; file++)
        for (page = thread; page < PAGES; page += PAGERS) {
            value = page_value(c, file, page, &owner);
            n = value > n ? value : n;
            last[file][page] = 0;
        }
    cut->least[thread] = cut->most[thread] = n;
    if (n > CALLS) {
        fault(c, "freeze %d: page of nobody", (int)f->number);
        return;
    }
    for (value = 0; value < n; value++)
        last[c->s->calls[thread][value].file][c->s->calls[thread][value].page] = value + 1;
    for (file = 0; file < FILES; file++)
        for (page = thread; page < PAGES; page += PAGERS) {
            value = page_value(c, file, page, &owner);
            if (value != last[file][page] || (value && owner != thread))
                fault(c, "freeze %d: file %d page %d has call %d, and is to have %d of %d",
                      (int)f->number, file, page, value, last[file][page], n);
        }
}

static bool cutter_matches(struct livecut *c, const int pages[PAGES], int length)
{
    int page, owner;

    if (c->image.size[FILES] != (int64_t)length * PAGE_BYTES)
        return false;
    for (page = 0; page < length; page++)
        if (page_value(c, FILES, page, &owner) != pages[page])
            return false;
    return true;
}

/* All numbers of calls after which the state is what is seen. */
static void check_replayed(struct livecut *c, int thread, const struct freeze *f, struct cut *cut)
{
    uint64_t slots[SLOTS] = {0};
    int pages[PAGES] = {0}, length = 0, n, end = calls_begun(c, thread, f->ended);
    bool found = false, same;

    for (n = 0; n <= end; n++) {
        if (n && c->s->calls[thread][n - 1].begun == 0)
            break;
        if (n)
            apply(&c->s->calls[thread][n - 1], n - 1, slots, pages, &length);
        if (n < end && c->s->calls[thread][n].ended && c->s->calls[thread][n].ended < f->begun)
            continue;
        same = thread == CUTTER ? cutter_matches(c, pages, length)
                                : memcmp(slots, c->image.slots, sizeof(slots)) == 0;
        if (!same)
            continue;
        cut->least[thread] = found ? cut->least[thread] : n;
        cut->most[thread] = n;
        found = true;
    }
    if (!found)
        fault(c, "freeze %d: the %s's files are those of no moment", (int)f->number,
              thread == CUTTER ? "cutter" : "namer");
}

/* Calls of the first so many are in it; the next is not. */
static void check_order(struct livecut *c, const struct freeze *f, const struct cut *cut)
{
    const struct call *next;
    int64_t begun;
    int i, j;

    for (i = 0; i < THREADS; i++) {
        begun = cut->least[i] ? c->s->calls[i][cut->least[i] - 1].begun : 0;
        if (begun > f->ended)
            fault(c, "freeze %d: a call of thread %d that began after it", (int)f->number, i);
        for (j = 0; j < THREADS; j++) {
            next = &c->s->calls[j][cut->most[j]];
            if (cut->most[j] < atomic_load(&c->s->calls_of[j]) &&
                (next->ended < begun || next->ended < f->begun))
                fault(c, "freeze %d: call %d of thread %d is missing, which had ended",
                      (int)f->number, cut->most[j], j);
        }
    }
}

static void check_tree(struct livecut *c, const struct freeze *f)
{
    struct cut cut = {0};
    int i;

    for (i = 0; i < PAGERS; i++)
        check_pager(c, i, f, &cut);
    check_replayed(c, CUTTER, f, &cut);
    check_replayed(c, NAMER, f, &cut);
    if (!c->s->faults)
        check_order(c, f, &cut);
}

/* ---- freezing ---- */

static void check_again(struct livecut *c, struct freeze *f)
{
    if (f->alive && read_tree(c, f->number) != f->sum)
        fault(c, "freeze %d has changed", (int)f->number);
}

void livecut_check_again(struct livecut *c)
{
    int i, n = atomic_load(&c->s->freezes);

    for (i = 0; i < n; i++)
        check_again(c, &c->s->freeze[i]);
}

static void freeze_once(struct livecut *c)
{
    int n = atomic_load(&c->s->freezes);
    struct freeze *f = &c->s->freeze[n];
    struct live_counts counts;
    struct err err;
    int rc;

    if (n == FREEZES)
        return;
    f->begun = now_ns();
    rc = livedir_freeze(c->l, 0, 10000, &f->number, &err);
    f->ended = now_ns();
    if (rc < 0) {
        fault(c, "no freeze: %s", err.text);
        return;
    }
    f->sum = read_tree(c, f->number);
    check_tree(c, f);
    f->alive = true;
    atomic_store(&c->s->freezes, n + 1);
    livedir_counts(c->l, &counts);
    c->s->raced += counts.raced;
    c->s->freeze_us = counts.freeze_us > c->s->freeze_us ? counts.freeze_us : c->s->freeze_us;
}

static int alive(struct livecut *c, int *which, int wanted)
{
    int i, n = 0;

    for (i = 0; i < atomic_load(&c->s->freezes); i++)
        if (c->s->freeze[i].alive && n++ == wanted)
            *which = i;
    return n;
}

static void drop_one(struct livecut *c, uint64_t *seed)
{
    int i = 0, n = alive(c, &i, -1);
    struct err err;

    if (n < 3 || (n < 9 && fixture_random_below(seed, 3)))
        return;
    alive(c, &i, (int)fixture_random_below(seed, (uint32_t)n));
    c->s->freeze[i].alive = false;
    c->s->dropped++;
    if (livedir_drop(c->l, c->s->freeze[i].number, &err) < 0)
        fault(c, "%s", err.text);
}

static void check_some(struct livecut *c, uint64_t *seed)
{
    int i = 0, n = alive(c, &i, -1);

    if (n)
        alive(c, &i, (int)fixture_random_below(seed, (uint32_t)n));
    if (n)
        check_again(c, &c->s->freeze[i]);
}

static void sleep_ms(unsigned ms)
{
    struct timespec t = {0, (long)ms * 1000000};

    nanosleep(&t, NULL);
}

void livecut_run(struct livecut *c, int ms)
{
    int64_t end = now_ns() + (int64_t)ms * 1000000;
    uint64_t seed = c->seed + 99 + (uint64_t)atomic_load(&c->s->freezes);
    struct worker workers[THREADS];
    int i;

    atomic_store(&c->stop, false);
    for (i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.c = c, .thread = i};
        assert_int_equal(pthread_create(&workers[i].id, NULL, work, &workers[i]), 0);
    }
    while (now_ns() < end && (c->counting || !c->s->faults)) {
        sleep_ms(fixture_random_below(&seed, 20));
        freeze_once(c);
        check_some(c, &seed);
        drop_one(c, &seed);
    }
    atomic_store(&c->stop, true);
    for (i = 0; i < THREADS; i++)
        pthread_join(workers[i].id, NULL);
}

/* A child must not come back into cmocka. */
static void run_as_child(struct livecut *c)
{
    c->counting = true;
    livecut_open(c);
    livecut_run(c, 600000);
    _exit(1);
}

/* It is killed while it works: after a number of freezes, and a while. */
void livecut_run_and_kill(struct livecut *c, int ms)
{
    int before = atomic_load(&c->s->freezes), status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        run_as_child(c);
    while (atomic_load(&c->s->freezes) < before + 3 && !c->s->faults)
        sleep_ms(5);
    for (; ms > 0; ms -= 20)
        sleep_ms(20);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(c->s->faults, 0);
}

/* ---- opening ---- */

static void complain(void *arg, const char *text)
{
    fault(arg, "complaint: %s", text);
}

static char *path_in(const struct livecut *c, const char *name)
{
    char *path;

    assert_true(asprintf(&path, "%s/%s", c->dir, name) > 0);
    return path;
}

/* Freezes that were made, and not yet noted, when the process was killed. */
static void take_unnoted(struct livecut *c)
{
    int n = atomic_load(&c->s->freezes);
    struct live_freeze *list;
    size_t count;

    assert_int_equal(livedir_freezes(c->l, &list, &count), 0);
    if (count && (n == 0 || list[count - 1].number > c->s->freeze[n - 1].number))
        assert_int_equal(livedir_drop(c->l, list[count - 1].number, NULL), 0);
    free(list);
}

void livecut_open(struct livecut *c)
{
    struct livedir_options options = {.complain = complain, .arg = c};
    char *data = path_in(c, "data"), *epochs = path_in(c, "epoch"), name[8];
    struct live_node n;
    struct err err;
    int i;

    if (livedir_open(data, epochs, &options, &c->l, &err) < 0)
        fail_msg("%s", err.text);
    for (i = 0; i <= FILES; i++) {
        file_name(name, i);
        assert_int_equal(livedir_create(c->l, LIVEDIR_ROOT, name, 0600, O_RDWR, &n, &c->files[i]),
                         0);
    }
    if (livedir_lookup(c->l, LIVEDIR_ROOT, "names", &n) < 0)
        assert_int_equal(livedir_mkdir(c->l, LIVEDIR_ROOT, "names", 0700, &n), 0);
    c->names_dir = n.number;
    take_unnoted(c);
    free(data);
    free(epochs);
}

void livecut_close(struct livecut *c, bool cleanly)
{
    struct err err;
    int i;

    for (i = 0; i <= FILES; i++)
        livedir_close_file(c->files[i]);
    if (!cleanly)
        livedir_abandon(c->l);
    else if (livedir_close(c->l, &err) < 0)
        fail_msg("%s", err.text);
    c->l = NULL;
}

static void make_files(struct livecut *c)
{
    char *data = path_in(c, "data");
    int i, fd, dir;
    char name[8];

    assert_int_equal(mkdir(data, 0700), 0);
    dir = open(data, O_RDONLY | O_DIRECTORY);
    assert_true(dir >= 0);
    for (i = 0; i <= FILES; i++) {
        file_name(name, i);
        fd = openat(dir, name, O_RDWR | O_CREAT, 0600);
        assert_true(fd >= 0);
        if (i < FILES)
            assert_int_equal(ftruncate(fd, PAGES * PAGE_BYTES), 0);
        close(fd);
    }
    close(dir);
    free(data);
}

struct livecut *livecut_new(const char *dir, uint64_t seed)
{
    struct livecut *c = calloc(1, sizeof(*c));

    assert_non_null(c);
    c->dir = dir;
    c->seed = seed;
    c->s = mmap(NULL, sizeof(*c->s), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(c->s != MAP_FAILED);
    c->image.pages = calloc(FILES + 1, sizeof(c->image.pages[0]));
    assert_non_null(c->image.pages);
    make_files(c);
    return c;
}

void livecut_free(struct livecut *c)
{
    munmap(c->s, sizeof(*c->s));
    free(c->image.pages);
    free(c);
}

void livecut_count_faults(struct livecut *c)
{
    c->counting = true;
}

unsigned livecut_faults(const struct livecut *c)
{
    return c->s->faults;
}

void livecut_say(const struct livecut *c)
{
    long calls = 0;
    int i;

    for (i = 0; i < THREADS; i++)
        calls += atomic_load(&c->s->calls_of[i]);
    printf("%d freezes, %lu of them dropped, %ld calls; pages found at the second look: %lu; the "
           "longest freeze: %lu us\n",
           atomic_load(&c->s->freezes), c->s->dropped, calls, c->s->raced, c->s->freeze_us);
}
