# shellcheck shell=bash
# Order lines as in TPC-H: numbers, dates, money and short texts, one huge table beside its orders.

orders=$(bench_at_scale 1500000 50000)
bench_title "TPC-H-like order lines, four for each of $orders orders"
bench_fill_orders "$orders"
bench_settle

bench_extract_contenders
bench_contender asofs-read asofs_mount_and_read csv
bench_extract_targets 0.9 1.0
bench_compare asofs-read pg_dump
if command -v pgcopydb >/dev/null; then
	bench_contender pgcopydb pgcopydb_clone
	bench_compare asofs-csv pgcopydb
else
	echo 'pgcopydb is not installed: left out'
fi
bench_run
