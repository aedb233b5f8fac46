/*
 * renderfile [option...] DATA-DIRECTORY DESCRIPTION
 *
 * Renders a table out of the plain files of a cluster that is shut down; the description is that of
 * rendertable.h. Without options: to standard output, as CSV with a header.
 *
 *   --text              as COPY's text format
 *   --measure           print bytes and rows
 *   --read=OFFSET,SIZE  that part alone
 *   --random=N          N parts at random are those of the whole
 *   --time=N            render and measure to nowhere, N times; MB/s of each to standard error
 *   --parts             measure, then read all to nowhere in parts of 1 MiB; how long this took to
 *                       standard error
 *   --threads=N         for all of these
 *
 * Exit status: 1 damage, or a difference; 2 usage; 3 a type is not covered.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "rendertable.h"

#define LARGEST_READ (256u << 10)
#define PART (1u << 20)
#define MAX_THREADS 64

enum mode { WRITE, MEASURE, READ, RANDOM, TIME, PARTS };

struct options {
    enum mode mode;
    enum render_format format;
    unsigned threads;
    unsigned long long offset, size, times;
};

/* What threads do together. */
struct job {
    struct table *table;
    const struct options *options;
    const struct out *whole;
    atomic_ullong *next; /* part that nobody reads yet */
    unsigned seed;
    int rc; /* 0, 1 */
};

static int tell_fault(const struct job *j, int rc, const struct render_fault *f)
{
    if (rc >= 0)
        return 0;
    table_tell(j->table, f);
    return 1;
}

static void *run_measure(void *arg)
{
    struct job *j = arg;
    struct render_fault fault;
    int rc = render_lines_measure(table_lines(j->table), NULL, &fault);

    j->rc = tell_fault(j, rc, &fault);
    return NULL;
}

static int read_part(struct job *j, char *buffer, size_t size, uint64_t offset)
{
    struct render_fault fault;
    int rc = render_lines_read(table_lines(j->table), buffer, size, offset, &fault);

    if (rc < 0)
        return tell_fault(j, rc, &fault);
    if (memcmp(buffer, j->whole->p + offset, size) == 0)
        return 0;
    fprintf(stderr, "%zu bytes from %llu on differ from the whole\n", size,
            (unsigned long long)offset);
    return 1;
}

static void *run_random(void *arg)
{
    struct job *j = arg;
    char *buffer = mem_alloc(LARGEST_READ);
    unsigned long long i;
    uint64_t offset, left;
    size_t size;

    for (i = 0; i < j->options->times / j->options->threads && j->rc == 0; i++) {
        offset = ((uint64_t)rand_r(&j->seed) << 31 | (uint64_t)rand_r(&j->seed)) % j->whole->n;
        size = (size_t)rand_r(&j->seed) % (i % 2 ? 200 : LARGEST_READ) + 1;
        left = j->whole->n - offset;
        j->rc = read_part(j, buffer, size < left ? size : (size_t)left, offset);
    }
    free(buffer);
    return NULL;
}

static void *run_parts(void *arg)
{
    struct job *j = arg;
    struct render_lines *l = table_lines(j->table);
    struct render_fault fault;
    char *buffer = mem_alloc(PART);
    uint64_t offset, left, size = render_lines_size(l);
    int rc;

    while (j->rc == 0) {
        offset = atomic_fetch_add(j->next, 1) * (uint64_t)PART;
        if (offset >= size)
            break;
        left = size - offset;
        rc = render_lines_read(l, buffer, left < PART ? (size_t)left : PART, offset, &fault);
        j->rc = tell_fault(j, rc, &fault);
    }
    free(buffer);
    return NULL;
}

static int run_threads(const struct job *like, void *(*work)(void *))
{
    pthread_t threads[MAX_THREADS];
    struct job jobs[MAX_THREADS];
    unsigned i;
    int rc = 0;

    for (i = 0; i < like->options->threads; i++) {
        jobs[i] = *like;
        jobs[i].seed = i + 1;
        if (pthread_create(&threads[i], NULL, work, &jobs[i]))
            exit(2);
    }
    for (i = 0; i < like->options->threads; i++) {
        pthread_join(threads[i], NULL);
        rc |= jobs[i].rc;
    }
    return rc;
}

static int print_text(void *arg, const char *bytes, size_t n)
{
    return fwrite(bytes, 1, n, arg) == n ? 0 : -1;
}

static int keep_text(void *arg, const char *bytes, size_t n)
{
    out_put(arg, bytes, n);
    return 0;
}

static int count_text(void *arg, const char *bytes, size_t n)
{
    (void)bytes;
    *(uint64_t *)arg += n;
    return 0;
}

static int write_whole(const struct job *j, render_sink *sink, void *arg)
{
    struct render_fault fault;
    int rc = render_lines_write(table_lines(j->table), sink, arg, NULL, &fault);

    return tell_fault(j, rc, &fault);
}

/* ---- modes ---- */

static int measure(const struct job *j)
{
    const struct render_lines *l = table_lines(j->table);

    if (run_threads(j, run_measure))
        return 1;
    printf("%llu %llu\n", (unsigned long long)render_lines_size(l),
           (unsigned long long)render_lines_rows(l));
    return 0;
}

