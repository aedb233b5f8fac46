# shellcheck shell=bash
# One table that is nearly the whole database: only who cuts it into chunks keeps more than one worker busy.

scale=$(bench_at_scale 100 5)
bench_title "pgbench_accounts at scale $scale, $((scale / 10)).$((scale % 10)) million rows"
pgbench --initialize --init-steps=dtgv --scale="$scale" --quiet 2>/dev/null
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --command="VACUUM (FREEZE, ANALYZE)" --command="CHECKPOINT"

bench_extract_contenders
bench_extract_targets 1.25 1.5
bench_run
