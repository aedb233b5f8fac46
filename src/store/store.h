/*
 * STORE/ on disk:
 *
 *   store.json                format version, page size, and what the server room says of the
 * cluster lock                      held (flock) while the store itself is changed
 *   base/<id>/base.json       where the base's directory is, or on which base it is a layer
 *   base/<id>/files           manifest, of a directory                  (manifest.h)
 *   base/<id>/                a layer, of a base that is one            (layer.h)
 *   view/<name>/view.json     base, state
 *   view/<name>/              a layer                                   (layer.h)
 *
 * <id> is a number, counted up; a layer's is larger than that of the base below it. What is not yet
 * complete, or no longer wanted, has another name (base/<id>.new, view/.<name>…) and is cleared by
 * the next change of the store.
 *
 * JSON files are written beside and renamed. Directories are 0700. Unknown format versions are
 * refused.
 */
#ifndef ASOFS_STORE_STORE_H
#define ASOFS_STORE_STORE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "common/err.h"
#include "store/datadir.h"

#define STORE_FORMAT 1
#define STORE_NAME_MAX 63

struct store;

int store_create(const char *path, struct err *err); /* path is missing or an empty directory */
int store_open(const char *path, struct store **s, struct err *err);
void store_close(struct store *s);
bool store_is(const char *path); /* a directory with a store.json */

const char *store_path(const struct store *s); /* absolute */

/* Adopt a directory in place. *id: "1", "2", …; freed by the caller. */
int store_add_base(struct store *s, const char *directory, char **id, struct err *err);

/* Names of bases and views, NULL-terminated, sorted (bases: oldest first); freed with
 * store_names_free. */
int store_bases(struct store *s, char ***ids, struct err *err);
int store_views(struct store *s, char ***names, struct err *err);
void store_names_free(char **names);

/* A new view of a base (NULL: the newest). A name is 1 to 63 letters, digits, "_", "-" and ".", not
 * beginning with ".". */
int store_create_view(struct store *s, const char *name, const char *base,
                      const char *const *hidden, struct err *err);
bool store_has_view(struct store *s, const char *name);
int store_drop_view(struct store *s, const char *name, struct err *err); /* -EBUSY: in use */

enum { STORE_READ_ONLY = 1, STORE_DURABLE = 2, STORE_NO_BASE_CHECK = 4 };

/* A view of a store, open. Its parts live as long as it. -EBUSY: another process serves it. */
struct store_view;
int store_open_view(struct store *s, const char *name, unsigned flags,
                    void (*complain)(void *arg, const char *text), void *arg, struct store_view **v,
                    struct datadir_recovery *recovery, struct err *err);
struct datadir *store_view_datadir(struct store_view *v);
const struct stat *store_view_root(struct store_view *v); /* the base's directory: owner, mode */
const struct store_base *store_view_base(struct store_view *v);
int store_close_view(struct store_view *v, struct err *err);

/* ---- parts, for looking inside ---- */

/* A base, resolved: the directory that it stands on, and the layers above that. */
struct store_base {
    char *id;        /* as asked for */
    char *directory; /* absolute */
    struct stat root;
    struct disk *disk; /* of the directory */
    struct manifest *manifest;
    unsigned n_layers; /* fewer than DATADIR_LAYERS: a view comes on top */
    char *layer_ids[DATADIR_LAYERS];
    struct disk *layers[DATADIR_LAYERS]; /* oldest first */
};

/* Refuses a parent that is missing or not older, and too many layers. The files of the directory
 * are not compared with the manifest. On failure *b is empty. */
int store_open_base(struct store *s, const char *id, struct store_base *b, struct err *err);
void store_close_base(struct store_base *b);

/* The base that a view stands on, as view.json says; freed by the caller. */
int store_read_view(struct store *s, const char *name, char **base, struct err *err);

/* The directory of a view or base. */
int store_view_disk(struct store *s, const char *name, struct disk **d, struct err *err);

/* Lock a view against writers, and with `exclusive` against everybody. Never waits: -EBUSY. The
 * lock ends when *fd is closed (in every process that has it). */
int store_lock_view(struct store *s, const char *name, bool exclusive, int *fd, struct err *err);

/* ---- descriptions ---- */

enum store_description_type { STORE_JSON, BASE_JSON, VIEW_JSON };

struct store_description {
    int64_t format;
    int64_t page_bytes; /* store.json */
    char *kind;         /* base.json: "directory" or "layer" */
    char *path;         /* … of a directory, absolute */
    char *parent;       /* … of a layer: the id of the base below it */
    char *base;         /* view.json */
    char *state;        /* view.json: "open" */
};

/* Read a description from its bytes; `file` is what messages call it. Refuses keys that are
 * missing, of another type or unknown, and values that cannot be, each by name. On failure *d is
 * empty. */
int store_parse(enum store_description_type type, const char *bytes, size_t len, const char *file,
                struct store_description *d, struct err *err);
void store_description_free(struct store_description *d);

#endif
