/*
 * A table as a text file describes it: where its pages are, how its rows are laid out, what its types
 * are. Lines of fields that are parted by tabs, escaped as COPY's text format does; \N is null:
 *
 *   limits     next xid as EPOCH:XID, oldest xid, next multixact, oldest, next offset (pg_control)
 *   checksums  version; 0: pages have none
 *   timezone   name
 *   type       oid, typtype, typlen, typalign, typdelim, is it an array, element (type.h)
 *   label      oid, text: of the enum above
 *   field      type or 0, attlen, attalign: of the row type above
 *   column     name: of the file, in order
 *   relation   path of the heap below the data directory, path of its TOAST table or null
 *   attribute  type or 0 where it is dropped, attlen, attalign, missing value: of the relation above
 *   wanted     number of an attribute, from 0: of the relation above, one for each column
 */
#ifndef ASOFS_TESTS_RENDERTABLE_H
#define ASOFS_TESTS_RENDERTABLE_H

#include "render/lines.h"

struct table;

/* Ends the process with 2 and a message where something is wrong; NULL: a type is not covered, and
 * that was said. */
struct table *table_open(const char *data_dir, const char *description, enum render_format format);
void table_close(struct table *t);

struct render_lines *table_lines(struct table *t);

/* For people: "path block 3 item 4: what". */
void table_tell(const struct table *t, const struct render_fault *f);

#endif
