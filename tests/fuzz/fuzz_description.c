/* store.json, base.json, view.json: any bytes are read as each; what is taken has every key, and
 * only values that are safe as parts of a path. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "pages/page.h"
#include "store/store.h"

static void require(int truth)
{
    if (!truth)
        abort();
}

static void require_id(const char *id)
{
    size_t n = strlen(id);

    require(n >= 1 && n <= 9 && strspn(id, "0123456789") == n && id[0] != '0');
}

static void check_taken(enum store_description_type type, const struct store_description *d)
{
    require(d->format == STORE_FORMAT);
    require((type == BASE_JSON) == (d->kind != NULL));
    require((type == VIEW_JSON) == (d->base != NULL));
    require((type == VIEW_JSON) == (d->state != NULL));
    if (type == BASE_JSON)
        require((d->path != NULL) + (d->parent != NULL) + (d->live != NULL) == 1);
    if (type == STORE_JSON)
        require(d->page_bytes == PAGE_BYTES);
    if (type != BASE_JSON)
        require(!d->path && !d->start_lsn);
    if (d->system_identifier)
        require(d->major > 0 && d->segment_bytes >= 1 << 20 && d->segment_bytes <= 1 << 30);
    if (d->live) {
        require_id(d->live);
        require(d->epoch > 0 && d->start_lsn && d->consistent_lsn);
    }
    if (d->log)
        require(d->log[0] == '/' && d->system_identifier);
    require(d->timeline >= 0 && d->timeline <= UINT32_MAX);
    if (d->path)
        require(d->path[0] == '/' &&
                (strcmp(d->kind, "directory") == 0 || strcmp(d->kind, "live") == 0));
    if (d->parent && type == BASE_JSON)
        require_id(d->parent);
    if (d->parent && type == VIEW_JSON)
        require(strncmp(d->parent, "view/", 5) == 0 && !strchr(d->parent + 5, '/') &&
                d->parent[5] != '.' && d->parent[5] != '\0');
    if (d->base)
        require_id(d->base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum store_description_type types[] = {STORE_JSON, BASE_JSON, VIEW_JSON};
    static const struct store_description empty;
    struct store_description d;
    struct err err;
    size_t i;

    for (i = 0; i < sizeof(types) / sizeof(*types); i++) {
        err.text[0] = '\0';
        if (store_parse(types[i], (const char *)data, size, "FILE", &d, &err) == 0) {
            check_taken(types[i], &d);
            store_description_free(&d);
        } else {
            require(strncmp(err.text, "FILE", 4) == 0 && memcmp(&d, &empty, sizeof(d)) == 0);
        }
    }
    return 0;
}
