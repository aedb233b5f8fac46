/*
 * Values that PostgreSQL compressed: pglz (common/pg_lzcompress.c) and LZ4 (a block, as liblz4 has them).
 * Pure.
 *
 * pglz: a control byte, then for each of its bits, the lowest first: 0: a byte as it is; 1: two bytes,
 * length - 3 in the low half of the first, distance back in its high half (<< 8) and the second; where
 * the length's half is 15 a third byte is added to it.
 */
#ifndef ASOFS_RENDER_COMPRESS_H
#define ASOFS_RENDER_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>

enum { RENDER_PGLZ, RENDER_LZ4 }; /* toast_compression.h, ToastCompressionId */

/* Can n bytes make `size`? To be asked before memory for them is taken. false also for a method that
 * there is not. */
bool render_decompress_plausible(unsigned method, size_t n, size_t size);

/* Exactly `size` bytes (at most 1 GiB) from all of the n at p. false: damaged; `to` may be written. */
bool render_decompress(unsigned method, const char *p, size_t n, char *to, size_t size);

#endif
