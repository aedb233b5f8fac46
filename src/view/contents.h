/*
 * What the flat files of a view hold, as its .asofs/ says: columns and their types, and where a file
 * may be cut into parts; of a mount, or of a directory that `asofs extract` made. For whoever loads
 * them into a database again. It can be somebody else's, so nothing of it is true before a server
 * has said so.
 */
#ifndef ASOFS_VIEW_CONTENTS_H
#define ASOFS_VIEW_CONTENTS_H

#include "pg/copysql.h"
#include "view/inspect.h"

struct contents_column {
    char *name, *type, *inside; /* pg_column.type_name, inside */
    bool generated;
};

struct contents_part {
    uint64_t offset, bytes, checksum;
};

struct contents_table { /* of inspected.tables, in its order */
    struct contents_column *columns;
    size_t ncolumns;
    struct contents_part *parts; /* none until the file is complete, or when it is empty */
    size_t nparts;
};

struct contents {
    enum pg_format format;
    char *encoding, *timezone, *lc_monetary, *lsn;
    char *database; /* of the source */
    struct contents_table *tables;
    size_t ntables;
    size_t at; /* private */
};

/* Of a view of one database. -EINVAL: something does not fit together, named. */
int contents_read(struct contents *c, const char *dir, const struct inspected *i, struct err *err);
void contents_free(struct contents *c);

#endif
