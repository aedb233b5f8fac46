#include "replay/restorecmd.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "common/proc.h"
#include "pg/private.h"
#include "replay/lookahead.h"
#include "replay/segment.h"
#include "replay/tablespaces.h"

#define SAID "said" /* below the server's own directory: what restore_command said */
#define SAID_TAIL 900
#define MISSING_MAX (1 << 20) /* bytes of the names that were asked for in vain */
#define MISSING_TIMES 5       /* as often a standby asks in vain: then the log ends there */

#define OWN_ENV 3

char **restorecmd_env(char *const *given, const char *run, int program_fd, uint64_t from)
{
    char program[PATH_MAX], lsn[LSN_TEXT_MAX];
    ssize_t len = readlink(proc_self(), program, sizeof(program));
    size_t n = 0;
    char **env;

    while (given && given[n])
        n++;
    env = mem_array(n + OWN_ENV + 1, sizeof(*env));
    if (n)
        memcpy(env, given, n * sizeof(*env));
    env[n] = mem_printf("ASOFS_RUN=%s", run);
    env[n + 1] = program_fd >= 0
                     ? mem_printf("ASOFS_PROGRAM=/proc/self/fd/%d", PG_PROGRAM_FD)
                     : mem_printf("ASOFS_PROGRAM=%.*s", len < 0 ? 0 : (int)len, program);
    env[n + 2] = mem_printf(SEGMENT_FROM_ENV "=%s", lsn_text(from, lsn));
    return env;
}

void restorecmd_env_free(char **env)
{
    size_t n = 0, i;

    while (env[n])
        n++;
    for (i = n - OWN_ENV; i < n; i++) /* those that we made */
        free(env[i]);
    free(env);
}

/*
 * Keeps what a restore_command says of a segment that it does not fetch: a program that has lost
 * its archive fails just as one that has come to the end of it. Histories of timelines may well be
 * missing; but a status above 125, such as of a program that is not there, ends recovery.
 */
static char *heard_command(const char *command)
{
    return mem_printf("s=\"$ASOFS_RUN/" SAID "\"; ( %s ) >\"$s.new\" 2>&1; r=$?; "
                      "[ $r -ne 0 ] || : >\"$s.new\"; "
                      "case \"%%f\" in *.*) [ $r -gt 125 ] ;; *) true ;; esac && "
                      "mv -f -- \"$s.new\" \"$s\"; exit $r",
                      command);
}

/* Around the one that is given: it keeps what that says, looks at the log first, leaves alone what
 * was looked at ahead, and asks for the quick end of a recovery. */
static char *guarded_command(const char *given, bool looked_ahead, bool promotes)
{
    char *heard = heard_command(given), *guarded = tablespaces_guarded(heard);
    char *ahead = looked_ahead ? lookahead_command(guarded) : mem_strdup(guarded);
    char *command = mem_printf("%s%s", promotes ? ": >" PG_PRIVATE_PROMOTE "; " : "", ahead);

    free(heard);
    free(guarded);
    free(ahead);
    return command;
}

struct pg_setting *restorecmd_guard(const struct pg_setting *given, bool looked_ahead,
                                    bool promotes)
{
    struct pg_setting *settings;
    size_t n = 0, i;

    while (given && given[n].name)
        n++;
    settings = mem_array(n + 1, sizeof(*settings));
    for (i = 0; i < n; i++) {
        settings[i] = given[i];
        if (strcmp(given[i].name, "restore_command") == 0)
            settings[i].value = guarded_command(given[i].value, looked_ahead, promotes);
    }
    return settings;
}

const char *restorecmd_given(const struct pg_setting *settings)
{
    while (strcmp(settings->name, "restore_command") != 0)
        settings++;
    return settings->value;
}

void restorecmd_guard_free(struct pg_setting *settings)
{
    struct pg_setting *setting;

    for (setting = settings; setting->name; setting++)
        if (strcmp(setting->name, "restore_command") == 0)
            free((char *)(uintptr_t)setting->value);
    free(settings);
}

/* The file is the server's user's: no link of that user is followed. */
char *restorecmd_said(const char *run)
{
    char *path = mem_printf("%s/" SAID, run), text[SAID_TAIL + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    int64_t n = 0;

    free(path);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        n = io_pread_full(fd, text, SAID_TAIL,
                          st.st_size > SAID_TAIL ? (uint64_t)(st.st_size - SAID_TAIL) : 0);
    close(fd);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    if (n <= 0)
        return NULL;
    text[n] = '\0';
    return mem_strdup(text);
}

/* "Again" is for the same number: it is asked for on every timeline that may have it. */
static bool is_same_number(const char *name, const char *other)
{
    return strlen(name) > 8 && strlen(other) > 8 && strcmp(name + 8, other + 8) == 0;
}

/* The same segment again and again. Once or twice says nothing: what the shipped log lacks may be
 * in pg_wal. */
static int times_missing(const char *run, char first[64])
{
    char *path = mem_printf("%s/missing", run), *text, *line, *rest = NULL;
    int times = 0;

    *first = '\0';
    if (io_read_text(AT_FDCWD, path, MISSING_MAX, &text) < 0)
        text = NULL;
    for (line = text ? strtok_r(text, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest)) {
        if (!is_same_number(line, first)) {
            snprintf(first, 64, "%s", line);
            times = 0;
        }
        times += strcmp(line, first) == 0;
    }
    free(text);
    free(path);
    return times;
}

bool restorecmd_misses(const char *run, char missing[RESTORECMD_NAME_MAX])
{
    char name[64];
    bool misses = times_missing(run, name) >= MISSING_TIMES;

    snprintf(missing, RESTORECMD_NAME_MAX, "%.24s", misses ? name : "");
    return misses;
}
