/*
 * Who PostgreSQL's programs run as, and who works on what they write: root becomes somebody else,
 * for a while or for good.
 *
 * It is the whole process that changes, all threads of it. With each change of an effective id
 * the kernel forgets PR_SET_PDEATHSIG, and that a process may be looked at by its own user
 * (PR_SET_DUMPABLE): whoever needs one of them asks for it again.
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
 * What follows does nothing where id->change is not set. 0 or a negative errno: who it is that we
 * could not become, the caller knows in words. What was changed by then stays so.
 */

/* For a while: the effective user and group. drop_groups: and no others, which does not come back.
 */
int pg_identity_enter(const struct pg_identity *id, bool drop_groups);
int pg_identity_leave(const struct pg_identity *id);

/*
 * For good, with all groups of the user (none where uid has no name). keep_root: but for the saved
 * user, with which pg_identity_leave still makes it root, until pg_identity_renounce.
 */
int pg_identity_become(const struct pg_identity *id, bool keep_root);
int pg_identity_renounce(const struct pg_identity *id);

#endif
