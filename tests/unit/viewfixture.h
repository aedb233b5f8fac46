/*
 * Views without a server, and places below TMPDIR, for the unit tests of view/.
 */
#ifndef ASOFS_UNIT_VIEWFIXTURE_H
#define ASOFS_UNIT_VIEWFIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "view/internal.h"

/* ---- names ---- */

struct place { /* a table by name */
    const char *schema, *name;
};

struct pg_catalog *viewfixture_catalog(const struct place *places, size_t n);

/* ---- a view: everything that is asked of it while and after it is extracted ---- */

/* Table 0 has three chunks, the others one; nothing is extracted yet. */
struct snapshot *viewfixture_snapshot(const char *source, const char *schema_error);
struct view *viewfixture_view(const char *source, const char *schema_error); /* of just this one */

struct results *viewfixture_results(const struct view *v); /* of the first member */

void viewfixture_complete(struct view *v, size_t t, struct flatfile *file, uint64_t rows,
                          uint64_t checksum);
void viewfixture_fail(struct view *v, size_t t, const char *why);

struct flatfile *viewfixture_text(const char *text);

/* The first line of tables.csv. */
#define TABLES_HEAD                                                                                \
    "schema,table,file,kind,state,rows,bytes,estimated_bytes,chunks,seconds,xxh3,error," \
    "filter,via,reason\n"

/* What a report of the first member says; the caller's to free. */
char *viewfixture_report(const struct view *v, enum meta_file which);

/* *state is a view. Table 0 is complete, "id,name\n1,bolt\n": its chunks lie in two spool files, the
 * second is empty. */
int viewfixture_set_up(void **state);
int viewfixture_tear_down(void **state);

/* ---- a place ---- */

struct place_below { /* a directory below TMPDIR, and one in it that shall be made */
    char *dir, *out;
};

int viewfixture_set_up_place(void **state); /* *state is a place_below */
int viewfixture_tear_down_place(void **state);

#endif
