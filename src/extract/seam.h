/*
 * Where two chunks of a flat file meet. COPY BINARY puts a header in front of every chunk and a
 * trailer behind it; the file shall have them once. So the header of all chunks but the first and
 * the trailer of all but the last are dropped. Pure.
 */
#ifndef ASOFS_EXTRACT_SEAM_H
#define ASOFS_EXTRACT_SEAM_H

#include <stdbool.h>
#include <stddef.h>

struct seam {
    bool binary, first, last; /* of the chunk; set by seam_begin, as what follows */
    bool begun;               /* something of it has been kept */
    size_t skip;              /* bytes of a header still to be dropped */
};

void seam_begin(struct seam *s, bool binary, bool first, bool last);

/* Of the bytes that come next, as COPY sends them, what is kept. */
void seam_cut(struct seam *s, const char **bytes, size_t *len);

#endif
