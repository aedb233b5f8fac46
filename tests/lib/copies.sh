# shellcheck shell=bash
# A second database that a view fills, and what it holds. Source after common.sh.
#
#   SECOND   its connection string: another database of the cluster that CONN names

READ_SETTINGS="$COPY_SETTINGS -c statement_timeout=0 -c extra_float_digits=1 -c bytea_output=hex -c jit=off -c quote_all_identifiers=off"

# second_make NAME [option of createdb...]
second_make() {
	local name=$1
	shift
	createdb -h "$CLUSTER" -U postgres -T template0 "$@" "$name"
	SECOND=${CONN/dbname=test/dbname=$name}
}

second_sql() { CONN=$SECOND PGOPTIONS='-c client_min_messages=warning -c statement_timeout=0' sql "$@"; }

# second_copies [option...]: asofs copy, quietly; second_loads DIR [option...]
second_copies() { "$ASOFS" copy -q --spool="$SPOOL" "$@" "$CONN" "$SECOND"; }

second_loads() {
	local dir=$1
	shift
	"$ASOFS" load -q --name=test "$@" "$dir" "$SECOND"
}

# rows_as_text CONN: every row of every table, as text, sorted; a partitioned table is one.
rows_as_text() {
	local CONN=$1
	PGOPTIONS=$READ_SETTINGS psql_do <<-'SQL' >"$TMPDIR/reading.sql"
		SELECT format('COPY (SELECT %L || x::text FROM (SELECT %s FROM %s%I.%I) AS x) TO STDOUT;', c.relname || ' ',
				(SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname COLLATE "C")
					FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
				CASE relkind WHEN 'r' THEN 'ONLY ' ELSE '' END, n.nspname, c.relname)
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND n.nspname !~ '^(pg_|information_schema|asofs)'
	SQL
	PGOPTIONS=$READ_SETTINGS psql_do <"$TMPDIR/reading.sql" | sort
}

# second_is FILE WHAT: it holds these rows, and no others.
second_is() {
	rows_as_text "$SECOND" >"$TMPDIR/second.rows"
	same_files "$1" "$TMPDIR/second.rows" || fail "$2: other rows"
}

# The definitions of everything; not the schema of ours.
second_definitions() {
	pg_dump -s -N asofs -d "$SECOND" | grep -vE '^\\(un)?restrict '
}

# Shadows, old tables, locks, sessions; chunks of a copy that is over.
second_left() {
	second_sql "SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname LIKE 'asofs\_%'
		UNION ALL SELECT 'lock of ' || pid FROM pg_locks WHERE locktype = 'advisory'
		UNION ALL SELECT application_name || ', ' || coalesce(query, '?') FROM pg_stat_activity
			WHERE application_name LIKE 'asofs%'"
	[[ -z $(second_sql "SELECT to_regclass('asofs.chunk')") ]] ||
		second_sql "SELECT count(*) || ' chunks' FROM asofs.chunk HAVING count(*) > 0"
}

second_is_clean() {
	soon '[[ -z $(second_left) ]]' 20 || fail "left in the second database: $(second_left)"
	nothing_left
}

# The state and the name of each copy.
labels() { second_sql "SELECT name || ' ' || state FROM asofs.view ORDER BY 1"; }
