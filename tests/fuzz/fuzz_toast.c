/* A TOAST table of one page (heapinput.h), or of the same one twice. */
#include <errno.h>

#include "fuzz.h"
#include "heapinput.h"
#include "render/toast.h"
#include "render/xacts.h"

static int read_page(void *page, uint64_t block, unsigned n, char *pages)
{
    unsigned i;

    (void)block;
    for (i = 0; i < n; i++)
        memcpy(pages + (size_t)i * RENDER_BLOCK, page, RENDER_BLOCK);
    return 0;
}

static int no_page(void *arg, enum render_slru which, uint64_t page, char *bytes)
{
    (void)arg;
    (void)which;
    (void)page;
    (void)bytes;
    return -ENOENT;
}

static void try_value(struct render_work *w, uint32_t value, size_t size)
{
    struct out o = {0};
    int rc;

    w->fault = NULL;
    rc = render_toast_fetch(w, value, size, &o);
    if ((rc < 0) != (w->fault != NULL) || (rc == 0 && o.n != size))
        abort();
    if (rc == 0 && size > RENDER_BLOCK)
        abort(); /* there is not so much */
    out_free(&o);
}

static void try_table(struct render_xacts *x, char *page, uint64_t blocks)
{
    static const size_t sizes[] = {1, 7, 50, 300, 1996, 1997, 4000, 1u << 30};
    struct render_pages pages = {.blocks = blocks, .read = read_page, .arg = page};
    struct render_work w;
    uint32_t value;
    size_t i;

    render_work_init(&w, NULL);
    w.toast = render_toast_new(&pages, x, false, NULL);
    for (value = 20000; value < 20004; value++)
        for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            try_value(&w, value, sizes[i]);
    render_toast_free(w.toast);
    render_work_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct render_xacts_request r = {.read = no_page, .next_xid = 1000};
    struct render_xacts *x = render_xacts_new(&r);
    char *page = heapinput_page(data, size);

    try_table(x, page, 1);
    try_table(x, page, 2);
    render_xacts_free(x);
    free(page);
    return 0;
}
