#include "rendertable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "render/toast.h"
#include "render/type.h"
#include "render/zone.h"

#define SEGMENT_BLOCKS 131072u /* 1 GiB */
#define SLRU_PAGES 32
#define MAX_FIELDS 8

/* The files of a relation. */
struct heap {
    int *fds;
    size_t n, room;
    struct render_pages pages;
};

struct relation {
    char *path, *toast_path;
    struct heap heap, toast;
    struct render_attribute *attributes;
    uint32_t *types; /* of the attributes, until they are found */
    size_t nattributes;
    uint16_t *columns;
    size_t ncolumns;
    struct render_toast *map;
};

struct type {
    struct render_type_row row;
    struct render_label *labels;
    struct render_field_row *fields;
};

struct table {
    const char *data_dir;
    struct render_xacts_request limits;
    bool checksums;
    struct render_settings settings;
    struct render_zone *zone;
    char **names;
    size_t nnames;
    struct type *types;
    size_t ntypes;
    struct relation *relations;
    size_t nrelations;
    struct render_types *found;
    struct render_xacts *xacts;
    struct render_lines *lines;
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(2);
}

/* ---- files ---- */

static int read_heap(void *arg, uint64_t block, unsigned n, char *pages)
{
    const struct heap *h = arg;

    for (; n; n--, block++, pages += RENDER_BLOCK)
        if (pread(h->fds[block / SEGMENT_BLOCKS], pages, RENDER_BLOCK,
                  (off_t)(block % SEGMENT_BLOCKS) * RENDER_BLOCK) != RENDER_BLOCK)
            return -EIO;
    return 0;
}

/* As many blocks at once as one segment has. */
static int read_heap_runs(void *arg, uint64_t block, unsigned n, char *pages)
{
    const struct heap *h = arg;
    uint64_t left = SEGMENT_BLOCKS - block % SEGMENT_BLOCKS;

    if (n > left)
        return read_heap(arg, block, n, pages);
    return pread(h->fds[block / SEGMENT_BLOCKS], pages, (size_t)n * RENDER_BLOCK,
                 (off_t)(block % SEGMENT_BLOCKS) * RENDER_BLOCK) == (ssize_t)n * RENDER_BLOCK
               ? 0
               : -EIO;
}

static void open_heap(const char *data_dir, const char *path, struct heap *h)
{
    struct stat st;
    char *name;
    int fd;

    for (;;) {
        name = h->n ? mem_printf("%s/%s.%zu", data_dir, path, h->n)
                    : mem_printf("%s/%s", data_dir, path);
        fd = open(name, O_RDONLY | O_CLOEXEC);
        free(name);
        if (fd < 0)
            break;
        h->fds = mem_grow(h->fds, h->n, &h->room, sizeof(*h->fds));
        h->fds[h->n++] = fd;
        if (fstat(fd, &st) < 0)
            die("%s: %s", path, strerror(errno));
        h->pages.blocks += (uint64_t)st.st_size / RENDER_BLOCK;
    }
    if (h->n == 0)
        die("%s/%s: %s", data_dir, path, strerror(errno));
    h->pages.read = read_heap_runs;
    h->pages.arg = h;
}

static void close_heap(struct heap *h)
{
    while (h->n)
        close(h->fds[--h->n]);
    free(h->fds);
}

static int read_slru(void *arg, enum render_slru which, uint64_t page, char *bytes)
{
    static const char *const dirs[] = {"pg_xact", "pg_multixact/offsets", "pg_multixact/members"};
    const struct table *t = arg;
    char *name =
        mem_printf("%s/%s/%04llX", t->data_dir, dirs[which], (unsigned long long)page / SLRU_PAGES);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    free(name);
    if (fd >= 0) {
        n = pread(fd, bytes, RENDER_BLOCK, (off_t)(page % SLRU_PAGES) * RENDER_BLOCK);
        close(fd);
    }
    return n == RENDER_BLOCK ? 0 : -ENOENT;
}

/* ---- the description ---- */

