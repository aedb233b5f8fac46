# shellcheck shell=bash
# Tables whose extraction waits, at the server, until the test lets it go on: their row filter is a function that
# returns once a file is there. Source after common.sh.
#
# free_1, free_2    no gate, and the largest, so they come first
# t_1 … t_6         each behind a gate of its own, in this order

gates=(t_1 t_2 t_3 t_4 t_5 t_6)

gate_fill() {
	local table rows=7000
	mkdir -m 0755 "$TMPDIR/gates"
	psql_do <<-'SQL'
		CREATE FUNCTION public.gate(path text) RETURNS bool LANGUAGE plpgsql AS $$
			BEGIN
				WHILE (pg_stat_file(path, true)).size IS NULL LOOP
					PERFORM pg_sleep(0.01);
				END LOOP;
				RETURN true;
			END $$;
		CREATE TABLE free_1 AS SELECT i, repeat('x', 50) AS x FROM generate_series(1, 20000) i;
		CREATE TABLE free_2 AS SELECT i, repeat('y', 50) AS x FROM generate_series(1, 19000) i;
	SQL
	for table in "${gates[@]}"; do
		sql "CREATE TABLE $table AS SELECT i, '$table' AS x FROM generate_series(1, $((rows -= 1000))) i"
	done
	sql 'VACUUM ANALYZE'
	gate_list >"$TMPDIR/gated"
}

gate_list() {
	local table
	echo 'public.free_*'
	for table in "${gates[@]}"; do
		echo "public.$table WHERE public.gate('$TMPDIR/gates/$table')"
	done
}

# gate_mount DIR [option...]: behind closed gates; returns because of --nowait.
gate_mount() {
	local dir=$1
	shift
	rm -f "$TMPDIR"/gates/*
	asofs_mount "$dir" --nowait --tables-from="$TMPDIR/gated" "$@"
}

gate_open() {
	local table
	for table; do touch "$TMPDIR/gates/$table"; done
}

gate_open_all() { gate_open "${gates[@]}"; }

# gate_state DIR TABLE: as .asofs/tables.csv tells it.
gate_state() { awk -F, -v table="$2" '$2 == table { print $5 }' "$1/.asofs/tables.csv"; }

gate_wait_state() { wait_until "[[ \$(gate_state '$1' '$2') == $3 ]]" "${4:-$patience}"; }

# Commands that have to be answered while others wait: a hang would last for ever.
at_once() {
	local status=0
	timeout 300 "$@" || status=$?
	((status != 124)) || fail "not answered at once: $*"
	return "$status"
}
