/* A store and a data directory beside it, as the tests of store/ need them. */
#ifndef ASOFS_UNIT_STOREPLACE_H
#define ASOFS_UNIT_STOREPLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "store/check.h"
#include "store/store.h"

struct place {
    char *dir, *store_path, *base_path;
    struct store *store;
    struct err err;
};

void place_write_file(const char *path, const char *bytes, size_t len);

char *place_path(const struct place *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void place_put_text(const struct place *p, const char *name, const char *text);

void place_make_dir(const struct place *p, const char *name);

bool place_has(const struct place *p, const char *name);

#define PLACE_TABLE_PAGES 10

int place_set_up(void **state);

int place_tear_down(void **state);

/* The error says each of these words. */
void place_assert_says(const struct err *err, const char *a, const char *b);

void place_add_base(struct place *p, const char *expected);

void place_create_view(struct place *p, const char *name, const char *base);

int place_try_open(struct place *p, const char *name, unsigned flags, struct store_view **v);

struct store_view *place_open_view(struct place *p, const char *name, unsigned flags);

void place_close_view(struct place *p, struct store_view *v);

struct pagefile *place_open_file(struct store_view *v, const char *path);

/* Fill pages of the table with one letter. */
void place_write_pages(struct store_view *v, char letter, uint64_t first, uint64_t n);

char place_letter_at(struct store_view *v, uint64_t page);

/* A view with pages 3 and 4 of the table changed, closed. */
void place_make_written_view(struct place *p, const char *name, const char *base);

void place_put_layer(struct place *p, const char *id, const char *parent);

struct place_lines {
    struct buf text;
    struct check_report report;
};

/* The lines of a check; freed by place_check_says. */
struct place_lines place_check(struct place *p);

/* So many findings, and among the lines these words. */
void place_check_says(struct place *p, uint64_t findings, const char *a, const char *b);

#endif
