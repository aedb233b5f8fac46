/*
 * The files of .asofs/ of one snapshot, as text: at any time after the freeze (they tell how far
 * things are), and once more at the end (they do not change any more). From any thread.
 */
#ifndef ASOFS_VIEW_REPORT_H
#define ASOFS_VIEW_REPORT_H

#include "common/flatfile.h"
#include "view/snapshot.h"
#include "view/tree.h"

struct flatfile *report_make(struct snapshot *s, enum meta_file which);

/* It tells what became of tables, so it changes as long as some are not settled. */
bool report_is_of_results(enum meta_file which);

#endif
