# shellcheck shell=bash disable=SC2034
# A second database filled from the first, on the same server: tables with keys and indexes, every contender ending with the
# same rows, the indexes built and the tables analyzed.

orders=$(bench_at_scale 600000 20000)
bench_title "a second database: TPC-H-like order lines, four for each of $orders orders, with keys and an index each"
bench_fill_orders "$orders"
bench_index_orders
bench_settle
bench_payload=$(bench_table_size orders lineitem)

asofs_copy_kept() {
	asofs_copy "--format=$1" "--keep=$2" "$2"
}

bench_second_peers
bench_contender files-csv asofs_copy_kept csv
bench_contender files-binary asofs_copy_kept binary
bench_contender spool-csv asofs_copy --format=csv
bench_contender direct asofs_copy --direct
bench_compare_second files-csv 0.87
bench_compare_second files-binary 0.95
bench_compare_second spool-csv
bench_compare_second direct 1.05
bench_run
