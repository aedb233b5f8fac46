/* Heap pages made by hand, and simple types to fill them with, for the tests of render/rows.h and
 * render/lines.h. */
#ifndef ASOFS_TESTS_ROWSPAGE_H
#define ASOFS_TESTS_ROWSPAGE_H

#include "render/rows.h"

/* An empty page with room for rows. */
void rowspage_clear(char *page);

/* A row that is being made: visible, without nulls, until changed. */
struct rowspage_row {
    char bytes[RENDER_BLOCK];
    size_t len, header;
};

void rowspage_begin(struct rowspage_row *r, unsigned natts,
                    bool nulls); /* nulls: all are, at first */
void rowspage_null(struct rowspage_row *r, unsigned att, bool null);
void rowspage_int(struct rowspage_row *r, int32_t v);
void rowspage_text(struct rowspage_row *r, const char *text,
                   size_t n);               /* header as short as can be */
void rowspage_hide(struct rowspage_row *r); /* its transaction aborted */

/* Its item number; 0: the page is full. */
int rowspage_add(char *page, const struct rowspage_row *r);
int rowspage_add_dead(char *page);

/* A number, bare; text, verbatim; text in brackets, which is written aside and fails for "bad"; text
 * repeated 20,000 times. */
extern const struct render_type rowspage_number, rowspage_words, rowspage_brackets, rowspage_much;

/* Nothing is in its pg_xact. */
struct render_xacts *rowspage_xacts(void);

#endif
