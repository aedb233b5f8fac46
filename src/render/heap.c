#include "render/heap.h"

#include <string.h>

#include "render/checksum.h"

static bool all_zeros(const char *page)
{
    return page[0] == 0 && memcmp(page, page + 1, RENDER_BLOCK - 1) == 0;
}

/* The server's own tests (PageIsVerified), and the version and room for the header, which it takes for
 * granted. */
static bool header_is_right(const char *page)
{
    unsigned lower = bytes_u16(page + 12), upper = bytes_u16(page + 14),
             special = bytes_u16(page + 16);

    return (bytes_u16(page + 10) & ~7u) == 0 && lower >= 24 && lower % 4 == 0 && lower <= upper &&
           upper <= special && special <= RENDER_BLOCK && special % 8 == 0 &&
           bytes_u16(page + 18) == (RENDER_BLOCK | 4);
}

int render_page_items(const char *page, bool checksum, uint64_t block, const char **fault)
{
    if (bytes_u16(page + 14) == 0) { /* a new page */
        if (all_zeros(page))
            return 0;
        *fault = "the page has no header, but is not empty";
    } else if (checksum && render_page_checksum(page, block) != bytes_u16(page + 8)) {
        *fault = "the checksum of the page is wrong";
    } else if (!header_is_right(page)) {
        *fault = "the header of the page is damaged";
    } else {
        return (bytes_u16(page + 12) - 24) / 4;
    }
    return -1;
}
