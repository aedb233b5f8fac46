/* What intosource.c and publishinto.c call things in their queries; $1 is the name of the copy. */
#ifndef ASOFS_PG_INTONAMES_H
#define ASOFS_PG_INTONAMES_H

#define INTO_SCHEMA "('asofs_' || $1::text)"
#define INTO_SCHEMA_COMMENT "('asofs: copy ' || $1::text)"
#define INTO_TABLE_COMMENT "('asofs: of the copy ' || $1::text)"

#endif
