#include "pages/links.h"

#include <string.h>
#include <sys/stat.h>

#define LINKS_MAX 40 /* MAXSYMLINKS of the kernel: above it there is only ELOOP */

struct way {
    const struct manifest_entry *entries;
    const char *text;
    uint32_t at;    /* a directory */
    unsigned links; /* that were followed */
    bool lost;      /* what is named next is not there */
};

static int compare_name(const char *name, const char *component, size_t len)
{
    int order = strncmp(name, component, len);

    return order ? order : name[len] != '\0';
}

/* The entry of that name in the directory; 0: there is none. */
static uint32_t find_child(const struct way *w, const char *component, size_t len)
{
    const struct manifest_entry *dir = &w->entries[w->at];
    uint32_t low = dir->first, high = dir->first + dir->children, middle;
    int order;

    while (low < high) {
        middle = low + (high - low) / 2;
        order = compare_name(w->text + w->entries[middle].name, component, len);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

static bool go_up(struct way *w)
{
    const struct manifest_entry *dir = &w->entries[w->at];

    if (w->lost || w->at == 0 || dir->flags & MANIFEST_OUTSIDE)
        return false;
    w->at = dir->parent;
    return true;
}

static const char *target_of(const struct way *w, uint32_t link)
{
    const char *name = w->text + w->entries[link].name;

    return name + strlen(name) + 1;
}

/* One component; false: it leads out. *link: that is to be followed, else 0. */
static bool go_down(struct way *w, const char *component, size_t len, uint32_t *link)
{
    uint32_t child;

    if (len == 0 || (len == 1 && *component == '.'))
        return true;
    if (len == 2 && component[0] == '.' && component[1] == '.')
        return go_up(w);
    child = w->lost ? 0 : find_child(w, component, len);
    if (child && S_ISDIR(w->entries[child].mode))
        w->at = child;
    else if (child && S_ISLNK(w->entries[child].mode) && ++w->links <= LINKS_MAX)
        *link = child;
    else
        w->lost = true;
    return true;
}

static bool go_along(struct way *w, const char *path)
{
    uint32_t link = 0;
    size_t len;

    if (*path == '/')
        return false;
    for (; *path; path += len + (path[len] == '/'), link = 0) {
        len = strcspn(path, "/");
        if (!go_down(w, path, len, &link))
            return false;
        if (link && !go_along(w, target_of(w, link)))
            return false;
    }
    return true;
}

bool links_stay(const struct manifest_entry *entries, const char *text, uint32_t link)
{
    struct way w = {.entries = entries, .text = text, .at = entries[link].parent, .links = 1};

    return go_along(&w, target_of(&w, link));
}
