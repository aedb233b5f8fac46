# shellcheck shell=bash
# A database whose extraction takes long enough to do something to it meanwhile. Source after common.sh.

# big: about 120 MB, the first to be extracted; small_N: extracted after it.
slow_fill() {
	psql_do <<-'SQL'
		CREATE TABLE big AS SELECT i AS id, repeat(md5(i::text), 12) AS filler FROM generate_series(1, 300000) i;
		CREATE TABLE small_1 AS SELECT i, 'one' AS t FROM generate_series(1, 3000) i;
		CREATE TABLE small_2 AS SELECT i, 'two' AS t FROM generate_series(1, 3000) i;
		CREATE TABLE small_3 AS SELECT i, 'three' AS t FROM generate_series(1, 3000) i;
	SQL
	local table
	mkdir -p "$TMPDIR/want"
	for table in big small_1 small_2 small_3; do
		copy_out "SELECT * FROM public.$table" >"$TMPDIR/want/$table.csv"
	done
}

# slow_check DIR: all of it is there, as slow_fill made it.
slow_check() {
	local table
	for table in big small_1 small_2 small_3; do
		same_files "$1/public/$table.csv" "$TMPDIR/want/$table.csv" || fail "$table differs"
	done
}

# asofs_begin, and then wait until workers are in the middle of COPY.
slow_begin() {
	asofs_begin "$@"
	begun_until '[[ -n $(copying_backends) ]]'
}
