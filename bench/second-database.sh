# shellcheck shell=bash disable=SC2154,SC2034
# A second database filled from the first, on the same server: tables with keys and indexes, every contender ending with the
# same rows, the indexes built and the tables analyzed. The target is made and dropped within each.

orders=$(bench_at_scale 600000 20000)
bench_title "a second database: TPC-H-like order lines, four for each of $orders orders, with keys and an index each"
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 <<END
CREATE TABLE orders AS SELECT o AS orderkey, o % 150000 AS custkey, 'O'::char(1) AS status,
	(o * 37 % 50000000)::numeric(15, 2) / 100 AS totalprice, date '2020-01-01' + o % 2400 AS orderdate,
	(o % 5 + 1) || '-PRIORITY' AS priority, 'Clerk#' || o % 1000 AS clerk, left(repeat(md5(o::text), 2), 49) AS remark
	FROM generate_series(1, $orders) o;
CREATE TABLE lineitem AS SELECT o AS orderkey, o * 7 % 200000 AS partkey, o % 10000 AS suppkey, n AS linenumber,
	(o % 50 + 1)::numeric(15, 2) AS quantity, (o * 31 % 10000000)::numeric(15, 2) / 100 AS extendedprice,
	(o % 11)::numeric(15, 2) / 100 AS discount, (n % 9)::numeric(15, 2) / 100 AS tax, 'N'::char(1) AS returnflag,
	'O'::char(1) AS linestatus, date '2020-01-01' + o % 2400 AS shipdate, date '2020-02-01' + o % 2400 AS commitdate,
	date '2020-03-01' + o % 2400 AS receiptdate, 'DELIVER IN PERSON'::char(25) AS shipinstruct,
	'TRUCK'::char(10) AS shipmode, left(md5((o * n)::text), 27) AS remark
	FROM generate_series(1, $orders) o, generate_series(1, 4) n;
ALTER TABLE orders ADD PRIMARY KEY (orderkey);
ALTER TABLE lineitem ADD PRIMARY KEY (orderkey, linenumber);
CREATE INDEX ON orders (custkey);
CREATE INDEX ON lineitem (partkey);
VACUUM (FREEZE, ANALYZE);
CHECKPOINT;
END
bench_payload=$(psql --no-psqlrc --quiet --tuples-only --no-align \
	--command="SELECT pg_table_size('orders') + pg_table_size('lineitem')")

dump_and_restore() {
	createdb target
	pg_dump --format=directory --jobs="$bench_jobs" --compress=0 --file="$1"
	pg_restore --jobs="$bench_jobs" --dbname=target "$1"
	vacuumdb --quiet --analyze-only --jobs="$bench_jobs" target
	dropdb target
}

# The definitions first, as for a target that is filled again and again.
asofs_copy() {
	local out=${*: -1}
	createdb target
	pg_dump --schema-only | psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 target >/dev/null
	"$bench_asofs" copy -q --name=bench --jobs="$bench_jobs" --load-jobs="$bench_jobs" --spool="$bench_dir" "${@:1:$# - 1}" \
		"$PGDATABASE" target
	dropdb target
	mkdir -p "$out"
}

asofs_copy_kept() {
	asofs_copy "--format=$1" "--keep=$2" "$2"
}

bench_contender pg_dump dump_and_restore
bench_contender files-csv asofs_copy_kept csv
bench_contender files-binary asofs_copy_kept binary
bench_contender spool-csv asofs_copy --format=csv
bench_contender spool-binary asofs_copy --format=binary
bench_compare files-csv pg_dump 0.87
bench_compare files-binary pg_dump 0.95
bench_compare spool-csv pg_dump
bench_compare spool-binary pg_dump
if command -v pgcopydb >/dev/null; then
	bench_contender pgcopydb pgcopydb_clone
	bench_compare files-binary pgcopydb
	bench_compare spool-binary pgcopydb
else
	echo 'pgcopydb is not installed: left out'
fi
bench_run
