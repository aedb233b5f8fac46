# shellcheck shell=bash disable=SC2154,SC2034
# A PostgreSQL at work on pagefs and on its peers: transactions a second of pgbench (TPC-B-like), the checkpoint behind them, and
# what the difference storage of a view then takes on disk.
#
# Every run has a fresh copy, view, upper directory or snapshot, so that first changes of pages are in what is measured. Buffers
# are smaller than the tables. Before the clock runs, all files are read once and a second of transactions is spent.

# shellcheck source=bench/pages.sh
. "$bench_home/pages.sh"

pages_rounds=$bench_pgbench_rounds
pages_seconds=${bench_seconds:-4}
pages_accounts=$bench_accounts
if [[ $bench_scale == small ]]; then pages_rounds=1 pages_seconds=1 pages_accounts=2; fi
pages_checkpoints=$bench_dir/checkpoints.records
pages_single=$bench_dir/single.records
pages_stored=$bench_dir/stored.records

pages_pgbench() {
	pages_client pgbench --no-vacuum --client=4 --jobs=2 --time="$1" --progress=1 >"$bench_dir/run.log" 2>&1 || {
		tail -n 15 "$bench_dir/run.log" >&2
		fail 'pgbench failed'
	}
}

# ROUND KEY: the whole run, and each second of it. Another user of the machine spoils whole runs of a few seconds, but less
# easily the middle one of all seconds.
pages_note() {
	awk -v key="$1|$2" '/^tps/ { print key "|" $3 }' "$bench_dir/run.log" >>"$bench_records"
	awk -v key="$2" -v n=$((($1 - 1) * pages_seconds)) '/^progress/ && $4 > 0 { print ++n "|" key "|" $4 }' "$bench_dir/run.log" |
		head -n "$pages_seconds" >>"$pages_single"
}

# Nothing is measured on data that went wrong.
pages_sums_hold() {
	local held
	held=$(pages_client psql --no-psqlrc --tuples-only --no-align --command='SELECT
		(SELECT sum(delta) FROM pgbench_history) = (SELECT sum(bbalance) FROM pgbench_branches) AND
		(SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(abalance) FROM pgbench_accounts)')
	[[ $held == t ]] || fail "sums that pgbench keeps do not hold after $1"
}

pages_checkpoint() {
	local begin=${EPOCHREALTIME/[.,]/}
	pages_client psql --no-psqlrc --quiet --command=CHECKPOINT
	echo "$1|$(((${EPOCHREALTIME/[.,]/} - begin) / 1000))e-3" >>"$pages_checkpoints"
}

# ROUND KEY
pages_run() {
	pages_show "$2"
	if [[ $2 == durable-* ]]; then pages_start on; else pages_start off; fi
	find "$pages_shown/" -type f -exec cat {} + >/dev/null
	pages_pgbench 1
	pages_pgbench "$pages_seconds"
	pages_note "$1" "$2"
	pages_checkpoint "$1|$2"
	pages_sums_hold "$2"
	bench_undo_last
	if [[ $2 == *-pagefs ]]; then pages_weigh "$1|$2"; else pages_hide "$2"; fi
}

# Stops the view's pagefs and compares what lies in its directory with the pages it holds.
pages_weigh() {
	local view=$pages_store/view/fresh bytes pages
	pages_unmount
	sync
	bytes=$(du -s --block-size=1 "$view" | cut -f 1)
	pages=$("$bench_asofs" store check "$pages_store" | sed -nE 's/.*stored pages ([0-9]+).*/\1/p')
	[[ -n $pages ]] || fail 'asofs store check did not tell the number of stored pages'
	echo "$1|$bytes|$pages" >>"$pages_stored"
	rm -rf "$view"
	pages_settle
}

pages_print_stored() {
	local key
	for key in private-pagefs durable-pagefs; do
		bench_figure "$key: bytes on disk a byte of stored pages ($(pages_stored_last "$key"))" \
			"$(awk -F '|' -v key="$key" '$2 == key { bytes += $3; pages += $4 } END { print bytes / pages / 8192 }' "$pages_stored")" \
			'' 1.1
	done
}

pages_stored_last() {
	awk -F '|' -v key="$1" '$2 == key { pages = $4 } END { printf "%d pages", pages }' "$pages_stored"
}

bench_title "pgbench, scale $pages_accounts, 4 clients, $pages_seconds s each; $pages_rounds rounds"
pages_contenders 0.8
pages_cluster "$bench_dir/base" "$pages_accounts"
pages_base "$bench_dir/base" $((pages_accounts * 100 << 20))
: >"$pages_checkpoints"
: >"$pages_single"
: >"$pages_stored"
for ((pages_round = 1; pages_round <= pages_rounds; pages_round++)); do
	for pages_key in "${bench_keys[@]}"; do pages_run "$pages_round" "$pages_key"; done
done
bench_report_values tps more 'transactions a second'

echo
bench_records=$pages_single
bench_report_values tps more 'each second of all runs'
echo
bench_records=$pages_checkpoints bench_comparisons=()
bench_compare private-pagefs private-plain
bench_compare durable-pagefs durable-plain
bench_report_values s less 'checkpoint afterwards'
echo
pages_print_stored
pages_base_end
