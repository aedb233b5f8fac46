/*
 * Copies whose flat files are large objects of a database: one object for each chunk, and one for
 * each file of .asofs/. Two more tables of schema asofs (record.h) find them:
 *
 *   asofs.flat_file  (view, schema, name, part, oid, bytes, rows, xxh3): the objects of the copies
 *                    that are current; schema "" and name "tables.csv" is .asofs/tables.csv
 *   asofs.object     those of a copy that is not finished yet (run: which), or that is over (run 0):
 *                    nobody is told of them, and they are unlinked
 *
 * An object and its row are written in one transaction, and go in one; so every object has a row, in
 * a column of type oid, which is where vacuumlo looks. Two writers never write into one object.
 *
 * A name is that of tables or of large objects, never of both: asofs.view has one label for it.
 */
#ifndef ASOFS_PG_OBJECTS_H
#define ASOFS_PG_OBJECTS_H

#include <stddef.h>

#include "pg/conn.h"
#include "pg/publish.h"

struct pg_object {
    char *schema, *name; /* of the table in the source; "" and a file of .asofs/ */
    uint32_t part, oid;
    uint64_t bytes, rows;
    char *checksum; /* XXH3 of the object's bytes in hexadecimal */
};

/* ---- for the coordinator, which holds the name (pg_record_prepare) ---- */

/*
 * The two tables are there, and may be written. -EEXIST: the name is that of a copy that fills
 * tables. *compatible: this server lets everybody read and write every large object.
 */
int pg_objects_prepare(struct pg_conn *conn, const char *name, bool *compatible, struct err *err);

/* For a copy that fills tables. -EEXIST: the name is that of large objects. */
int pg_objects_refuse(struct pg_conn *conn, const char *name, struct err *err);

/*
 * What is in asofs.object of this name is unlinked, in transactions of some objects each: a server
 * locks each of them. forget: the list of the copy before (asofs."table") goes, too.
 */
int pg_objects_sweep(struct pg_conn *conn, const char *name, bool forget, struct err *err);

/*
 * The objects of this run become those of the name, and the label says so, in one transaction; who
 * began with asofs.view in his transaction is waited for, as in publish.h. Those of the copy before
 * are left to pg_objects_sweep.
 */
int pg_objects_publish(struct pg_conn *conn, const struct pg_label *label, int64_t run,
                       int64_t timeout_ms, struct err *err);

/* ---- in a transaction of pg_write_begin (copyin.h) ---- */

int pg_objects_add(struct pg_conn *conn, const char *name, int64_t run, const struct pg_object *o,
                   struct err *err);

/* One that was added: its bytes, rows and checksum (the caller's to free). -ESTALE: there is none. A
 * transaction of its own. */
int pg_objects_find(struct pg_conn *conn, const char *name, int64_t run, struct pg_object *o,
                    struct err *err);

/* ---- for who reads ---- */

struct pg_object_list {
    struct pg_object *objects; /* by schema, name and part */
    size_t n;
    int64_t moment_ns; /* since 1970; 0: not known */
};

/* A transaction begins, with a snapshot in which the objects stay what they are, and ends with
 * pg_objects_end. name: NULL for the only one there is. -ENOENT: there is no such copy here; -EINVAL:
 * several. */
int pg_objects_begin(struct pg_conn *conn, const char *name, struct pg_object_list *l,
                     struct err *err);
void pg_objects_end(struct pg_conn *conn);
void pg_objects_free(struct pg_object_list *l);

#endif
