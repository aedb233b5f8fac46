/*
 * XXH3, 64 bits: the checksum of flat files. Its text form is 16 lower-case hexadecimal digits,
 * most significant first, the digits that `xxhsum -H3` prints.
 */
#ifndef ASOFS_COMMON_HASH_H
#define ASOFS_COMMON_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash; /* a running checksum */

struct hash *hash_new(void);
void hash_free(struct hash *h);
void hash_reset(struct hash *h);
void hash_update(struct hash *h, const void *bytes, size_t len);
uint64_t hash_value(const struct hash *h);

#endif
