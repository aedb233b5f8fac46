/*
 * A live base is frozen, and the freeze made a base: what its server had written at one moment is read
 * as a crash would have left it, from then on and by everybody.
 *
 * Its log is taken after the freeze, so that it has everything that was flushed when the freeze was
 * made; it ends at one place, the base's first moment, and the tree shows it as its pg_wal. The base
 * is of the timeline on which the log goes on there: the checkpoint of a standby that was promoted a
 * moment ago is on the one before, from where the histories in that pg_wal lead. A freeze
 * that no base of the store is of is nobody's: it goes with the next one that is made.
 *
 * All of it is done as the owner of the store, who owns the live base too.
 */
#ifndef ASOFS_REPLAY_LIVEFREEZE_H
#define ASOFS_REPLAY_LIVEFREEZE_H

#include "pg/programs.h"
#include "store/store.h"

/* Is there a live base, and served? A daemon that was killed counts as serving. */
bool livefreeze_is_served(struct store *s);

/*
 * what: all but its number. *id is freed by the caller. On failure there is neither a base nor a
 * freeze.
 */
int livefreeze_make(struct store *s, const struct pg_programs *p, const struct store_freeze *what,
                    char **id, struct err *err);

/* store_drop_base; of a freeze that is not served now, the freeze itself goes when it is. */
int livefreeze_drop(struct store *s, const char *id, struct err *err);

/* The same by the number of a freeze; also of one that is no base. -ENOENT: there is none. */
int livefreeze_drop_number(struct store *s, uint64_t number, struct err *err);

/* Bases go that were made for a view that is gone, and freezes that are no base. */
void livefreeze_clear(struct store *s);

/* Where its log is: STORE/epoch/<n>/wal; freed by the caller. NULL: the base is no freeze. */
char *livefreeze_wal(struct store *s, const char *id);

#endif
