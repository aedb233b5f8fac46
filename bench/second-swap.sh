# shellcheck shell=bash disable=SC2154
# How long a copy published by swap holds readers up: all the while, sessions read the label and then a table, as planners are
# told to; the longest of their transactions counts, whatever it waited for.

tables=$(bench_at_scale 100 20)
bench_title "readers while $tables tables are exchanged"
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 >/dev/null <<END
SELECT format('CREATE TABLE t%s AS SELECT i AS id, md5(i::text) AS remark FROM generate_series(1, 1000) i', n),
	format('ALTER TABLE t%s ADD PRIMARY KEY (id)', n)
	FROM generate_series(1, $tables) n \gexec
END
bench_settle
createdb target
pg_dump --schema-only | psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 target >/dev/null

swap_once() {
	"$bench_asofs" copy -q --name=bench --jobs="$bench_jobs" --spool="$bench_dir" "$PGDATABASE" target
}

# Copies are published all the while that readers read. Prints milliseconds: of their transactions the longest.
longest_read() {
	local readers
	mkdir "$bench_dir/readers"
	printf '%s\n' '\set n random(1, :tables)' 'BEGIN;' 'SELECT state FROM asofs.view;' 'SELECT count(*) FROM t:n;' 'COMMIT;' \
		>"$bench_dir/readers/script"
	(cd "$bench_dir/readers" && exec pgbench --no-vacuum --client=4 --rate=200 --time=20 --define=tables="$tables" --log \
		--file=script target >log 2>&1) &
	readers=$!
	while kill -0 "$readers" 2>/dev/null; do swap_once; done
	wait "$readers" || { cat "$bench_dir/readers/log" >&2; fail 'readers failed'; }
	cat "$bench_dir"/readers/pgbench_log.* | awk '{ ms = ($3 - $7) / 1000; if (ms > most) most = ms } END { printf "%.1f", most }'
	rm -r "$bench_dir/readers"
}

swap_once
for ((round = 1; round <= bench_rounds; round++)); do
	bench_figure "longest read while tables are exchanged, round $round" "$(longest_read)" ms "$((5 * tables + 50))"
done
dropdb target
