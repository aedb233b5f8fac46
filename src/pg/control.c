#include "pg/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"
#include "common/lsn.h"
#include "common/mem.h"

#define LABEL_MAX 8192

/* ---- pg_controldata ---- */

struct lines {
    const char *text; /* "name:   value" lines */
    struct err *err;
    int rc; /* of the first that is missing or not understood */
};

static void refuse_line(struct lines *l, const char *name, const char *what, const char *value)
{
    if (l->rc == 0)
        l->rc = err_set(l->err, EINVAL, "pg_controldata: the line \"%s\" %s%s", name, what, value);
}

/* The value of a line; "" when it is missing, which is complained of. */
static void find_line(struct lines *l, const char *name, char *value, size_t room)
{
    size_t len = strlen(name), n;
    const char *at = l->text, *end;

    *value = 0;
    for (; at; at = *end ? end + 1 : NULL) {
        end = at + strcspn(at, "\n");
        if (strncmp(at, name, len) != 0 || at[len] != ':')
            continue;
        at += len + 1;
        at += strspn(at, " ");
        n = (size_t)(end > at ? end - at : 0);
        if (n >= room)
            refuse_line(l, name, "is too long", "");
        else
            snprintf(value, room, "%.*s", (int)n, at);
        return;
    }
    refuse_line(l, name, "is missing", "");
}

static uint64_t number_line(struct lines *l, const char *name, uint64_t max)
{
    char value[64], *end;
    unsigned long long n;

    find_line(l, name, value, sizeof(value));
    errno = 0;
    n = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || n > max) {
        refuse_line(l, name, "holds no such number: ", value);
        return 0;
    }
    return n;
}

static uint64_t lsn_line(struct lines *l, const char *name)
{
    char value[64];
    uint64_t lsn = 0;

    find_line(l, name, value, sizeof(value));
    if (lsn_parse(value, &lsn) < 0)
        refuse_line(l, name, "holds no place on the log: ", value);
    return lsn;
}

static bool word_line(struct lines *l, const char *name, const char *yes, const char *no)
{
    char value[64];

    find_line(l, name, value, sizeof(value));
    if (strcmp(value, yes) != 0 && strcmp(value, no) != 0)
        refuse_line(l, name, "is neither yes nor no: ", value);
    return strcmp(value, yes) == 0;
}

/* As strftime writes %c in the C locale: "Sun Nov 22 20:15:06 2026"; TZ is UTC. */
static int64_t time_line(struct lines *l, const char *name)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char value[64], month[4] = "", rest;
    const char *at;
    struct tm tm = {0};

    find_line(l, name, value, sizeof(value));
    if (sscanf(value, "%*3s %3s %d %d:%d:%d %d%c", month, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec, &tm.tm_year, &rest) != 6 ||
        strlen(month) != 3 || !(at = strstr(months, month)) || tm.tm_year < 1970 ||
        tm.tm_year > 9999) {
        refuse_line(l, name, "holds no time: ", value);
        return 0;
    }
    tm.tm_mon = (int)(at - months) / 3;
    tm.tm_year -= 1900;
    return timegm(&tm);
}

static enum pg_state state_of(const char *text)
{
    static const struct {
        const char *text;
        enum pg_state state;
    } known[] = {
        {"shut down", PG_STATE_SHUT_DOWN},
        {"shut down in recovery", PG_STATE_SHUT_DOWN_IN_RECOVERY},
        {"in archive recovery", PG_STATE_IN_ARCHIVE_RECOVERY},
        {"in production", PG_STATE_IN_PRODUCTION},
    };
    size_t i;

