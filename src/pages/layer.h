/* The directory that holds one layer:
 *
 *   names        journal of names                                (names.h)
 *   inflight     what is being written                           (inflight.h)
 *   diff/<id>    difference files: sparse, same offsets as the file; their size is the file's size
 *   side/<id>    side page tables                                (side.h)
 *   lock         held (flock) by the process that writes the layer
 *
 * <id> is 16 lower-case hexadecimal digits.
 */
#ifndef ASOFS_PAGES_LAYER_H
#define ASOFS_PAGES_LAYER_H

#include <stdint.h>

#define LAYER_NAMES "names"
#define LAYER_INFLIGHT "inflight"
#define LAYER_DIFF "diff"
#define LAYER_SIDE "side"
#define LAYER_PATH_MAX 32

/* "diff/00000000000000a1" */
void layer_path(char path[LAYER_PATH_MAX], const char *kind, uint64_t id);

#endif
