/* Symbolic links of a manifest, resolved in the tree that a view shows. Pure. */
#ifndef ASOFS_PAGES_LINKS_H
#define ASOFS_PAGES_LINKS_H

#include "pages/manifest.h"

/*
 * Whether all that this link can lead to lies in the tree: each component is looked up, and links
 * on the way are followed as the kernel does (40 at most; a loop leads nowhere). Nothing may lie
 * above the root, or above a directory that is read elsewhere (MANIFEST_OUTSIDE); and no ".." may
 * stand after a name that is not there, since whoever makes that name would tell where it leads.
 *
 * entries and text are those of a whole manifest.
 */
bool links_stay(const struct manifest_entry *entries, const char *text, uint32_t link);

#endif
