/*
 * What the files of store.h share. Not to be included from other rooms. Each uses only those above
 * it:
 *
 *   description   the JSON files: read, checked, written
 *   contents      the directories: names, locks, what is made, renamed and removed
 *   served        where the live base is served, and by whom
 *   base          bases, resolved and made
 *   view, rebase  views; a base that was moved
 *   note          what is remembered beside a view
 *   live          the live base, and freezes of it that are bases
 *   drop          a base that goes: nothing may stand on it
 *   store         the store itself, and whose cluster it is
 *
 * Functions return 0 or a negative errno with err filled, unless they say otherwise. Paths are
 * relative to the store and `kind` is "base" or "view", unless they say otherwise.
 */
#ifndef ASOFS_STORE_INTERNAL_H
#define ASOFS_STORE_INTERNAL_H

#include <jansson.h>

#include "store/store.h"

#define STORE_LOCK "lock"       /* of the store, and of each view */
#define STORE_MAKING "making"   /* in a base that is not complete: its maker's lock */
#define STORE_MANIFEST "files"  /* in a base that is a directory */
#define STORE_NOTES "notes"     /* in a view: a directory */
#define STORE_OVER_VIEW "view/" /* what a parent begins with that is a view */

struct store {
    char *path; /* absolute */
    struct disk *disk;
    bool knows_cluster;
    struct store_cluster cluster;
    char *log; /* absolute */
};

/* ---- description.c ---- */

bool store_is_id(const char *s); /* of a base: decimal, without leading zeros */
bool store_is_view_name(const char *s);
bool store_is_segment_size(int64_t bytes); /* of the log */

/* "view/<name>": the name, a part of `parent`; else NULL, as for NULL. */
const char *store_view_of_parent(const char *parent);

/* On failure *d is empty. Freed with store_description_free. */
int store_load_description(const struct store *s, enum store_description_type type,
                           const char *path, struct store_description *d, struct err *err);

/* Takes the reference; NULL fails as what is not UTF-8 does. `path` is relative to the disk's
 * directory, `shown` is what messages call that. Replaced as a whole, or as it was. */
int store_save_description(struct disk *disk, const char *path, const char *shown, json_t *j,
                           struct err *err);

/* For store_save_description; NULL: a text is not UTF-8. */
json_t *store_describe_empty(void); /* a store that knows no cluster */
json_t *store_describe_base(const char *path, const char *parent, /* a directory, or a layer */
                            const struct store_base_facts *f);    /* NULL: nothing is known */
json_t *store_describe_live(const char *path);
json_t *store_describe_frozen(const char *live, const struct store_freeze *z,
                              const struct store_base_facts *f);
json_t *store_describe_view(const char *base, const char *parent, /* parent: "view/<name>", NULL */
                            const struct store_view_facts *f);

uint64_t store_lsn_or_zero(const char *text); /* 0: NULL, or no LSN */

/* ---- contents.c ---- */

int store_compare_ids(const char *a, const char *b); /* as numbers; like strcmp */

/* flock; `how` as it is called with, `path` absolute, the file made when missing. Without err.
 * -EWOULDBLOCK: somebody else has it; -ENOENT: the file went meanwhile. *fd is -1 then. */
int store_lock_file(const char *path, int how, int *fd);

/* The store is ours to change until *fd is closed; what others left half done is cleared. Waits. */
int store_begin_change(struct store *s, int *fd, struct err *err);

bool store_is_there(struct store *s, const char *kind, const char *name); /* a directory */
bool store_has_file(const struct store *s, const char *dir, const char *name);
bool store_is_making(const struct store *s, const char *id); /* a base that is not complete */

int store_make_dir(struct store *s, const char *path, struct err *err);
int store_open_disk(struct store *s, const char *path, struct disk **d, struct err *err);
void store_free_disk(struct disk *d); /* NULL is fine */

/* From now on it has its name, also after a power failure. */
int store_put_in_place(struct store *s, const char *kind, const char *from, const char *to,
                       struct err *err);
void store_discard(const struct store *s, const char *path);       /* what was begun and failed */
int store_remove_base_tree(const struct store *s, const char *id); /* without err */

int store_all_bases(struct store *s, char ***ids, struct err *err); /* those being made too */
char *store_last_name(char **names); /* freed by the caller; NULL: there is none */

/* ---- served.c ---- */

/* Where the live base is served: absolute, freed by the caller. NULL: it is not, as far as is known. */
char *store_mount(const struct store *s);

/* ---- base.c ---- */

int store_require_base(struct store *s, const char *id, struct err *err); /* it is complete */
int store_load_base(const struct store *s, const char *id, struct store_description *d,
                    struct err *err);

/* Both freed by the caller. */
int store_newest_base(struct store *s, char **id, struct err *err); /* *id NULL: none yet */
int store_next_id(struct store *s, char **id, struct err *err);

/* The directory of a base that was made here, wherever the store is by now; NULL: it is none.
 * Absolute, freed by the caller. */
char *store_own_directory(const struct store *s, const char *id);

/* `new` becomes the base `id`, with base.json of `j` (taken) and, of a directory that is not NULL, the
 * manifest of that. The store's lock is held. */
int store_fill_base(struct store *s, const char *id, json_t *j, const char *directory,
                    struct err *err);

/* A directory and the store lie apart. */
int store_check_apart(const struct store *s, const char *directory, struct err *err);

/* Store and tablespaces, which lie elsewhere and are part of the base too, lie apart. own: where
 * those of a base lie that is made in the store, absolute, or NULL. */
int store_check_outside(const struct store *s, const struct manifest *m, const char *own,
                        struct err *err);

#endif
