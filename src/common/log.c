#include "common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include "common/printable.h"

/* Set while there is one thread, before others start; read only afterwards. */
static enum log_level level = LOG_LEVEL_NORMAL;
static const char *name = "asofs";
static atomic_bool use_syslog; /* set when the terminal is let go of, by then threads may speak */

void log_set_level(enum log_level l)
{
    level = l;
}

enum log_level log_get_level(void)
{
    return level;
}

void log_set_name(const char *n)
{
    name = n;
}

void log_to_syslog(void)
{
    openlog("asofs", LOG_PID, LOG_DAEMON);
    use_syslog = true;
}

__attribute__((format(printf, 2, 0))) static void log_text(int priority, const char *fmt,
                                                           va_list ap)
{
    struct buf shown = {0};
    char *text = NULL;

    if (vasprintf(&text, fmt, ap) < 0)
        return;
    printable_put(&shown, text, "  ");
    if (use_syslog)
        syslog(priority, "%s", shown.data);
    else
        fprintf(stderr, "%s: %s\n", name, shown.data);
    buf_free(&shown);
    free(text);
}

void log_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_text(LOG_ERR, fmt, ap);
    va_end(ap);
}

void log_note(const char *fmt, ...)
{
    va_list ap;

    if (level < LOG_LEVEL_NORMAL)
        return;
    va_start(ap, fmt);
    log_text(LOG_NOTICE, fmt, ap);
    va_end(ap);
}

void log_debug(const char *fmt, ...)
{
    va_list ap;

    if (level < LOG_LEVEL_DEBUG)
        return;
    va_start(ap, fmt);
    log_text(LOG_DEBUG, fmt, ap);
    va_end(ap);
}

void log_complaint(void *arg, const char *text)
{
    (void)arg;
    log_error("%s", text);
}
