#include "extract/seam.h"

#include <string.h>

#include "pg/copysql.h"

void seam_begin(struct seam *s, bool binary, bool first, bool last)
{
    *s = (struct seam){.binary = binary,
                       .first = first,
                       .last = last,
                       .skip = binary && !first ? PG_BINARY_HEADER : 0};
}

/*
 * The trailer comes in a message of its own, or, from a chunk without rows, behind the header. A
 * row begins with its number of columns, which is never -1.
 */
static size_t without_trailer(const struct seam *s, const char *bytes, size_t len)
{
    size_t header = len > PG_BINARY_TRAILER && s->first && !s->begun ? PG_BINARY_HEADER : 0;

    if (len == header + PG_BINARY_TRAILER &&
        memcmp(bytes + header, "\xff\xff", PG_BINARY_TRAILER) == 0)
        return header;
    return len;
}

void seam_cut(struct seam *s, const char **bytes, size_t *len)
{
    size_t n = *len < s->skip ? *len : s->skip;

    s->skip -= n;
    *bytes += n;
    *len -= n;
    if (s->binary && !s->last)
        *len = without_trailer(s, *bytes, *len);
    s->begun |= *len > 0;
}