    for (i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (strcmp(text, known[i].text) == 0)
            return known[i].state;
    return PG_STATE_OTHER;
}

/* "epoch:xid", as "0:735" */
static uint64_t full_xid_line(struct lines *l, const char *name)
{
    char value[64];
    unsigned long long epoch, xid; /* 10 digits of them */
    int n = 0;

    find_line(l, name, value, sizeof(value));
    if (strspn(value, "0123456789:") != strlen(value) ||
        sscanf(value, "%10llu:%10llu%n", &epoch, &xid, &n) != 2 || value[n] || epoch > UINT32_MAX ||
        xid > UINT32_MAX) {
        refuse_line(l, name, "holds no transaction: ", value);
        return 0;
    }
    return epoch << 32 | xid;
}

static uint32_t u32_line(struct lines *l, const char *name)
{
    return (uint32_t)number_line(l, name, UINT32_MAX);
}

static struct pg_limits limits_lines(struct lines *l)
{
    return (struct pg_limits){
        .next_xid = full_xid_line(l, "Latest checkpoint's NextXID"),
        .oldest_xid = u32_line(l, "Latest checkpoint's oldestXID"),
        .next_multi = u32_line(l, "Latest checkpoint's NextMultiXactId"),
        .oldest_multi = u32_line(l, "Latest checkpoint's oldestMultiXid"),
        .next_multi_offset = u32_line(l, "Latest checkpoint's NextMultiOffset"),
    };
}

static int parse_control(const char *text, struct pg_control *c, struct err *err)
{
    struct lines l = {.text = text, .err = err};

    c->system_identifier = number_line(&l, "Database system identifier", UINT64_MAX);
    find_line(&l, "Database cluster state", c->state_text, sizeof(c->state_text));
    c->state = state_of(c->state_text);
    c->checkpoint = lsn_line(&l, "Latest checkpoint location");
    c->redo = lsn_line(&l, "Latest checkpoint's REDO location");
    c->timeline = u32_line(&l, "Latest checkpoint's TimeLineID");
    c->checkpoint_time = time_line(&l, "Time of latest checkpoint");
    c->min_recovery = lsn_line(&l, "Minimum recovery ending location");
    c->min_recovery_timeline = u32_line(&l, "Min recovery ending loc's timeline");
    c->backup_start = lsn_line(&l, "Backup start location");
    c->backup_end_required = word_line(&l, "End-of-backup record required", "yes", "no");
    c->full_page_writes = word_line(&l, "Latest checkpoint's full_page_writes", "on", "off");
    c->max_prepared = (unsigned)number_line(&l, "max_prepared_xacts setting", INT32_MAX);
    c->segment_bytes = (uint32_t)number_line(&l, "Bytes per WAL segment", 1u << 30);
    c->block_bytes = (uint32_t)number_line(&l, "Database block size", 1u << 15);
    c->max_align = u32_line(&l, "Maximum data alignment");
    c->checksums = u32_line(&l, "Data page checksum version");
    c->limits = limits_lines(&l);
    if (l.rc == 0 && (c->segment_bytes < 1u << 20 || c->segment_bytes & (c->segment_bytes - 1)))
        refuse_line(&l, "Bytes per WAL segment", "holds no size of a segment", "");
    return l.rc;
}

/* A wrong checksum is only a warning to it (which of its outputs has it depends on the version). */
static int refuse_warnings(const char *data_dir, const char *out, const char *complaints,
                           struct err *err)
{
    const char *at = complaints && *complaints ? complaints : strstr(out, "WARNING");

    if (!at)
        return 0;
    return err_set(err, EIO, "the control file of %s is damaged: pg_controldata says: %.*s",
                   data_dir, (int)strcspn(at, "\n"), at);
}

/* The program would wait for the other end of a pipe, for ever. */
static int check_is_file(const char *data_dir, struct err *err)
{
    char *path = mem_printf("%s/global/pg_control", data_dir);
    struct stat st;
    int rc = 0;

    if (lstat(path, &st) < 0)
        rc = err_errno(err, "cannot read %s", path);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(err, EINVAL, "%s is no file: %s is no data directory of PostgreSQL", path,
                     data_dir);
    free(path);
    return rc;
}

int pg_control_read(const struct pg_programs *p, const char *data_dir, struct pg_control *c,
                    struct err *err)
{
    char *full = realpath(data_dir, NULL);
    char *argv[] = {"pg_controldata", "-D", full, NULL};
    struct buf out = {0}, complaints = {0};
    int rc;

