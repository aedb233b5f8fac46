#include "pg/serverlog.h"

#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/lsn.h"
#include "common/mem.h"

bool serverlog_says_ready(const char *log)
{
    return strstr(log, "database system is ready to accept") != NULL;
}

/* ---- why it ended ---- */

static bool begins(const char *line, const char *word)
{
    return strncmp(line, word, strlen(word)) == 0;
}

static bool is_cause(const char *line)
{
    return begins(line, "FATAL:") || begins(line, "PANIC:");
}

/* A line that belongs to the message in front of it. */
static bool is_more(const char *line)
{
    return begins(line, "DETAIL:") || begins(line, "HINT:") || begins(line, "CONTEXT:") ||
           begins(line, "\t");
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return *line ? line + 1 : line;
}

char *serverlog_cause(const char *log)
{
    const char *line, *before = NULL;
    struct buf b = {0};
    bool in_cause = false;

    for (line = log; *line; line = next_line(line)) {
        if (!is_more(line)) {
            in_cause = is_cause(line);
            if (in_cause && !b.len && before)
                buf_put(&b, before, (size_t)(line - before));
            before = line;
        }
        if (in_cause)
            buf_put(&b, line, (size_t)(next_line(line) - line));
    }
    if (!b.len)
        buf_puts(&b, log);
    while (b.len && (b.data[b.len - 1] == '\n' || b.data[b.len - 1] == ' '))
        b.data[--b.len] = 0;
    return buf_steal(&b);
}

/* ---- recovery ---- */

bool serverlog_says_stopped(const char *log)
{
    return strstr(log, "recovery stopping ") != NULL;
}

bool serverlog_says_target_later(const char *log)
{
    return strstr(log, "recovery ended before configured recovery target") != NULL;
}

bool serverlog_says_too_early(const char *log)
{
    static const char *const words[] = {
        "requested recovery stop point is before consistent recovery point",
        "WAL ends before end of online backup", "WAL ends before consistent recovery point"};
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strstr(log, words[i]))
            return true;
    return false;
}

bool serverlog_says_no_checkpoint(const char *log)
{
    return strstr(log, "could not locate required checkpoint record") != NULL;
}

uint64_t serverlog_last_record(const char *log)
{
    const char *p = strstr(log, "redo done at ");
    char text[LSN_TEXT_MAX] = "";
    uint64_t lsn = 0;

    if (p && sscanf(p, "redo done at %23[0-9A-F/]", text) == 1)
        lsn_parse(text, &lsn);
    return lsn;
}

/* Restartpoints name it in a sentence, the end of recovery does not: "Last …", "last …". */
char *serverlog_last_commit(const char *log)
{
    static const char mark[] = "ast completed transaction was at log time ";
    const char *p, *last = NULL;
    char *line;

    for (p = log; (p = strstr(p, mark)); p++)
        last = p + sizeof(mark) - 1;
    if (!last)
        return NULL;
    line = mem_printf("%.*s", (int)strcspn(last, "\n"), last);
    if (*line && line[strlen(line) - 1] == '.')
        line[strlen(line) - 1] = '\0'; /* the end of the sentence */
    return line;
}

/* ---- room ---- */

bool serverlog_says_prepared_full(const char *log)
{
    return strstr(log, "maximum number of prepared transactions reached") != NULL;
}

bool serverlog_names_shared_memory(const char *log)
{
    return strstr(log, "shared memory segment") != NULL;
}
