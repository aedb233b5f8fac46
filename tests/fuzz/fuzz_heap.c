/* A page: its header, line pointers and rows, and whether these are there (heapinput.h). */
#include <errno.h>
#include <stdbool.h>

#include "fuzz.h"
#include "heapinput.h"
#include "render/checksum.h"
#include "render/xacts.h"

struct input {
    const uint8_t *data;
    size_t size;
};

/* Pages of pg_xact and pg_multixact: the input, again and again; each fifth is missing. */
static int read_slru(void *arg, enum render_slru which, uint64_t page, char *bytes)
{
    const struct input *in = arg;
    size_t i;

    if ((page + which) % 5 == 4)
        return -ENOENT;
    for (i = 0; i < 8192; i++)
        bytes[i] = (char)in->data[i % in->size];
    return 0;
}

/* Says something of every byte, so that a sanitizer sees them read. */
static unsigned sum_bytes(const char *p, size_t n)
{
    unsigned sum = 0;

    while (n--)
        sum += (unsigned char)*p++;
    return sum;
}

static void try_row(struct render_xacts *x, const char *page, int item)
{
    const char *fault = NULL, *row = NULL;
    size_t len = 0;
    int rc = render_page_row(page, item, &row, &len, &fault);

    if ((rc < 0) != (fault != NULL))
        abort();
    if (rc != 1)
        return;
    if (row < page + 24 || len < 24 || row + len > page + RENDER_BLOCK ||
        (unsigned char)row[22] > len)
        abort();
    sum_bytes(row, len);
    rc = render_xacts_shows(x, row, &fault);
    if (rc > 1 || (rc < 0) != (fault != NULL))
        abort();
    if (rc == 1 && render_xacts_inserted(x, row, &fault) != 1)
        abort();
}

static void try_page(char *page, struct input *in)
{
    struct render_xacts_request r = {.read = read_slru,
                                     .arg = in,
                                     .next_xid = 1000,
                                     .oldest_xid = 700,
                                     .next_multi = 60,
                                     .oldest_multi = 50,
                                     .next_multi_offset = 220};
    struct render_xacts *x;
    const char *fault = NULL;
    int i, n = render_page_items(page, false, 1, &fault);

    if (n > 2042 || (n < 0) != (fault != NULL))
        abort();
    if (n > 0) {
        page[8] = page[9] = 0;
        if (render_page_items(page, true, 1, &fault) >= 0)
            abort(); /* no checksum is 0 */
        i = render_page_checksum(page, 1);
        page[8] = (char)i;
        page[9] = (char)(i >> 8);
        if (render_page_items(page, true, 1, &fault) != n)
            abort();
    }
    x = render_xacts_new(&r);
    for (i = 1; i <= n; i++)
        try_row(x, page, i);
    render_xacts_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {size ? data : (const uint8_t *)"", size ? size : 1};
    char *page = heapinput_page(data, size);

    try_page(page, &in);
    free(page);
    return 0;
}
