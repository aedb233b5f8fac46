# shellcheck shell=bash
# Many tables of 10 MB each: what a whole database costs, when there are enough tables to keep every worker busy.

tables=$(bench_at_scale 100 10)
bench_title "$tables copies of pgbench_accounts, 100,000 rows each"
pgbench --initialize --init-steps=dtgv --scale=1 --quiet 2>/dev/null
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 >/dev/null <<END
SELECT format('CREATE TABLE accounts_%s AS TABLE pgbench_accounts', n) FROM generate_series(1, $tables) n \gexec
VACUUM (FREEZE, ANALYZE);
CHECKPOINT;
END

bench_extract_contenders
bench_extract_targets 0.9 1.0
bench_run
