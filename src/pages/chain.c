#include "pages/chain.h"

#include <stddef.h>

/* Stored is asked before the limit: a truncation lowers the limit before it takes pages away, so
 * that whoever finds a page gone also finds the limit. */
int chain_find(const struct chain *c, uint64_t page)
{
    unsigned i;

    for (i = 0; i < c->n; i++) {
        if (side_stored(c->sides[i], page))
            return (int)i;
        if (page >= side_limit(c->sides[i]))
            return CHAIN_ZERO;
    }
    return CHAIN_BASE;
}

uint64_t chain_run(const struct chain *c, uint64_t page, uint64_t end, int *place)
{
    *place = chain_find(c, page);
    do
        page++;
    while (page < end && chain_find(c, page) == *place);
    return page;
}
