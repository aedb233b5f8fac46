# shellcheck shell=bash disable=SC2154,SC2034
# A copy within the source (--into=source) against one into another database of the same server.

orders=$(bench_at_scale 600000 20000)
bench_title "a copy within the source: order lines, four for each of $orders orders"
bench_fill_orders "$orders"
bench_settle
bench_payload=$(bench_table_size orders lineitem)

asofs_copy_inside() {
	"$bench_asofs" copy -q --name=bench --jobs="$bench_jobs" --into=source "$PGDATABASE"
	psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --set=VERBOSITY=terse --command="SET client_min_messages = warning" \
		--command="DROP SCHEMA asofs_bench CASCADE"
	mkdir -p "$1"
}

bench_contender inside asofs_copy_inside
bench_contender direct asofs_copy --direct
bench_contender spool-csv asofs_copy --format=csv
bench_compare inside direct 2
bench_compare inside spool-csv
bench_run
