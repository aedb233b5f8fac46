/* asofs prune: its options and what it says; the work is base/prune's. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "cmd/cmd.h"
#include "cmd/subcommand.h"
#include "common/log.h"
#include "common/printable.h"
#include "common/units.h"
#include "base/place.h"
#include "base/prune.h"

#define DEFAULT_KEEP_MS (INT64_C(7) * 86400 * 1000)

struct options {
    int64_t keep_ms;
    bool dry_run, help;
};

static const char *size_text(uint64_t bytes, char out[32])
{
    return units_format_size(bytes, out, 32);
}

static void tell_kept(const struct pruning_news *news)
{
    if (news->why == PRUNE_VIEW)
        printf("base %s: kept: the view \"%s\" stands on it\n", news->base, news->view);
    else if (news->why == PRUNE_BELOW)
        printf("base %s: kept: a layer that is needed lies on it\n", news->base);
    else
        printf("base %s: kept: what can be shown from it is not known\n", news->base);
}

static void tell_log(const struct pruning_news *news, const char *done)
{
    char size[32];

    size_text(news->bytes, size);
    if (news->segments == 1)
        printf("log: 1 segment, %s: %s, %s\n", news->first, done, size);
    else
        printf("log: %" PRIu64 " segments, %s to %s: %s, %s\n", news->segments, news->first,
               news->last, done, size);
}

static void print_news(void *arg, const struct pruning_news *news)
{
    const struct options *o = arg;
    const char *done = o->dry_run ? "would be removed" : "removed";
    char size[32];

    switch (news->event) {
    case PRUNING_KEPT:
        tell_kept(news);
        break;
    case PRUNING_BASE:
        printf("base %s: %s, %s\n", news->base, done, size_text(news->bytes, size));
        break;
    case PRUNING_BUSY:
        log_note("%s", news->refusal);
        break;
    case PRUNING_LOG:
        tell_log(news, done);
        break;
    case PRUNING_ELSEWHERE:
        printable_out("log: %s is not of the store: left as it is\n", news->log);
        break;
    }
}

static int prune(struct options *o, struct store *s, struct err *err)
{
    struct pruning_request req = {.store = s,
                                  .keep_from = time(NULL) - o->keep_ms / 1000,
                                  .dry_run = o->dry_run,
                                  .tell = print_news,
                                  .arg = o};
    uint64_t freed;
    char size[32];
    int rc = pruning_run(&req, &freed, err);

    if (rc == 0 && !freed)
        puts("Everything is needed.");
    else if (rc == 0)
        printf("%s %s.\n", size_text(freed, size), o->dry_run ? "would be freed" : "freed");
    return rc;
}

static int run_prune(struct options *o, const char *path)
{
    struct store *s = NULL;
    struct err err;
    int rc;

    umask(0077);
    rc = place_open(path, &s, &err);
    if (rc == 0)
        rc = prune(o, s, &err);
    if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        rc = err_errno(&err, "cannot write to standard output");
    fflush(stdout); /* what was done stands before what failed */
    if (rc < 0)
        log_error("%s", err.text);
    store_close(s);
    return rc < 0;
}

int cmd_prune(int argc, char **argv)
{
    static const struct option_def defs[] = {
        OPTION_DURATION("keep", 0, struct options, keep_ms, 0, "is not a duration; write 12h, 7d"),
        OPTION_FLAG("dry-run", 0, struct options, dry_run),
        OPTION_FLAG("help", 'h', struct options, help),
        OPTION_END,
    };
    static const char help[] =
        "Usage: asofs prune STORE [OPTION]...\n"
        "Remove the bases, layers and log that no view and no moment within the retention needs.\n"
        "A directory that was adopted, and a log that lies elsewhere, stay.\n\n"
        "      --keep=TIME   every moment since then stays mountable (default: 7d)\n"
        "      --dry-run     say what would be removed\n"
        "  -h, --help        this text\n";
    struct options o = {.keep_ms = DEFAULT_KEEP_MS};
    char *operands[1];
    struct err err;
    int n = option_parse(defs, false, &o, argc, argv, operands, 1, &err);

    if (n >= 0 && o.help) {
        fputs(help, stdout);
        return fflush(stdout) != 0;
    }
    if (n == 0)
        n = err_set(&err, EINVAL, "STORE is needed");
    return n < 0 ? usage_error("prune", &err) : run_prune(&o, operands[0]);
}
