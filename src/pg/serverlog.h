/*
 * What a PostgreSQL server says in its log, by name of what was said. Everything that knows the
 * server's wording is here; the texts are those of lc_messages=C and an empty log_line_prefix
 * (privateconf.c), of versions 14 to 18. Where they come from stands with each.
 *
 * `log` is a log, a part of one, or an error that quotes it (serverlog_cause). Pure.
 */
#ifndef ASOFS_PG_SERVERLOG_H
#define ASOFS_PG_SERVERLOG_H

#include <stdbool.h>
#include <stdint.h>

/* It accepts connections, be they read-only (postmaster/postmaster.c). */
bool serverlog_says_ready(const char *log);

/*
 * Every FATAL and PANIC with what belongs to it, and the message before the first, which often is
 * the reason ("invalid checkpoint record"). Without any, all of it. Owned by the caller; without
 * line breaks at its end.
 */
char *serverlog_cause(const char *log);

/* ---- recovery (access/transam/xlogrecovery.c; before 15: xlog.c) ---- */

/* Recovery stopped at its target. */
bool serverlog_says_stopped(const char *log);

/* The log ended before the target. */
bool serverlog_says_target_later(const char *log);

/* FATAL: the target is in front of the base's first moment, or the log ends there. */
bool serverlog_says_too_early(const char *log);

/* The record with which recovery begins is not there. */
bool serverlog_says_no_checkpoint(const char *log);

/* LSN of the last record that was replayed; 0: none is named. */
uint64_t serverlog_last_record(const char *log);

/* The time of the last commit that was replayed, as the server writes it in UTC: owned by the
 * caller. NULL: none is named. */
char *serverlog_last_commit(const char *log);

/* ---- room ---- */

/* max_prepared_transactions is too low for what is prepared there (access/transam/twophase.c). */
bool serverlog_says_prepared_full(const char *log);

/* What failed concerns memory that it shares (storage/ipc/dsm_impl.c, port/sysv_shmem.c). */
bool serverlog_names_shared_memory(const char *log);

#endif
