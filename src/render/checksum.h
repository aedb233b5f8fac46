/* The checksum of a page, as PostgreSQL keeps it (checksum_impl.h; the same in 14 to 18). */
#ifndef ASOFS_RENDER_CHECKSUM_H
#define ASOFS_RENDER_CHECKSUM_H

#include <stdint.h>

/* Of a page of 8192 bytes, whatever its checksum field (u16 at 8) holds; `block`: its number within the
 * relation, of all segments. Never 0. */
uint16_t render_page_checksum(const char *page, uint64_t block);

#endif
