#include "replay/lookahead.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/proc.h"
#include "replay/tablespaces.h"

#define FAR 16          /* segments in front of the one that was asked for last */
#define NAP_NS 2000000L /* until that is looked at again */
#define NOTES "ahead"
#define ASKED "asked"

struct lookahead {
    struct lookahead_request req;
    char *wal;
    pthread_t thread;
    atomic_bool stop;
    size_t first; /* segment of the list */
    struct tablespaces *tablespaces;
};

char *lookahead_command(const char *command)
{
    return mem_printf("case %%f in *.*) ;; *) echo %%f >\"$ASOFS_RUN/" ASKED "\" ;; esac; "
                      "[ ! -e \"$ASOFS_RUN/" NOTES "/%%f\" ] || exit 1; %s",
                      command);
}

/* The number of the segment that the server asked for last; 0: none yet. */
static uint64_t last_asked(const struct lookahead *l)
{
    char *path = mem_printf("%s/" ASKED, l->req.run), name[25] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct wal_segment s = {0};

    free(path);
    if (fd < 0)
        return 0;
    if (read(fd, name, 24) != 24 || wal_parse_name(name, l->req.log->segment_bytes, &s) < 0)
        s.number = 0;
    close(fd);
    return s.number;
}

/* False: it is to stop. */
static bool wait_for_turn(struct lookahead *l, uint64_t number)
{
    uint64_t first = l->req.log->segments[l->first].number, asked;
    const struct timespec nap = {.tv_nsec = NAP_NS};

    while (!atomic_load(&l->stop)) {
        asked = last_asked(l);
        if (number <= (asked > first ? asked : first) + FAR)
            return true;
        nanosleep(&nap, NULL);
    }
    return false;
}

/* The server wants to write to the last segment it replays. */
static bool is_well(const struct lookahead *l, const char *segment, const char *name)
{
    int fd = open(segment, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    struct err ignored;

    if (fd < 0)
        return false;
    close(fd);
    return tablespaces_look(l->tablespaces, segment, name, &ignored) == 0;
}

/* The link first: what is noted is there. */
static bool put_link(const struct lookahead *l, const char *segment, const char *name)
{
    char *link = mem_printf("%s/%s", l->wal, name);
    char *note = mem_printf("%s/" NOTES "/%s", l->req.run, name);
    int fd = -1;

    if (symlink(segment, link) == 0)
        fd = open(note, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    free(link);
    free(note);
    return fd >= 0;
}

static void look_at(const struct lookahead *l, const struct wal_segment *s)
{
    char name[25], *segment;

    if (s->partial)
        return;
    wal_segment_name(s->timeline, s->number, l->req.log->segment_bytes, name);
    segment = mem_printf("%s/%s", l->req.wal_dir, name);
    if (is_well(l, segment, name))
        put_link(l, segment, name);
    free(segment);
}

static void *run_ahead(void *arg)
{
    const struct wal_list *log;
    struct lookahead *l = arg;
    size_t i;

    log = l->req.log;
    for (i = l->first; i < log->n && wait_for_turn(l, log->segments[i].number); i++)
        look_at(l, &log->segments[i]);
    return NULL;
}

static int make_notes(const struct lookahead_request *req)
{
    char *path = mem_printf("%s/" NOTES, req->run);
    int rc = mkdir(path, 0700);

    free(path);
    return rc;
}

static void free_lookahead(struct lookahead *l)
{
    tablespaces_free(l->tablespaces);
    free(l->wal);
    free(l);
}

struct lookahead *lookahead_start(const struct lookahead_request *req)
{
    struct lookahead *l = mem_alloc(sizeof(*l));
    uint64_t number = req->log->segment_bytes ? req->from / req->log->segment_bytes : 0;

    l->req = *req;
    l->wal = mem_strdup(req->wal);
    l->tablespaces = tablespaces_new(&(struct tablespaces_wal){
        .segment_bytes = req->log->segment_bytes, .system = req->system, .from = req->from});
    while (l->first < req->log->n && req->log->segments[l->first].number < number)
        l->first++;
    if (l->first < req->log->n && make_notes(req) == 0 &&
        proc_thread(&l->thread, run_ahead, l) == 0)
        return l;
    free_lookahead(l);
    return NULL;
}

void lookahead_stop(struct lookahead *l)
{
    if (!l)
        return;
    atomic_store(&l->stop, true);
    pthread_join(l->thread, NULL);
    free_lookahead(l);
}
