# shellcheck shell=bash disable=SC2034
# A second database that is nearly one table: only who cuts it into chunks keeps more than one worker busy.

orders=$(bench_at_scale 600000 20000)
bench_title "a second database: one table of $((4 * orders)) order lines, with a key"
bench_fill_orders "$orders"
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --command="DROP TABLE orders" \
	--command="ALTER TABLE lineitem ADD PRIMARY KEY (orderkey, linenumber)"
bench_settle
bench_payload=$(bench_table_size lineitem)

bench_second_peers
bench_contender direct asofs_copy --direct
bench_compare_second direct 1.25
bench_run
