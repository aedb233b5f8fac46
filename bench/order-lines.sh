# shellcheck shell=bash disable=SC2154,SC2034
# Order lines as in TPC-H: numbers, dates, money and short texts, one huge table beside its orders.

orders=$(bench_at_scale 1500000 50000)
bench_title "TPC-H-like order lines, four for each of $orders orders"
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
VACUUM (FREEZE, ANALYZE);
CHECKPOINT;
END

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
