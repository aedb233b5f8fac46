/*
 * Messages to people: standard error until the program is in the background, syslog afterwards.
 * Lines carry the prefix "asofs: ", what follows the first is indented, and all is made printable
 * (printable.h). Thread safe.
 */
#ifndef ASOFS_COMMON_LOG_H
#define ASOFS_COMMON_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_QUIET, LOG_LEVEL_NORMAL, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_name(const char *name); /* prefix; must outlive the program's use of it */
void log_to_syslog(void);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* not with QUIET */
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* only with DEBUG */

/* log_error as what is called with one text; arg is not used. */
void log_complaint(void *arg, const char *text);

#endif
