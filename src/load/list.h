/*
 * The copy-table list as load/ sees it: which flat files there are, what is in them, and which
 * snapshot tables they feed. Made by whoever knows: view/contents.h of a directory, a running
 * extraction of its catalog and plan.
 */
#ifndef ASOFS_LOAD_LIST_H
#define ASOFS_LOAD_LIST_H

#include "pg/copysql.h"

struct load_column {
    char *name;
    char *type;     /* format_type() under an empty search_path */
    char *inside;   /* the types that it is made of in the source (pg/catalog.h); NULL: not known */
    bool generated; /* in the source */
};

struct load_table {
    char *schema, *name;         /* in the source */
    char *target_schema;         /* of the snapshot table; its name is the same */
    char *file;                  /* what it is called in messages: "public/orders.csv" */
    char *filter;                /* only these rows are in it, and are replaced; NULL: all */
    char *checksum;              /* XXH3 of the flat file, 16 hexadecimal digits; NULL: not known */
    struct load_column *columns; /* of the flat file, in its order */
    size_t ncolumns;
    uint32_t nparts; /* of the flat file: the first has the header */
};

struct load_list {
    struct load_table *tables;
    size_t n;
    enum pg_format format;
    char *encoding;    /* of the files */
    char *timezone;    /* of the session that wrote them */
    char *lc_monetary; /* of its server; NULL: not known */
    /* The server and the database that they come from, where these are still there; or NULL. */
    char *system_identifier, *server_started, *database;
    /* The label of the copy. */
    char *source, *moment, *lsn; /* "erp@host"; ISO 8601; "0/1234" */
};

void load_list_init(struct load_list *l);
void load_list_free(struct load_list *l);

#endif
