/*
 * A history of a timeline is any bytes at all. One that is taken leads from its first timeline to
 * its own without a gap, and never back.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "store/history.h"

static void look(const struct history *h)
{
    uint64_t begin, end, before = 0;
    size_t i;

    for (i = 0; i <= h->n; i++) {
        uint32_t timeline = i < h->n ? h->turns[i].timeline : h->timeline;

        if (!history_part(h, timeline, &begin, &end) || begin != before || end < begin)
            abort();
        before = end;
    }
    if (before != UINT64_MAX || history_part(h, h->timeline + 1, &begin, &end))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct history h = {.timeline = 9};
    char *text = malloc(size + 1);
    struct err err = {0};

    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (history_parse(text, "/srv/log", &h, &err) == 0)
        look(&h);
    else if (!*err.text)
        abort();
    history_free(&h);
    free(text);
    return 0;
}