    *c = (struct pg_control){0};
    if (!full)
        return err_errno(err, "%s", data_dir);
    rc = check_is_file(full, err);
    if (rc == 0)
        rc =
            pg_program_run_heard(p, "pg_controldata", argv, NULL, NULL, -1, &out, &complaints, err);
    if (rc == 0)
        rc = refuse_warnings(data_dir, out.data, complaints.data, err);
    if (rc == 0)
        rc = parse_control(out.data, c, err);
    buf_free(&out);
    buf_free(&complaints);
    free(full);
    return rc;
}

/* ---- backup_label ---- */

/* Seconds east of Greenwich of an abbreviation; false: it has a name that says nothing certain. */
static bool zone_offset(const char *zone, int64_t *offset)
{
    int hours, minutes = 0, n = 0;
    char sign;

    *offset = 0;
    if (strcmp(zone, "UTC") == 0 || strcmp(zone, "GMT") == 0)
        return true;
    if (sscanf(zone, "%c%2d%n", &sign, &hours, &n) != 2 || (sign != '+' && sign != '-'))
        return false;
    zone += n;
    if (*zone && sscanf(zone, "%2d%n", &minutes, &n) == 1)
        zone += n;
    *offset = (hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
    return !*zone;
}

/*
 * The time is written in the server's log_timezone, with an abbreviation after it ("CET", "IST")
 * that may stand for several zones. Unless it is UTC or a number the file's own time is taken: a
 * moment after the start, which is late by as long as the backup took to write it.
 */
static bool label_time(const char *value, const struct stat *st, int64_t *t)
{
    struct tm tm = {0};
    char zone[32];
    int64_t offset;

    if (sscanf(value, "%d-%d-%d %d:%d:%d %31s", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, zone) != 7 ||
        tm.tm_year < 1970 || tm.tm_year > 9999 || tm.tm_mon < 1 || tm.tm_mon > 12)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    *t = zone_offset(zone, &offset) ? timegm(&tm) - offset : st->st_mtime;
    return true;
}

static bool label_lsn(const char *value, uint64_t *lsn)
{
    char text[LSN_TEXT_MAX];

    return sscanf(value, "%23s", text) == 1 && lsn_parse(text, lsn) == 0;
}

/* The value after "NAME: " at the beginning of a line, cut off at its end; NULL: there is none. */
static const char *label_line(const char *text, const char *name, char *value, size_t room)
{
    size_t len = strlen(name);
    const char *at = text, *end;

    for (; at; at = *end ? end + 1 : NULL) {
        end = at + strcspn(at, "\n");
        if (strncmp(at, name, len) != 0 || strncmp(at + len, ": ", 2) != 0)
            continue;
        at += len + 2;
        snprintf(value, room, "%.*s", (int)(end - at), at);
        return value;
    }
    return NULL;
}

static int parse_label(const char *text, const struct stat *st, struct pg_backup_label *l,
                       struct err *err)
{
    char value[256], *end;
    unsigned long timeline;

    if (label_line(text, "INCREMENTAL FROM LSN", value, sizeof(value)))
        return err_set(
            err, ENOTSUP,
            "this is an incremental backup; put it together with pg_combinebackup first");
    if (!label_line(text, "START WAL LOCATION", value, sizeof(value)) ||
        !label_lsn(value, &l->start))
        return err_set(err, EINVAL, "backup_label has no START WAL LOCATION");
    if (!label_line(text, "CHECKPOINT LOCATION", value, sizeof(value)) ||
        !label_lsn(value, &l->checkpoint))
        return err_set(err, EINVAL, "backup_label has no CHECKPOINT LOCATION");
    if (!label_line(text, "START TIME", value, sizeof(value)) ||
        !label_time(value, st, &l->start_time))
        return err_set(err, EINVAL, "backup_label has no START TIME");
    if (!label_line(text, "START TIMELINE", value, sizeof(value)))
        return err_set(err, EINVAL, "backup_label has no START TIMELINE");
    timeline = strtoul(value, &end, 10);
    if (*end || !timeline || timeline > UINT32_MAX)
        return err_set(err, EINVAL, "backup_label has no START TIMELINE");
    l->timeline = (uint32_t)timeline;
    return 1;
}

/* 1: read; 0: there is none. */
static int read_label(const char *path, char text[LABEL_MAX + 1], struct stat *st, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    int64_t n;

    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(err, "cannot open %s", path);
    n = fstat(fd, st) < 0 ? -errno : io_pread_full(fd, text, LABEL_MAX, 0);
    close(fd);
    if (n < 0)
        return err_set(err, (int)-n, "cannot read %s: %s", path, strerror((int)-n));
    text[n] = 0;
    return 1;
}

int pg_backup_label_read(const char *data_dir, struct pg_backup_label *l, struct err *err)
{
    char *path = mem_printf("%s/backup_label", data_dir), text[LABEL_MAX + 1];
    struct stat st;
    int rc = read_label(path, text, &st, err);

    *l = (struct pg_backup_label){0};
    if (rc == 1)
        rc = parse_label(text, &st, l, err);
    if (rc < 0)
        err_prefix(err, "%s", data_dir);
    free(path);
    return rc;
}

/* ---- backup history file (access/xlogbackup.c: build_backup_content; BackupHistoryFileName) ---- */

static bool parse_stop(const char *text, uint64_t start, struct pg_backup_stop *stop)
{
    const struct stat no_time = {0}; /* the file may be a copy */
    char value[256];
    uint64_t lsn;

    *stop = (struct pg_backup_stop){0};
    if (!label_line(text, "START WAL LOCATION", value, sizeof(value)) || !label_lsn(value, &lsn) ||
        lsn != start || !label_line(text, "STOP WAL LOCATION", value, sizeof(value)) ||
        !label_lsn(value, &stop->lsn) || stop->lsn <= start)
        return false;
    if (!label_line(text, "STOP TIME", value, sizeof(value)) ||
        !label_time(value, &no_time, &stop->time))
        stop->time = 0;
    return true;
}

int pg_backup_stop_read(const char *wal_dir, const struct pg_backup_label *l,
                        uint32_t segment_bytes, struct pg_backup_stop *stop)
{
    uint64_t number = l->start / segment_bytes, per_half = (UINT64_C(1) << 32) / segment_bytes;
    char *path = mem_printf("%s/%08X%08X%08X.%08X.backup", wal_dir, l->timeline,
                            (unsigned)(number / per_half), (unsigned)(number % per_half),
                            (unsigned)(l->start % segment_bytes));
    char text[LABEL_MAX + 1];
    struct err ignored;
    struct stat st;
    int rc = read_label(path, text, &st, &ignored);

    free(path);
    return rc == 1 && parse_stop(text, l->start, stop) ? 1 : 0;
}
