#include "cmd/baselist.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/list.h"
#include "cmd/subcommand.h"
#include "common/log.h"
#include "common/lsn.h"
#include "common/printable.h"
#include "common/units.h"
#include "replay/moment.h"

static const char *time_text(int64_t seconds, char out[40])
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(out, 40, "%Y-%m-%d %H:%M:%S+00", &tm))
        snprintf(out, 40, "@%lld", (long long)seconds);
    return out;
}

static void print_moment(const char *word, uint64_t lsn, int64_t seconds)
{
    char place[LSN_TEXT_MAX], when[40];

    printf("%s %s", word, lsn_text(lsn, place));
    if (seconds)
        printf(" (%s)", time_text(seconds, when));
}

/* From where to where it can be mounted. */
static void print_moments(const struct base_listed *b, const struct base_list *l)
{
    char place[LSN_TEXT_MAX];

    if (b->left_for) {
        printf("  moments: none, as it is on a branch of timeline %u that timeline %u does not "
               "come from\n",
               b->facts.timeline, b->left_for);
        return;
    }
    if (b->facts.consistent_lsn)
        print_moment("  moments: from", b->facts.consistent_lsn,
                     b->facts.consistent_time ? moment_first_time(&b->facts) : 0);
    else
        printf("  moments: from where replay finds it consistent, after %s",
               lsn_text(b->facts.start_lsn, place));
    if (b->wal_end) {
        print_moment(" to", b->wal_end, b->wal_end_time);
        if (!b->wal_end_time)
            printf(" (--lsn, --latest: the log proves no later time yet)");
    } else {
        printf(" on: the log has no segment %s", b->missing);
    }
    puts(l->restore_command ? ", or as far as restore_command has log" : "");
}

/* How old, and what is kept for it: old pages and files that changed before the next freeze. */
static void print_freeze(const struct base_listed *b, const struct base_list *l)
{
    int64_t since = b->frozen_at ? b->frozen_at : b->facts.consistent_time;
    int64_t age = (int64_t)time(NULL) - since;
    char kept[32];

    printable_out("base %s: freeze %" PRIu64 " of base %s", b->id, b->freeze,
                  l->live.id ? l->live.id : "?");
    printf(", %lld s old", (long long)(age < 0 ? 0 : age)); /* its first moment is rounded up */
    if (b->kept_known)
        printf(", %s kept since it", units_format_size(b->kept, kept, sizeof(kept)));
    if (b->made_for)
        printable_out(", goes with view %s", b->made_for);
    if (b->rung)
        printf(", a rung");
    putchar('\n');
}

static void print_live(const struct store_live *live)
{
    if (live->mount)
        printable_out("base %s: live, %s, served at %s\n", live->id, live->directory, live->mount);
    else
        printable_out("base %s: live, %s, not served now\n", live->id, live->directory);
}

/* The exit status. */
static int print_base(const struct base_listed *b, const struct base_list *l)
{
    if (b->error) {
        printf("base %s: cannot be opened\n", b->id);
        log_error("%s", b->error);
        return 1;
    }
    if (b->freeze)
        print_freeze(b, l);
    else if (b->below)
        printable_out("base %s: a layer on base %s\n", b->id, b->below);
    else
        printable_out("base %s: %s\n", b->id, b->directory);
    if (b->facts.plain)
        puts("  moments: not known (asofs store add-base)");
    else
        print_moments(b, l);
    return 0;
}

static void print_log(const struct base_list *l)
{
    char bytes[32], when[40];
    size_t i;

    printable_out("log: %s: %zu segment%s, %s", l->log, l->segments, units_s(l->segments),
                  units_format_size(l->bytes, bytes, sizeof(bytes)));
    if (l->segments)
        printf(", its newest file is of %s", time_text(l->received, when));
    putchar('\n');
    for (i = 0; i < l->n_gaps; i++)
        if (strcmp(l->gaps[i].first, l->gaps[i].last) == 0)
            printf("  gap: %s is missing\n", l->gaps[i].first);
        else
            printf("  gap: %s to %s are missing\n", l->gaps[i].first, l->gaps[i].last);
    if (l->restore_command)
        printable_out("restore_command: %s\n", l->restore_command);
}

/* The server may be away: that is no failure of a list. */
static void print_slot(const struct base_list *l)
{
    struct slot_listed slot;
    struct err err;
    char bytes[32], *p;

    fflush(stdout);
    if (base_list_slot(l, &slot, &err) == 0) {
        printf("slot %s: the server keeps %s for it, %s\n", l->slot,
               units_format_size(slot.retained, bytes, sizeof(bytes)),
               slot.active ? "it is being received" : "nobody receives it");
        return;
    }
    while ((p = strchr(err.text, '\n')))
        *p = ' ';
    printable_out("slot %s: not known: %s\n", l->slot, err.text);
}

int baselist_print(const char *store, const char *run_as)
{
    struct base_list l;
    struct err err;
    size_t i;
    int rc = base_list_read(store, run_as, &l, &err), status = 0;

    if (rc == 0 && l.live.id)
        print_live(&l.live);
    else if (rc == 0 && !l.n)
        puts("no bases");
    for (i = 0; rc == 0 && i < l.n; i++)
        status |= print_base(&l.bases[i], &l);
    if (rc == 0 && l.of_cluster)
        print_log(&l);
    if (rc == 0 && l.slot)
        print_slot(&l);
    base_list_free(&l);
    return rc < 0 ? command_failed(&err) : command_printed(status);
}