static int read_one(const struct job *j)
{
    struct render_fault fault;
    uint64_t left;
    size_t size;
    char *buffer;
    int rc;

    if (run_threads(j, run_measure))
        return 1;
    left = render_lines_size(table_lines(j->table));
    left = j->options->offset < left ? left - j->options->offset : 0;
    size = j->options->size < left ? (size_t)j->options->size : (size_t)left;
    buffer = mem_alloc(size + 1);
    rc = render_lines_read(table_lines(j->table), buffer, size, j->options->offset, &fault);
    rc = tell_fault(j, rc, &fault);
    if (rc == 0)
        fwrite(buffer, 1, size, stdout);
    free(buffer);
    return rc;
}

static int compare_random(const struct job *j)
{
    struct out whole = {0};
    struct job with = *j;
    int rc;

    with.whole = &whole;
    rc = write_whole(j, keep_text, &whole) || run_threads(j, run_measure);
    if (rc == 0 && whole.n != render_lines_size(table_lines(j->table))) {
        fprintf(stderr, "measured %llu bytes, written %zu\n",
                (unsigned long long)render_lines_size(table_lines(j->table)), whole.n);
        rc = 1;
    }
    if (rc == 0 && whole.n)
        rc = run_threads(&with, run_random);
    out_free(&whole);
    return rc;
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu_seconds(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* Each round measures anew: the table is opened again. */
static int time_once(const struct job *j)
{
    uint64_t bytes = 0;
    double from = cpu_seconds(), middle, end;

    if (run_threads(j, run_measure))
        return 1;
    middle = cpu_seconds();
    if (write_whole(j, count_text, &bytes))
        return 1;
    end = cpu_seconds();
    fprintf(stderr, "measure %.3f s, %.0f MB/s; write %.3f s, %.0f MB/s; %llu rows\n",
            middle - from, (double)bytes / 1e6 / (middle - from), end - middle,
            (double)bytes / 1e6 / (end - middle),
            (unsigned long long)render_lines_rows(table_lines(j->table)));
    return 0;
}

static int read_parts(const struct job *j)
{
    atomic_ullong next = 0;
    struct job with = *j;
    double from, cpu;

    with.next = &next;
    if (run_threads(j, run_measure))
        return 1;
    from = seconds_of(CLOCK_MONOTONIC);
    cpu = cpu_seconds();
    if (run_threads(&with, run_parts))
        return 1;
    fprintf(stderr, "read %.3f s, CPU %.3f s\n", seconds_of(CLOCK_MONOTONIC) - from,
            cpu_seconds() - cpu);
    return 0;
}

static int run_mode(const struct job *j)
{
    switch (j->options->mode) {
    case MEASURE:
        return measure(j);
    case READ:
        return read_one(j);
    case RANDOM:
        return compare_random(j);
    case TIME:
        return time_once(j);
    case PARTS:
        return read_parts(j);
    default:
        return write_whole(j, print_text, stdout);
    }
}

/* ---- options ---- */

static int usage(void)
{
    fprintf(stderr, "usage: renderfile [--text] [--measure | --read=OFFSET,SIZE | --random=N |"
                    " --time=N | --parts] [--threads=N] DATA-DIRECTORY DESCRIPTION\n");
    return 2;
}

static void take_option(struct options *o, int which)
{
    static const enum mode modes[] = {
        ['m'] = MEASURE, ['r'] = READ, ['n'] = RANDOM, ['i'] = TIME, ['p'] = PARTS};

    if (which == 't') {
        o->format = RENDER_TEXT;
    } else if (which == 'j') {
        o->threads = (unsigned)atoi(optarg);
    } else {
        o->mode = modes[which];
        if (which == 'r')
            sscanf(optarg, "%llu,%llu", &o->offset, &o->size);
        else if (optarg)
            o->times = strtoull(optarg, NULL, 10);
    }
}

static bool take_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"text", no_argument, NULL, 't'},          {"measure", no_argument, NULL, 'm'},
        {"read", required_argument, NULL, 'r'},    {"random", required_argument, NULL, 'n'},
        {"time", required_argument, NULL, 'i'},    {"parts", no_argument, NULL, 'p'},
        {"threads", required_argument, NULL, 'j'}, {0},
    };
    int which;

    while ((which = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (which == '?')
            return false;
        take_option(o, which);
    }
    return argc - optind == 2 && o->threads >= 1 && o->threads <= MAX_THREADS;
}

int main(int argc, char **argv)
{
    struct options o = {.mode = WRITE, .format = RENDER_CSV, .threads = 1, .times = 1};
    struct job job = {.options = &o};
    unsigned long long round, rounds;
    int rc = 0;

    if (!take_options(argc, argv, &o))
        return usage();
    rounds = o.mode == TIME ? o.times : 1;
    for (round = 0; round < rounds && rc == 0; round++) {
        job.table = table_open(argv[optind], argv[optind + 1], o.format);
        if (!job.table)
            return 3;
        rc = run_mode(&job);
        table_close(job.table);
    }
    return rc;
}
