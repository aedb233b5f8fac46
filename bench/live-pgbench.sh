# shellcheck shell=bash disable=SC2154,SC2034
# A server on a live base, and what its freezes cost it: pgbench (TPC-B-like, 4 clients), transactions a second and CPU. A
# contender is WAY-FREEZES; the ways are those of live.sh.
#
#   none, one as the clock begins, eight spread over the run, at-once: eight as the clock begins; of btrfs, snapshots. They stay
#   until the run is over
#   plain-held: none, but a transaction stays open (repeatable read), as an export that takes its time holds one
#
# Before the clock runs, all files are read once, a second of transactions is spent, and a checkpoint is over. CPU is that of all
# processes of the server and of asofs, until the checkpoint at the end is over, each transaction; that of kernel threads (of the
# loop device, of btrfs) is in none. A freeze here is mkdir below .asofs/frozen; live-freeze has the command that takes the log,
# too.

# shellcheck source=bench/live.sh
. "$bench_home/live.sh"

live_rounds=$bench_rounds
live_seconds=${bench_seconds:-8}
if [[ $bench_scale == small ]]; then live_rounds=1 live_seconds=${bench_seconds:-1}; fi
live_cpus=$bench_dir/live-cpu.records
live_sizes=$bench_dir/live-size.records

live_contenders() {
	local key
	for key in plain-none plain-held live-none live-one live-eight live-at-once inside-none inside-one; do bench_keys+=("$key"); done
	bench_compare live-none plain-none 0.97
	bench_compare live-one plain-none 0.95
	bench_compare live-eight plain-none 0.9
	bench_compare live-at-once live-one 0.952   # 1.05 times the time at most
	bench_compare inside-none plain-none 0.8
	bench_compare inside-one plain-none 0.8
	bench_compare live-one plain-held
	if pages_systems 2>/dev/null | grep -qx btrfs; then
		for key in none one eight; do
			bench_keys+=("btrfs-$key")
			bench_compare "live-$key" "btrfs-$key" 1
		done
	else
		echo 'no btrfs or no loop device here: left out' >&2
	fi
}

# --- freezes ---

live_freeze_live() {
	mkdir "$live_served/.asofs/frozen/$(live_status next)"
	live_status freeze_us >>"$live_calls"
}

live_freeze_inside() {
	live_freeze_live
}

live_freeze_btrfs() {
	btrfs subvolume snapshot -r "$live_shown" "$bench_dir/btrfs/frozen.$1" >/dev/null
}

# WAY NONE|ONE|EIGHT…: those of the beginning.
live_freeze_first() {
	local n
	case $2 in
	one | eight) "live_freeze_$1" 1 ;;
	at-once) for ((n = 1; n <= 8; n++)); do "live_freeze_$1" "$n"; done ;;
	esac
}

# While pgbench runs.
live_freeze_more() {
	local n
	[[ $2 == eight ]] || return 0
	for ((n = 2; n <= 8; n++)); do
		sleep "$(awk -v s="$live_seconds" 'BEGIN { print s / 8 }')"
		"live_freeze_$1" "$n"
	done
}

# --- the runs ---

live_hold() {
	coproc live_holder { exec env PGHOST="$bench_dir/socket" psql --no-psqlrc --quiet --tuples-only --no-align; }
	echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT sum(abalance) FROM pgbench_accounts;' >&"${live_holder[1]}"
	read -r -t 60 -u "${live_holder[0]}" _
}

live_let_go() {
	local pid=$live_holder_PID
	echo 'COMMIT' >&"${live_holder[1]}"
	eval "exec ${live_holder[1]}>&-"
	wait "$pid" || true
}

live_sums_hold() {
	local held
	held=$(live_psql 'SELECT (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches) AND
		(SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(abalance) FROM pgbench_accounts)')
	[[ $held == t ]] || fail "sums that pgbench keeps do not hold after $1"
}

# ROUND KEY TICKS
live_note() {
	awk -v key="$1|$2" '/^tps/ { print key "|" $3 }' "$bench_dir/pgbench.log" >>"$bench_records"
	awk -v key="$1|$2" -v ticks="$3" -v hz="$(getconf CLK_TCK)" '/actually processed/ {
		print key "|" ticks / hz * 1000 / ($NF + 0) }' "$bench_dir/pgbench.log" >>"$live_cpus"
	echo "$1|$2|$(live_psql "SELECT round(sum(pg_relation_size(oid)) / 1048576, 1) FROM pg_class
		WHERE relname IN ('pgbench_accounts', 'pgbench_branches', 'pgbench_tellers')")" >>"$live_sizes"
}

# ROUND KEY
live_run() {
	local way=${2%%-*} freezes=${2#*-} ticks
	"live_show_$way"
	live_start "$live_shown"
	find "$live_shown/" -type f -exec cat {} + >/dev/null
	live_pgbench 1
	live_psql CHECKPOINT
	sync
	if [[ $freezes == held ]]; then live_hold; fi
	ticks=$(live_ticks)
	live_freeze_first "$way" "$freezes"
	live_pgbench "$live_seconds" "$bench_dir/pgbench.log" &
	live_freeze_more "$way" "$freezes"
	wait $! || fail 'pgbench failed'
	if [[ $freezes == held ]]; then live_let_go; fi
	live_psql CHECKPOINT
	live_note "$1" "$2" $(($(live_ticks) - ticks))
	live_sums_hold "$2"
	bench_undo_last
	"live_hide_$way"
	pages_settle
}

live_runs() {
	local round key
	bench_title "pgbench, scale $live_accounts, shared_buffers $live_buffers, max_wal_size 128MB, synchronous_commit $bench_commits," \
		"4 clients, $live_seconds s each; $live_rounds rounds"
	live_contenders
	live_cluster
	if [[ " ${bench_keys[*]} " == *' btrfs-'* ]]; then
		live_btrfs
	fi
	: >"$live_cpus"
	: >"$live_sizes"
	: >"$live_calls"
	for ((round = 1; round <= live_rounds; round++)); do
		for key in "${bench_keys[@]}"; do live_run "$round" "$key"; done
	done
	bench_report_values tps more 'transactions a second'
	live_report_costs
}

# The image has room for a copy, and for what eight snapshots keep of it.
live_btrfs() {
	pages_base=$bench_dir/base
	pages_btrfs_create $((live_accounts * 60 << 20))
	btrfs subvolume delete --commit-after "$bench_dir/btrfs/base" >/dev/null
}

live_report_costs() {
	local comparison comparisons=("${bench_comparisons[@]}")
	bench_comparisons=()
	for comparison in "${comparisons[@]}"; do
		if [[ $comparison == live-*'|plain-none|'* ]]; then comparison=${comparison%|*}'|0.909'; else comparison=${comparison%|*}'|'; fi
		bench_comparisons+=("$comparison")   # 1.1 times the CPU at most
	done
	echo
	bench_records=$live_cpus
	bench_report_values ms less 'CPU a transaction'
	echo
	for comparison in "${bench_keys[@]}"; do
		bench_figure "$comparison: tables that are updated, afterwards" \
			"$(awk -F '|' -v key="$comparison" '$2 == key { print $3 }' "$live_sizes" | live_median)" MB
	done
	bench_figure "a freeze while pgbench runs, within asofs ($(wc -l <"$live_calls") of them)" "$(live_median <"$live_calls")e-3" ms 1
}

live_runs
