/*
 * The files of a frozen data directory, as render/ wants them: blocks of relations, and pages of
 * pg_xact and pg_multixact. Any number of threads; each has entered as the owner of the store
 * (replay/owner.h). A file is opened when it is read, and few stay open.
 */
#ifndef ASOFS_VIEW_FROZENFILES_H
#define ASOFS_VIEW_FROZENFILES_H

#include "pages/datadir.h"
#include "render/heap.h"
#include "render/xacts.h"

struct frozenfiles;

struct frozenfiles *frozenfiles_new(struct datadir *d); /* borrowed */
void frozenfiles_free(struct frozenfiles *f);           /* NULL is fine */

/* Nothing is read any more, from any thread: -ECANCELED. So whoever is in the middle of much is soon done. */
void frozenfiles_stop(struct frozenfiles *f);

/* For struct render_xacts_request: read, with f as its arg. */
int frozenfiles_read_slru(void *f, enum render_slru which, uint64_t page, char *bytes);

/* The main fork of a relation: `path` as of pg_relation_filepath, and .1, .2 … beside it. 0 or -errno. */
struct frozenrelation;
int frozenrelation_open(struct frozenfiles *f, const char *path, struct frozenrelation **r);
void frozenrelation_free(struct frozenrelation *r);                 /* NULL is fine */
struct render_pages frozenrelation_pages(struct frozenrelation *r); /* as long as r is there */

/* When it could not be read: are its files still what was added to the base? 0, or -errno: err says what
 * became of one. */
int frozenrelation_check(const struct frozenrelation *r, struct err *err);

#endif
