# shellcheck shell=bash disable=SC2154,SC2034
# How long until the moment is fixed: asofs frozen (locks, snapshot, catalog read twice, plan; --dry-run, so the release is
# in the time too) against pg_dump until it begins to write its first table.

bench_title 'time until frozen, 100 and 5,000 tables'

freeze_schema() {
	psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 >/dev/null <<-END
		CREATE SCHEMA s$1;
		SELECT format('CREATE TABLE s$1.t_%s (id int PRIMARY KEY, a text, b numeric, c timestamptz DEFAULT now())', n)
			FROM generate_series(1, $1) n \gexec
		SELECT format('INSERT INTO s$1.t_%s SELECT i, i FROM generate_series(1, 10) i', n) FROM generate_series(1, $1) n \gexec
	END
}

asofs_freeze() {
	"$bench_asofs" mount --dry-run --tables="s$1.*" "$PGDATABASE" >"$2"
}

pg_dump_first_table() {
	local pid
	pg_dump --format=directory --jobs="$bench_jobs" --compress=0 --schema="s$1" --file="$2" &
	pid=$!
	until compgen -G "$2/*.dat" >/dev/null; do
		kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.002
	done
	kill "$pid"
	wait "$pid" 2>/dev/null || true
}

many=$(bench_at_scale 5000 500)
freeze_schema 100
freeze_schema "$many"
psql --no-psqlrc --quiet --command='VACUUM ANALYZE' --command=CHECKPOINT
for freeze_tables in 100 "$many"; do
	bench_contender "asofs-$freeze_tables" asofs_freeze "$freeze_tables"
	bench_contender "pg_dump-$freeze_tables" pg_dump_first_table "$freeze_tables"
	bench_compare "asofs-$freeze_tables" "pg_dump-$freeze_tables" 5
done
bench_run