/* COPY's escapes; the text becomes shorter. NULL for \N. */
static char *unescape(char *text)
{
    static const char letters[] = "bfnrtv", meant[] = "\b\f\n\r\t\v";
    char *from = text, *to = text;
    const char *letter;

    if (strcmp(text, "\\N") == 0)
        return NULL;
    for (; *from; from++) {
        if (*from == '\\' && from[1]) {
            letter = strchr(letters, *++from);
            *to++ = letter ? meant[letter - letters] : *from;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return text;
}

static uint32_t number(const char *text)
{
    return text ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static void take_limits(struct table *t, char **f)
{
    const char *xid = strchr(f[1], ':');

    t->limits.next_xid = (uint64_t)number(f[1]) << 32 | number(xid ? xid + 1 : NULL);
    t->limits.oldest_xid = number(f[2]);
    t->limits.next_multi = number(f[3]);
    t->limits.oldest_multi = number(f[4]);
    t->limits.next_multi_offset = number(f[5]);
}

static void take_type(struct table *t, char **f)
{
    struct type *y;

    t->types = mem_resize(t->types, t->ntypes + 1, sizeof(*t->types));
    y = &t->types[t->ntypes++];
    *y = (struct type){.row = {.oid = number(f[1]),
                               .kind = f[2][0],
                               .len = (int16_t)atoi(f[3]),
                               .align = f[4][0],
                               .delimiter = f[5][0],
                               .array = f[6][0] == 't',
                               .element = number(f[7])}};
}

static void take_label(struct type *y, char **f)
{
    size_t n = y->row.nlabels++;

    y->labels = mem_resize(y->labels, n + 1, sizeof(*y->labels));
    y->labels[n] = (struct render_label){number(f[1]), mem_strdup(f[2])};
}

static void take_field(struct type *y, char **f)
{
    size_t n = y->row.nfields++;

    y->fields = mem_resize(y->fields, n + 1, sizeof(*y->fields));
    y->fields[n] = (struct render_field_row){number(f[1]), (int16_t)atoi(f[2]), f[3][0]};
}

static void take_relation(struct table *t, char **f)
{
    t->relations = mem_resize(t->relations, t->nrelations + 1, sizeof(*t->relations));
    t->relations[t->nrelations++] =
        (struct relation){.path = mem_strdup(f[1]), .toast_path = mem_strdup(f[2])};
}

static void take_attribute(struct relation *r, char **f)
{
    size_t n = r->nattributes++;

    r->attributes = mem_resize(r->attributes, n + 1, sizeof(*r->attributes));
    r->attributes[n] = (struct render_attribute){
        .len = (int16_t)atoi(f[2]), .align = f[3][0], .missing = mem_strdup(f[4])};
    r->types = mem_resize(r->types, n + 1, sizeof(*r->types));
    r->types[n] = number(f[1]);
}

static void take_wanted(struct relation *r, char **f)
{
    r->columns = mem_resize(r->columns, r->ncolumns + 1, sizeof(*r->columns));
    r->columns[r->ncolumns++] = (uint16_t)number(f[1]);
}

static void take_column(struct table *t, char **f)
{
    t->names = mem_resize(t->names, t->nnames + 1, sizeof(*t->names));
    t->names[t->nnames++] = mem_strdup(f[1]);
}

/* Lines of what is above. */
static void take_part(struct table *t, char **f)
{
    struct type *type = t->ntypes ? &t->types[t->ntypes - 1] : NULL;
    struct relation *relation = t->nrelations ? &t->relations[t->nrelations - 1] : NULL;

    if (strcmp(f[0], "label") == 0 && type)
        take_label(type, f);
    else if (strcmp(f[0], "field") == 0 && type)
        take_field(type, f);
    else if (strcmp(f[0], "attribute") == 0 && relation)
        take_attribute(relation, f);
    else if (strcmp(f[0], "wanted") == 0 && relation)
        take_wanted(relation, f);
    else
        die("\"%s\" is none of a description", f[0]);
}

static void take_line(struct table *t, char **f)
{
    if (strcmp(f[0], "limits") == 0)
        take_limits(t, f);
    else if (strcmp(f[0], "checksums") == 0)
        t->checksums = number(f[1]) != 0;
    else if (strcmp(f[0], "timezone") == 0)
        t->settings.zone = t->zone = render_zone_new(f[1]);
    else if (strcmp(f[0], "type") == 0)
        take_type(t, f);
    else if (strcmp(f[0], "relation") == 0)
        take_relation(t, f);
    else if (strcmp(f[0], "column") == 0)
        take_column(t, f);
    else
        take_part(t, f);
}

static void read_description(struct table *t, const char *path)
{
    static char none[] = "";
    FILE *file = fopen(path, "r");
    char *line = NULL, *rest, *fields[MAX_FIELDS];
    size_t room = 0, n;

    if (!file)
        die("%s: %s", path, strerror(errno));
    while (getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        for (n = 0, rest = line; n < MAX_FIELDS; n++)
            fields[n] = rest ? unescape(strsep(&rest, "\t")) : none;
        take_line(t, fields);
    }
    free(line);
    fclose(file);
}

/* ---- putting it together ---- */

static void make_types(struct table *t)
{
    struct render_type_row *rows = mem_array(t->ntypes + 1, sizeof(*rows));
    size_t i;

    for (i = 0; i < t->ntypes; i++) {
        rows[i] = t->types[i].row;
        rows[i].labels = t->types[i].labels;
        rows[i].fields = t->types[i].fields;
    }
    t->found = render_types_new(rows, t->ntypes);
    free(rows);
}

static bool find_types(struct table *t, struct relation *r)
{
    struct render_attribute *a;
    uint32_t oid = 0;
    size_t c;

    for (c = 0; c < r->ncolumns; c++) {
        a = &r->attributes[r->columns[c]];
        a->type = render_types_find(t->found, r->types[r->columns[c]], &oid);
        if (a->type && (!a->type->zoned || t->zone))
            continue;
        printf("not covered: type %u\n", a->type ? a->type->oid : oid);
        return false;
    }
    return true;
}

static struct render_relation open_relation(struct table *t, struct relation *r,
                                            enum render_format format)
{
    open_heap(t->data_dir, r->path, &r->heap);
    if (r->toast_path) {
        open_heap(t->data_dir, r->toast_path, &r->toast);
        r->map = render_toast_new(&r->toast.pages, t->xacts, t->checksums, NULL);
    }
    return (struct render_relation){.pages = r->heap.pages,
                                    .checksums = t->checksums,
                                    .toast = r->map,
                                    .attributes = r->attributes,
                                    .nattributes = r->nattributes,
                                    .columns = r->columns,
                                    .ncolumns = r->ncolumns,
                                    .xacts = t->xacts,
                                    .format = format};
}

static void make_lines(struct table *t, enum render_format format)
{
    struct render_relation *relations = mem_array(t->nrelations + 1, sizeof(*relations));
    struct out header = {0};
    size_t i;

    for (i = 0; i < t->nrelations; i++)
        relations[i] = open_relation(t, &t->relations[i], format);
    out_grow(&header, 1);
    if (format == RENDER_CSV)
        render_rows_header(t->names, t->nnames, &header);
    t->lines = render_lines_new(&t->settings, header.p, header.n, relations, t->nrelations);
    out_free(&header);
    free(relations);
}

struct table *table_open(const char *data_dir, const char *description, enum render_format format)
{
    struct table *t = mem_alloc(sizeof(*t));
    size_t i;

    t->data_dir = data_dir;
    read_description(t, description);
    t->limits.read = read_slru;
    t->limits.arg = t;
    t->xacts = render_xacts_new(&t->limits);
    make_types(t);
    for (i = 0; i < t->nrelations; i++) {
        if (!find_types(t, &t->relations[i])) {
            table_close(t);
            return NULL;
        }
    }
    make_lines(t, format);
    return t;
}

static void close_relation(struct relation *r)
{
    size_t i;

    render_toast_free(r->map);
    close_heap(&r->heap);
    close_heap(&r->toast);
    for (i = 0; i < r->nattributes; i++)
        free(r->attributes[i].missing);
    free(r->attributes);
    free(r->types);
    free(r->columns);
    free(r->path);
    free(r->toast_path);
}

static void free_type(struct type *y)
{
    size_t i;

    for (i = 0; i < y->row.nlabels; i++)
        free((char *)y->labels[i].text);
    free(y->labels);
    free(y->fields);
}

void table_close(struct table *t)
{
    size_t i;

    render_lines_free(t->lines);
    for (i = 0; i < t->nrelations; i++)
        close_relation(&t->relations[i]);
    free(t->relations);
    render_types_free(t->found);
    for (i = 0; i < t->ntypes; i++)
        free_type(&t->types[i]);
    free(t->types);
    for (i = 0; i < t->nnames; i++)
        free(t->names[i]);
    free(t->names);
    render_xacts_free(t->xacts);
    render_zone_free(t->zone);
    free(t);
}

struct render_lines *table_lines(struct table *t)
{
    return t->lines;
}

void table_tell(const struct table *t, const struct render_fault *f)
{
    fprintf(stderr, "%s block %llu item %d: %s (%s)\n", t->relations[f->relation].path,
            (unsigned long long)f->block, f->item, f->what ? f->what : "?", strerror(f->code));
}
