/*
 * The settings and the files of a private server (private.h). Not to be used outside pg/.
 *
 * run_dir holds: postgresql.conf, pg_hba.conf, pg_ident.conf, log, the socket and its lock file.
 */
#ifndef ASOFS_PG_PRIVATECONF_H
#define ASOFS_PG_PRIVATECONF_H

#include <stddef.h>

#include "pg/private.h"

#define PRIVATECONF_PORT "5432"
#define PRIVATECONF_SOCKET "/.s.PGSQL." PRIVATECONF_PORT

struct privateconf {
    const struct pg_programs *programs; /* of the request */
    char *data, *run_dir;               /* absolute */
    struct pg_setting *settings;        /* all of them, both texts owned; ends with name NULL */
    size_t nsettings, settings_room;
};

/* s is zeroed. On failure too it is freed by privateconf_free. What of req but `programs` is needed
 * is copied. run_dir is checked: that a socket can be in it, and that it is its user's alone. */
int privateconf_init(struct privateconf *s, const struct pg_private_request *req, struct err *err);
void privateconf_free(struct privateconf *s);

/* Makes the files in run_dir, as whoever calls. *log_fd: of the log, which is empty and has room
 * reserved; the caller's, also on failure (then it may be negative). */
int privateconf_write(const struct privateconf *s, int *log_fd, struct err *err);

/* The program with all settings; `first` and `last` (NULL: none) stand around them. Freed by
 * mem_free_texts. */
char **privateconf_argv(const struct privateconf *s, const char *first, const char *last);

#endif
