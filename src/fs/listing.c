#define FUSE_USE_VERSION 312

#include "fs/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int listing_add(void *listing, const char *name, uint64_t ino, mode_t mode)
{
    struct listing *l = listing;
    struct listing_item *more;

    if (l->n == l->room) {
        more = realloc(l->items, (l->room * 2 + 32) * sizeof(*more));
        if (!more)
            return -ENOMEM;
        l->items = more;
        l->room = l->room * 2 + 32;
    }
    l->items[l->n] = (struct listing_item){strdup(name), ino, mode};
    return l->items[l->n].name ? (l->n++, 0) : -ENOMEM;
}

int listing_add_dots(struct listing *l, uint64_t ino, uint64_t parent)
{
    int rc = listing_add(l, ".", ino, S_IFDIR);

    return rc < 0 ? rc : listing_add(l, "..", parent, S_IFDIR);
}

void listing_clear(struct listing *l)
{
    size_t i;

    for (i = 0; i < l->n; i++)
        free(l->items[i].name);
    free(l->items);
    *l = (struct listing){0};
}

struct reading {
    fuse_req_t req;
    bool plus;
    const struct listing_source *source;
};

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* The size of the entry, which is there only if that is at most `room`; 0: no such name any more. */
static size_t put(const struct reading *r, char *buffer, size_t room,
                  const struct listing_item *item, off_t next)
{
    struct fuse_entry_param e = {.attr = {.st_ino = item->ino, .st_mode = item->mode}};
    size_t size;

    if (!r->plus)
        return fuse_add_direntry(r->req, buffer, room, item->name, &e.attr, next);
    size = fuse_add_direntry_plus(r->req, NULL, 0, item->name, NULL, 0);
    if (size > room) /* what is looked up is told */
        return size;
    if (r->source->lookup && !is_dot(item->name) &&
        r->source->lookup(r->source->arg, item->name, &e) < 0)
        return 0;
    return fuse_add_direntry_plus(r->req, buffer, room, item->name, &e, next);
}

static size_t fill(const struct listing *l, const struct reading *r, char *buffer, size_t size,
                   off_t offset)
{
    size_t used = 0, n, i;

    for (i = (size_t)offset; i < l->n; i++) {
        n = put(r, buffer + used, size - used, &l->items[i], (off_t)i + 1);
        if (n > size - used)
            break;
        used += n;
    }
    return used;
}

static int take(struct listing *l, const struct listing_source *s)
{
    listing_clear(l);
    return s->take(s->arg, l);
}

int listing_reply(struct listing *l, fuse_req_t req, size_t size, off_t offset, bool plus,
                  const struct listing_source *s)
{
    const struct reading r = {req, plus, s};
    int rc = offset == 0 ? take(l, s) : 0;
    char *buffer = malloc(size);

    if (rc < 0)
        rc = fuse_reply_err(req, -rc);
    else if (buffer)
        rc = fuse_reply_buf(req, buffer, fill(l, &r, buffer, size, offset));
    else
        rc = fuse_reply_err(req, ENOMEM);
    free(buffer);
    return rc;
}
