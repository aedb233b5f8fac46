/* Values of variable length, one behind the other; and the input as something compressed. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "render/compress.h"
#include "render/varlena.h"

/* Into memory of exactly the size. */
static void try_decompress(unsigned method, const char *p, size_t n, size_t size)
{
    static const uint8_t kinds[256] = {[0] = 1, [1] = 2, ['a'] = 4, ['"'] = 8};
    char *to = malloc(size ? size : 1);
    unsigned seen = 0, want = 0;
    size_t i;
    bool ok;

    ok = render_decompress(method, p, n, to, size);
    if (method == RENDER_PGLZ && render_decompress_plausible(method, n, size) &&
        ok != render_look_through(p, n, size, kinds, 0, &seen))
        abort();
    for (i = 0; ok && i < size; i++)
        want |= kinds[(unsigned char)to[i]];
    if (ok && method == RENDER_PGLZ && seen != want)
        abort();
    free(to);
}

static void try_values(const char *p, size_t size)
{
    size_t n, left = size;
    struct render_work w;
    struct render_value v;
    char *copy;
    int rc;

    render_work_init(&w, NULL);
    while ((n = varlena_size(p, left)) > 0) {
        w.fault = NULL;
        rc = render_varlena(&w, p, n, &v);
        if ((rc < 0) != (w.fault != NULL))
            abort();
        copy = rc == 0 ? malloc(v.len + 1) : NULL;
        if (rc == 0 && v.len)
            memcpy(copy, v.p, v.len);
        free(copy);
        if (w.used && w.buffers[0]->room > 1024 * (size + 1))
            abort(); /* so little cannot make so much */
        w.used = 0;
        p += n;
        left -= n;
    }
    render_work_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;

    try_values(p, size);
    if (size < 3)
        return 0;
    try_decompress(RENDER_PGLZ, p + 2, size - 2, bytes_u16(p));
    try_decompress(RENDER_LZ4, p + 2, size - 2, bytes_u16(p));
    return 0;
}
