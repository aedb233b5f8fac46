#include "base/layering.h"

/* Of chain[i]: the advances that went into it. */
static unsigned long weight(const struct layering_base *chain, unsigned i)
{
    return chain[i].id - chain[i - 1].id;
}

/* Where the layer, which is to have the id `next`, is put if the log of all is there. */
static unsigned choose(const struct layering_base *chain, unsigned n, unsigned most,
                       unsigned long next)
{
    unsigned at = n - 1;

    while (at >= most)
        at--;
    while (at > 0 && weight(chain, at) <= next - chain[at].id)
        at--;
    return at;
}

unsigned layering_plan(const struct layering_base *chain, unsigned n, unsigned most,
                       unsigned *tries)
{
    unsigned best, i, found = 0;

    if (n <= most) {
        tries[0] = n - 1;
        return 1;
    }
    best = choose(chain, n, most, chain[n - 1].id + 1);
    for (i = best; i < most; i++)
        if (chain[i].has_wal && (i == best || i + LAYERING_ROOM <= most))
            tries[found++] = i;
    return found;
}
