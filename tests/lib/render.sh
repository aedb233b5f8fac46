# shellcheck shell=bash
# Descriptions of tables for tests/model/renderfile, out of the catalog. Source after common.sh.

# shellcheck disable=SC2034 # for the cases
RENDERFILE=$BUILD/tests/model/renderfile

# The script of psql that prints the description of the table that :t names. Every line has eight fields.
describe_script() {
	cat <<-'SQL'
		SET enable_indexscan = on; -- which COPY is to do without
		COPY (SELECT 'timezone', current_setting('TimeZone'), '', '', '', '', '', '') TO STDOUT;
		COPY (
			WITH RECURSIVE leaf AS (
				SELECT oid FROM pg_class WHERE oid = :'t'::regclass AND relkind IN ('r', 'm')
				UNION SELECT relid FROM pg_partition_tree(:'t') WHERE isleaf
			), need (oid) AS (
				SELECT atttypid FROM pg_attribute JOIN leaf ON attrelid = leaf.oid
					WHERE attnum > 0 AND NOT attisdropped
				UNION SELECT x.oid FROM need n JOIN pg_type t ON t.oid = n.oid CROSS JOIN LATERAL (
					SELECT t.typelem AS oid WHERE t.typelem <> 0
					UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
					UNION ALL SELECT rngsubtype FROM pg_range WHERE rngtypid = t.oid
					UNION ALL SELECT rngtypid FROM pg_range WHERE rngmultitypid = t.oid
					UNION ALL SELECT atttypid FROM pg_attribute
						WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped) x
			), line AS (
				SELECT t.oid AS type, 0 AS kind, 0::bigint AS n, 'type' AS a, t.oid::text AS b,
					t.typtype::text AS c, t.typlen::text AS d, t.typalign::text AS e, t.typdelim::text AS f,
					(t.typsubscript = 'array_subscript_handler'::regproc AND t.typlen = -1)::text AS g,
					(CASE t.typtype WHEN 'd' THEN t.typbasetype WHEN 'r' THEN r.rngsubtype
						WHEN 'm' THEN m.rngtypid ELSE t.typelem END)::text AS h
					FROM need JOIN pg_type t ON t.oid = need.oid
					LEFT JOIN pg_range r ON r.rngtypid = t.oid LEFT JOIN pg_range m ON m.rngmultitypid = t.oid
				UNION ALL SELECT enumtypid, 1, e.oid::bigint, 'label', e.oid::text, enumlabel, '', '', '', '', ''
					FROM pg_enum e JOIN need ON need.oid = enumtypid
				UNION ALL SELECT t.oid, 1, attnum, 'field', (CASE WHEN attisdropped THEN 0 ELSE atttypid END)::text,
					attlen::text, attalign::text, '', '', '', ''
					FROM need JOIN pg_type t ON t.oid = need.oid AND t.typtype = 'c'
					JOIN pg_attribute ON attrelid = t.typrelid AND attnum > 0
			) SELECT a, b, c, d, e, f, g, h FROM line ORDER BY type, kind, n
		) TO STDOUT;
		COPY (SELECT 'column', attname, '', '', '', '', '', '' FROM pg_attribute
			WHERE attrelid = :'t'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum) TO STDOUT;
		COPY (
			WITH leaf AS (
				SELECT oid, reltoastrelid FROM pg_class WHERE oid = :'t'::regclass AND relkind IN ('r', 'm')
				UNION SELECT relid, reltoastrelid FROM pg_partition_tree(:'t') JOIN pg_class ON oid = relid
					WHERE isleaf
			), line AS (
				SELECT oid AS leaf, 0 AS kind, 0 AS n, 'relation' AS a, pg_relation_filepath(oid) AS b,
					pg_relation_filepath(reltoastrelid) AS c, '' AS d, '' AS e FROM leaf
				UNION ALL SELECT leaf.oid, 1, attnum, 'attribute',
					(CASE WHEN attisdropped THEN 0 ELSE atttypid END)::text, attlen::text, attalign::text,
					CASE WHEN atthasmissing THEN array_to_string(attmissingval, '') END
					FROM leaf JOIN pg_attribute ON attrelid = leaf.oid AND attnum > 0
				UNION ALL SELECT leaf.oid, 2, p.attnum, 'wanted', (l.attnum - 1)::text, '', '', ''
					FROM leaf JOIN pg_attribute p ON p.attrelid = :'t'::regclass AND p.attnum > 0 AND NOT p.attisdropped
					JOIN pg_attribute l ON l.attrelid = leaf.oid AND l.attname = p.attname AND l.attnum > 0
			) SELECT a, b, c, d, e, '', '', '' FROM line ORDER BY leaf, kind, n
		) TO STDOUT;
		RESET enable_indexscan;
	SQL
}

# What pg_control says, of the data directory DIR, which is shut down.
describe_control() {
	LC_ALL=C as_postgres pg_controldata "$1" | awk -F ': *' -v OFS='\t' '
		/ NextXID:/ { xid = $2 ":" $3 }
		/ oldestXID:/ { oldest = $2 }
		/ NextMultiXactId:/ { multi = $2 }
		/ oldestMultiXid:/ { oldest_multi = $2 }
		/ NextMultiOffset:/ { offset = $2 }
		/^Data page checksum version/ { checksums = $2 }
		END {
			print "limits", xid, oldest, multi, oldest_multi, offset
			print "checksums", checksums
		}'
}
