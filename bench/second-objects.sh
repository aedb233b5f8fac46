# shellcheck shell=bash disable=SC2154,SC2034
# Flat files as large objects of a second database: written, against tables without indexes; read back, against COPY.

orders=$(bench_at_scale 600000 20000)
bench_title "large objects: order lines, four for each of $orders orders, csv"
bench_fill_orders "$orders"
bench_settle
bench_payload=$(bench_table_size orders lineitem)

# A database that stays, to be read from.
createdb objects
"$bench_asofs" copy -q --name=bench --large-objects=target --spool="$bench_dir" "$PGDATABASE" objects

asofs_read_objects() {
	"$bench_asofs" extract -q --large-objects --name=bench objects "$1"
}

bench_contender objects asofs_copy --format=csv --large-objects=target
bench_contender tables asofs_copy --format=csv
bench_contender read-objects asofs_read_objects
bench_contender read-tables psql_copy csv
bench_compare objects tables 0.77
bench_compare read-objects read-tables 0.5
bench_same read-objects read-tables
bench_run
dropdb objects
