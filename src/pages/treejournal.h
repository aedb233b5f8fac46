/*
 * The tree of names and its journals: the records of a change, put together and appended as one
 * frame; journals applied (dirtree_apply) and written anew (dirtree_compact). Shared by dirtree.c
 * and treechange.c; the format is that of names.h.
 */
#ifndef ASOFS_PAGES_TREEJOURNAL_H
#define ASOFS_PAGES_TREEJOURNAL_H

#include <stdint.h>

#include "pages/names.h"
#include "pages/treenodes.h"

/* What a journal says of a node; the text is the tree's. */
struct names_record treejournal_node_record(const struct dirtree *t, const struct node *n);

/*
 * Around each change: the lock is taken for writing and the frame is empty, then the frame is
 * filled and appended, then the lock is given back, whatever became of it.
 *
 *     rc = treejournal_begin_change(t);                  -EROFS: no journal to write
 *     if (rc == 0) ... treejournal_say_node(t, n); rc = treejournal_append(t); ...
 *     return treejournal_end_change(t, rc);              gives rc back
 */
int treejournal_begin_change(struct dirtree *t);
int treejournal_end_change(struct dirtree *t, int rc);

void treejournal_say_node(struct dirtree *t, const struct node *n);
void treejournal_say_entry(struct dirtree *t, uint64_t dir, const char *name, uint64_t id);
void treejournal_say_touched(struct dirtree *t, uint64_t id);

/* The frame, as a whole or not at all. */
int treejournal_append(struct dirtree *t);

#endif
