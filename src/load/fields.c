#include "load/fields.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/* What the next bytes of a binary stream are. */
enum expected { SIGNATURE, EXTENSION, COUNT, LENGTH, VALUE, NOTHING };

struct fields {
    enum pg_format format;
    bool *drop;
    size_t n, kept;
    size_t column; /* the one that bytes belong to */
    size_t put;    /* fields of this row that stayed so far */
    bool begun;    /* something of this field has come */
    bool quoted;   /* csv: within quotes */
    bool guarded;  /* csv: we have put this field into quotes */
    uint64_t rows;
    enum expected expected; /* binary */
    unsigned char number[PG_BINARY_HEADER];
    size_t have;   /* bytes of `number` */
    uint64_t left; /* bytes of EXTENSION or VALUE */
};

struct fields *fields_new(enum pg_format format, const bool *drop, size_t n, bool binary_header)
{
    struct fields *f = mem_alloc(sizeof(*f));
    size_t i;

    f->format = format;
    f->n = n;
    f->drop = mem_array(n, sizeof(*f->drop));
    for (i = 0; i < n; i++) {
        f->drop[i] = drop[i];
        f->kept += !drop[i];
    }
    f->expected = binary_header ? SIGNATURE : COUNT;
    return f;
}

void fields_free(struct fields *f)
{
    if (!f)
        return;
    free(f->drop);
    free(f);
}

static int refuse_count(const struct fields *f, size_t found, struct err *err)
{
    return err_set(err, EINVAL, "row %llu of the file has %s%zu fields, and should have %zu",
                   (unsigned long long)f->rows + 1, found > f->n ? "more than " : "",
                   found > f->n ? f->n : found, f->n);
}

/* ---- csv and text ---- */

static void begin_field(struct fields *f, char separator, struct buf *out)
{
    if (f->begun || f->drop[f->column])
        return;
    f->begun = true;
    if (f->put++)
        buf_putc(out, separator);
}

/* The only field of a csv row that is left: `\.` alone on a line would end the data. */
static void guard_field(struct fields *f, char c, struct buf *out)
{
    f->guarded = f->format == PG_FORMAT_CSV && f->kept == 1 && c == '\\';
    if (f->guarded)
        buf_putc(out, '"');
}

static void end_field(struct fields *f, char separator, struct buf *out)
{
    begin_field(f, separator, out); /* an empty one */
    if (f->guarded)
        buf_putc(out, '"');
    f->guarded = f->begun = false;
}

static int put_separator(struct fields *f, char c, char separator, struct buf *out, struct err *err)
{
    end_field(f, separator, out);
    f->column++;
    if (c == separator)
        return f->column < f->n ? 0 : refuse_count(f, f->n + 1, err);
    if (f->column < f->n)
        return refuse_count(f, f->column, err);
    buf_putc(out, '\n');
    f->rows++;
    f->column = f->put = 0;
    return 0;
}

static int put_lines(struct fields *f, const char *bytes, size_t len, struct buf *out,
                     struct err *err)
{
    char separator = f->format == PG_FORMAT_CSV ? ',' : '\t';
    size_t i, from = 0;
    int rc = 0;

    for (i = 0; i < len && rc == 0; i++) {
        char c = bytes[i];

        if (c == '"' && f->format == PG_FORMAT_CSV)
            f->quoted = !f->quoted;
        if (f->quoted || (c != separator && c != '\n')) {
            bool first = !f->begun;

            begin_field(f, separator, out);
            if (first && f->begun)
                guard_field(f, c, out);
            continue;
        }
        if (!f->drop[f->column])
            buf_put(out, bytes + from, i - from);
        from = i + 1;
        rc = put_separator(f, c, separator, out, err);
    }
    if (rc == 0 && from < len && !f->drop[f->column])
        buf_put(out, bytes + from, len - from);
    return rc;
}

/* ---- binary ---- */

static uint32_t number_at(const unsigned char *b, size_t size)
{
    uint32_t v = 0;
    size_t i;

    for (i = 0; i < size; i++)
        v = v << 8 | b[i];
    return v;
}

static size_t bytes_expected(const struct fields *f)
{
    return f->expected == SIGNATURE ? PG_BINARY_HEADER : f->expected == COUNT ? 2 : 4;
}

static void next_field(struct fields *f)
{
    f->column++;
    f->expected = f->column < f->n ? LENGTH : COUNT;
    f->rows += f->column == f->n;
}

static int take_count(struct fields *f, struct buf *out, struct err *err)
{
    uint32_t count = number_at(f->number, 2);

    if (count == 0xffff) {
        buf_put(out, "\xff\xff", 2);
        f->expected = NOTHING;
        return 0;
    }
    if (count != f->n)
        return refuse_count(f, count, err);
    buf_putc(out, (char)(f->kept >> 8));
    buf_putc(out, (char)f->kept);
    f->column = 0;
    f->expected = LENGTH;
    return 0;
}

static int take_length(struct fields *f, struct buf *out, struct err *err)
{
    uint32_t length = number_at(f->number, 4);

    if (length > INT32_MAX && length != UINT32_MAX)
        return err_set(err, EINVAL, "row %llu of the file has a field of a negative length",
                       (unsigned long long)f->rows + 1);
    if (!f->drop[f->column])
        buf_put(out, (const char *)f->number, 4);
    f->left = length == UINT32_MAX ? 0 : length;
    f->expected = VALUE;
    if (!f->left)
        next_field(f);
    return 0;
}

static int take_number(struct fields *f, struct buf *out, struct err *err)
{
    f->have = 0;
    if (f->expected == COUNT)
        return take_count(f, out, err);
    if (f->expected == LENGTH)
        return take_length(f, out, err);
    buf_put(out, (const char *)f->number, PG_BINARY_HEADER);
    f->left = number_at(f->number + PG_BINARY_HEADER - 4, 4);
    f->expected = f->left ? EXTENSION : COUNT;
    return 0;
}

static size_t take_bytes(struct fields *f, const char *bytes, size_t len, struct buf *out)
{
    size_t n = len < f->left ? len : f->left;

    if (f->expected == EXTENSION || !f->drop[f->column])
        buf_put(out, bytes, n);
    f->left -= n;
    if (!f->left && f->expected == EXTENSION)
        f->expected = COUNT;
    else if (!f->left)
        next_field(f);
    return n;
}

static int put_binary(struct fields *f, const char *bytes, size_t len, struct buf *out,
                      struct err *err)
{
    size_t i = 0;
    int rc = 0;

    while (i < len && rc == 0) {
        if (f->expected == NOTHING)
            return err_set(err, EINVAL, "bytes follow the last row of the file");
        if (f->expected == EXTENSION || f->expected == VALUE) {
            i += take_bytes(f, bytes + i, len - i, out);
            continue;
        }
        f->number[f->have++] = (unsigned char)bytes[i++];
        if (f->have == bytes_expected(f))
            rc = take_number(f, out, err);
    }
    return rc;
}

int fields_put(struct fields *f, const char *bytes, size_t len, struct buf *out, struct err *err)
{
    return f->format == PG_FORMAT_BINARY ? put_binary(f, bytes, len, out, err)
                                         : put_lines(f, bytes, len, out, err);
}

int fields_end(const struct fields *f, struct err *err)
{
    bool between = f->format == PG_FORMAT_BINARY
                       ? !f->have && (f->expected == COUNT || f->expected == NOTHING)
                       : !f->column && !f->begun && !f->quoted;

    return between ? 0
                   : err_set(err, EINVAL, "the file ends in the middle of row %llu",
                             (unsigned long long)f->rows + 1);
}
