/*
 * Who PostgreSQL's programs run as, and who works on what they write. This is the one way in which
 * root becomes somebody else; there are two of it.
 *
 * For a while (enter, leave): one thread, and the threads that it starts meanwhile, uses files with
 * the rights of that user (fsuid, fsgid), of his primary group and of no other, while the process
 * stays root. So whatever it opens, makes, gives away, renames or removes, and every part of the
 * path to it, is judged as if he did it, and what it makes is his from the start; he can neither
 * signal nor trace the process. Mounting and unmounting go on, and so does starting programs: they
 * begin as root (proc_spawn) and become somebody by themselves. Pages views work like this: below
 * the store, the base and the private server's directory everything is done entered, and asofs
 * leaves for a mount point, a spool, a directory of results, which are its own.
 *
 * For good (become): the whole process, with all groups of the user, and without a terminal. The
 * commands that need root for nothing else work like this, and whoever connects to a server as that
 * user.
 *
 * With each change of an id the kernel forgets PR_SET_PDEATHSIG of the thread, and that a process
 * may be looked at by its own user (PR_SET_DUMPABLE): whoever needs one of them asks for it again.
 */
#ifndef ASOFS_PG_IDENTITY_H
#define ASOFS_PG_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"

struct pg_identity {
    bool change; /* asofs is root and becomes uid and gid; else it stays who it is */
    uid_t uid;
    gid_t gid;
};

/*
 * name: --run-as, or NULL: `owner` (of the store or base), and the user "postgres" where that is
 * root. Refuses (-EPERM) root as the outcome, and another name than one's own when not root;
 * without a name, who is not root runs them as himself.
 */
int pg_identity_find(const char *name, uid_t owner, struct pg_identity *id, struct err *err);

/*
 * Whose the store at `path` is was looked at, and told who to be there, or to stay root (as->uid is
 * 0). That is worth something only where nobody else can put another directory in its place, or
 * something into it: else he would have it taken for somebody's whose it is not. Of who is not root
 * nothing is checked. _new: of one that is still to be made. 0 or -EPERM or -ESTALE, in words.
 */
int pg_identity_check_place(const char *path, uid_t owner, const struct pg_identity *as,
                            struct err *err);
int pg_identity_check_new(const char *path, const struct pg_identity *as, struct err *err);

/*
 * What follows does nothing where id->change is not set. 0 or a negative errno: who it is that we
 * could not become, the caller knows in words.
 */

/* Of the calling thread, for a while; they do not nest. On failure it is as it was. The groups of
 * the thread do not come back: root needs none. */
int pg_identity_enter(const struct pg_identity *id);
void pg_identity_leave(const struct pg_identity *id);

/* Who has entered and has to do something as himself leaves, and enters again: that it fails then
 * cannot be, and ends the process, which would be root where it must not be. */
void pg_identity_enter_again(const struct pg_identity *id);

/*
 * For good. keep_root: but for the saved user, with which pg_identity_return still makes it root,
 * until pg_identity_renounce. What was changed before a failure stays so.
 */
int pg_identity_become(const struct pg_identity *id, bool keep_root);
int pg_identity_return(const struct pg_identity *id);
int pg_identity_renounce(const struct pg_identity *id);

#endif
