/*
 * Types: what a value's bytes mean, and how it is written, byte for byte as the output function of
 * PostgreSQL does in a session of pg/conn.c (DateStyle ISO, IntervalStyle postgres, bytea_output hex,
 * extra_float_digits 3, lc_monetary as it is; time zone as struct render_settings says).
 *
 * Built once out of what the catalog says, then read by any number of threads.
 */
#ifndef ASOFS_RENDER_TYPE_H
#define ASOFS_RENDER_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "render/field.h"

struct render_work;

/* A value: of a type of fixed length its bytes; of others what is behind their header, decompressed
 * and put together. At no particular address: see bytes.h. */
struct render_value {
    const char *p;
    size_t len;
};

struct render_type;

/*
 * How a type is written. 0, or -EIO with the fault told (render_fail): the bytes are none that
 * PostgreSQL writes. Whatever they are, nothing outside of them is read.
 */
struct render_ops {
    /* Append the text, without quotes or escapes of the file's format. */
    int (*put)(struct render_work *w, const struct render_type *t, struct render_value v,
               struct out *o);
    /* Its length alone, quicker than put: the same, or the same fault, for every input. NULL: there
     * is no quicker way. */
    int (*length)(struct render_work *w, const struct render_type *t, struct render_value v,
                  size_t *n);
    /* What the text that put appends takes as a field (render_field_length), quicker than that: the same, or
     * the same fault, for every input. 1: there is no quicker way for this value. NULL: nor for any. */
    int (*field)(struct render_work *w, const struct render_type *t, struct render_value v,
                 struct render_style s, size_t *n);
    /* Append that field: the same, or the same fault, as put and render_field_put. 1, NULL: as above, and nothing
     * is appended. */
    int (*put_field)(struct render_work *w, const struct render_type *t, struct render_value v,
                     struct render_style s, struct out *o);
    bool bare; /* the text never needs quotes in CSV, nor escapes in the text format, and is not
                  empty */
    bool verbatim; /* the text is the value's bytes as they are: who has those need not call put */
    bool integer;  /* the value is a signed number of 4 or 8 bytes: the same */
};

struct render_label { /* of an enum; of a reg* type, which prints names of OIDs */
    uint32_t oid;
    const char *text;
};

struct render_field { /* of a row type, dropped ones too */
    const struct render_type *type; /* NULL: dropped */
    int16_t len;                    /* pg_attribute.attlen, .attalign */
    char align;
};

struct render_type {
    uint32_t oid;                 /* of a domain: its own; all else is its base type's */
    const struct render_ops *ops;
    int16_t len;    /* pg_type.typlen: -1 varlena, -2 C string */
    char align;     /* pg_type.typalign */
    char delimiter; /* pg_type.typdelim: between elements of an array of these */
    bool zoned;     /* the text depends on the time zone: of the type or of what is in it */
    const struct render_type *element; /* array: of elements; range: of bounds; multirange: the range */
    const struct render_label *labels; /* in order of oid */
    size_t nlabels;
    const struct render_field *fields;
    size_t nfields;
    uint32_t base; /* oid without domains: what a row, a range and a multirange say in their bytes */
};

/* What pg_type and its relatives say of a type. Texts and arrays are borrowed for the call. */
struct render_type_row {
    uint32_t oid;
    char kind; /* pg_type.typtype: b, c, d, e, r, m */
    int16_t len;
    char align, delimiter;
    bool array;       /* typsubscript is array_subscript_handler, and typlen is -1 */
    uint32_t element; /* array: typelem; domain: typbasetype; range: rngsubtype; multirange: its range */
    const struct render_label *labels; /* in any order */
    size_t nlabels;
    const struct render_field_row {
        uint32_t type; /* 0: dropped */
        int16_t len;
        char align;
    } * fields;
    size_t nfields;
};

struct render_types;

/*
 * All rows at once; those that they refer to are found among them and among the families below, which
 * are known by their numbers: rows of those are not needed, and do no harm. Arrays, ranges, multiranges and
 * reg* types of PostgreSQL's own need rows; a reg* type labels, too: that of 0 at least.
 */
struct render_types *render_types_new(const struct render_type_row *rows, size_t n);
void render_types_free(struct render_types *t); /* NULL is fine */

/* NULL: not covered, or a type in it is not; *oid is the one that is to blame. */
const struct render_type *render_types_find(const struct render_types *t, uint32_t type,
                                            uint32_t *oid);

/* ---- the ops, by family (render/number.c, datetime.c, …): of a type of PostgreSQL itself by its
 * oid, NULL: it is not of the family ---- */

struct render_builtin {
    uint32_t oid;
    int16_t len;
    char align, delimiter;
    bool zoned;
    const struct render_ops *ops;
};

extern const struct render_builtin render_numbers[];   /* oid, xid … too; end with oid 0, as those below */
extern const struct render_builtin render_texts[];     /* text to bpchar, name, "char", json, xml … */
extern const struct render_builtin render_datetimes[];
extern const struct render_builtin render_networks[];  /* inet, cidr, macaddr, macaddr8 */
extern const struct render_builtin render_shapes[];    /* point to circle */
extern const struct render_builtin render_binaries[];  /* bytea, bit, uuid, pg_lsn, tid, vectors, pg_snapshot */
extern const struct render_builtin render_documents[]; /* jsonb, jsonpath */
extern const struct render_builtin render_searches[];  /* tsvector, tsquery */
extern const struct render_builtin render_regs[];      /* regclass and so on: only with their labels */
extern const struct render_ops render_numeric_ops; /* for jsonb, which has no type to give: t is NULL */
extern const struct render_ops render_jsonpath_ops; /* of the documents */
extern const struct render_ops render_array_ops, render_row_ops, render_range_ops,
    render_multirange_ops, render_enum_ops;

#endif
