/*
 * The restore_command of a private server: what is put around the one that is given, what that needs
 * in its environment, and what the two leave in the server's own directory (`run`, $ASOFS_RUN).
 */
#ifndef ASOFS_REPLAY_RESTORECMD_H
#define ASOFS_REPLAY_RESTORECMD_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/private.h"

/*
 * The settings (NULL: none), where restore_command looks at each segment before recovery sees it
 * (tablespaces.h), and keeps what the given one says. looked_ahead: it leaves alone what
 * lookahead.h has looked at; promotes: it asks for the quick end of a recovery. All else is
 * borrowed.
 */
struct pg_setting *restorecmd_guard(const struct pg_setting *given, bool looked_ahead,
                                    bool promotes);
void restorecmd_guard_free(struct pg_setting *settings);

/* restore_command as it stands in settings, which have one. */
const char *restorecmd_given(const struct pg_setting *settings);

/* What is given (NULL: nothing; borrowed), and where `run` is, and this program (program_fd: a
 * descriptor of it, or -1), and the LSN where replay begins. */
char **restorecmd_env(char *const *given, const char *run, int program_fd, uint64_t from);
void restorecmd_env_free(char **env);

/* The last lines that it said when it failed to fetch the last segment that was asked for; NULL:
 * nothing. Owned by the caller. */
char *restorecmd_said(const char *run);

/*
 * Whether a standby asks in vain for the same segment again and again, so that the log ends in front
 * of it; its name, or "". A command that appends the names to the file "missing" in `run` tells.
 */
#define RESTORECMD_NAME_MAX 25
bool restorecmd_misses(const char *run, char missing[RESTORECMD_NAME_MAX]);

#endif
