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
#include <stdint.h>

enum { RENDER_PGLZ, RENDER_LZ4 }; /* toast_compression.h, ToastCompressionId */

/* Can n bytes make `size`? To be asked before memory for them is taken. false also for a method that
 * there is not. */
bool render_decompress_plausible(unsigned method, size_t n, size_t size);

/* Exactly `size` bytes (at most 1 GiB) from all of the n at p. false: damaged; `to` may be written. */
bool render_decompress(unsigned method, const char *p, size_t n, char *to, size_t size);

/*
 * Which kinds of bytes are in the value of `size` bytes that the n at p make with pglz: kinds[b] is a set of bits for
 * byte b, *seen is that of all. Much quicker than to make it. false: render_decompress would return false. It
 * ends early where one of the bits `enough` is seen: then the value may be damaged all the same.
 */
bool render_look_through(const char *p, size_t n, size_t size, const uint8_t kinds[256],
                         unsigned enough, unsigned *seen);

#endif
