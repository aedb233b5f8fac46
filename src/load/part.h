/*
 * The bytes of one part of a flat file as COPY … FROM wants them: the binary form has its header in
 * every part and its trailer behind, and columns that the table computes itself are left out
 * (load/fields.h). A part whose checksum is another than it should be has no end: it is an error,
 * PART_DAMAGED.
 */
#ifndef ASOFS_LOAD_PART_H
#define ASOFS_LOAD_PART_H

#include "load/fields.h"

#define PART_DAMAGED                                                                               \
    "what is read here is not what was extracted: its checksum is another; something changed the " \
    "file, or the disk is damaged"

struct part_config {
    int fd; /* borrowed */
    uint64_t offset, len;
    uint64_t checksum; /* XXH3 of its bytes in the file; 0: not known */
    enum pg_format format;
    bool first, last; /* of its flat file */
    const char *drop; /* a digit for each column: 1, it is left out; "": none is */
};

struct part;

struct part *part_open(const struct part_config *config);
void part_close(struct part *p);

/* As pg_copyin's `read` wants it (pg/copyin.h); p is its arg. */
int64_t part_read(void *p, char *bytes, size_t room, uint64_t at, struct err *err);

/* How far it has come, of `len`; and the newlines so far, unless the form is binary. */
uint64_t part_done(const struct part *p);
uint64_t part_lines(const struct part *p);

#endif
