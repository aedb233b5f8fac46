/* Manifests: any bytes are a manifest that can be walked, or refused. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "pages/manifest.h"
#include "pages/page.h"

static void promise(int kept)
{
    if (!kept)
        abort();
}

static void look_at(const struct manifest *m, uint32_t i)
{
    const struct manifest_entry *e = manifest_entry(m, i);
    struct stat st = {0};
    char *path = manifest_path(m, i);

    promise(path && strlen(manifest_name(m, i)) < 256);
    promise((*manifest_target(m, i) != '\0') == !!S_ISLNK(e->mode));
    if (i != 0) {
        promise(e->parent < i && S_ISDIR(manifest_entry(m, e->parent)->mode));
        promise(manifest_find(m, e->parent, manifest_name(m, i)) == i);
    }
    promise(manifest_find(m, i, "/") == MANIFEST_NONE);
    if (S_ISREG(e->mode))
        promise(S_ISREG(manifest_entry(m, e->first)->mode));
    manifest_same(e, &st);
    free(path);
}

static int walk(const void *bytes, size_t size)
{
    struct manifest *m;
    struct err err = {0};
    uint32_t i;

    if (manifest_from_bytes(bytes, size, &m, &err) < 0) {
        promise(!m && err.code > 0 && err.text[0]);
        return 0;
    }
    for (i = 0; i < manifest_entries(m); i++)
        look_at(m, i);
    manifest_close(m);
    return 1;
}

/* Checksums that fit, so that what they guard is reached. */
static void seal(uint8_t *bytes, size_t size)
{
    struct manifest_header h;

    memcpy(&h, bytes, sizeof(h));
    h.crc = crc32c(bytes + sizeof(h), size - sizeof(h));
    h.header_crc = crc32c(&h, offsetof(struct manifest_header, header_crc));
    memcpy(bytes, &h, sizeof(h));
}

/* The length of the text made what is left after the entries, after bytes came or went. */
static void fit(uint8_t *bytes, size_t size)
{
    struct manifest_header h;
    uint64_t entries;

    memcpy(&h, bytes, sizeof(h));
    entries = (uint64_t)h.count * sizeof(struct manifest_entry);
    if (entries > size - sizeof(h))
        return;
    h.text_bytes = size - sizeof(h) - entries;
    memcpy(bytes, &h, sizeof(h));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    walk(data, size);
    if (size < sizeof(struct manifest_header))
        return 0;
    copy = malloc(size);
    promise(copy != NULL);
    memcpy(copy, data, size);
    seal(copy, size);
    if (!walk(copy, size)) {
        fit(copy, size);
        seal(copy, size);
        walk(copy, size);
    }
    free(copy);
    return 0;
}
