/*
 * Where the next layer of a store is put. Pure.
 *
 * Layers stand on each other, and a base can carry only so many. While there is room the next one
 * stands on the newest base. When there is none it takes the place of one or more of the newest
 * layers: it stands on a base further down, and the log from there on is replayed once more. Those
 * that it replaces stay, as bases of their own.
 *
 * How many it replaces is counted as by a binary counter: a layer that took the place of others
 * weighs as much as all of them, and the next one replaces whatever weighs no more than itself. So
 * layers that were made of much grow rare, and in `n` advances each piece of the log is replayed a
 * few times (about log2(n) / 2 on average). What weighs is the number of advances, not of bytes:
 * many small layers above a few large ones would else replay the last of the large ones each time.
 */
#ifndef ASOFS_BASE_LAYERING_H
#define ASOFS_BASE_LAYERING_H

#include <stdbool.h>

/* A base of the chain that the newest base is the end of. */
struct layering_base {
    unsigned long id; /* counted up with every base that is made */
    bool has_wal;     /* replay can begin there: the log from there on is in place */
};

/*
 * Where the log of what is chosen is gone, a base above it does only if so many layers have room on
 * it: with fewer, each advance would replay nearly everything from there on.
 */
#define LAYERING_ROOM 3

/*
 * chain: the directory first, then its n - 1 layers; at most `most` may stand on each other. tries:
 * room for n; gets the bases (indexes) on which the layer can be put, the best first. Returns how
 * many; 0: a new base is due.
 */
unsigned layering_plan(const struct layering_base *chain, unsigned n, unsigned most,
                       unsigned *tries);

#endif
