# shellcheck shell=bash disable=SC2154,SC2034
# The freeze of a live base by itself: the call, with few and with very many files, and the memory that asofs takes; from the
# freeze to the first row of a small table, with some log to replay:
#
#   asofs      asofs mount STORE DIR --latest, then head
#   recovery   a plain copy of a freeze with its log, made before the clock runs: pg_ctl start with fsync=off, COPY, head
#   synced     the same with fsync=on
#
# The server is at rest meanwhile, so all show the same moment and replay the same log. asofs' private server has fsync=off, too.

# shellcheck source=bench/live.sh
. "$bench_home/live.sh"

live_files=$(bench_at_scale 100000 5000)

# --- the call ---

# N: the calls of that many freezes, in ms, each after a page was written.
live_time_calls() {
	python3 - "$live_served" "$1" <<-'END'
		import json, os, sys, time
		served = sys.argv[1]
		for i in range(int(sys.argv[2])):
		    with open(served + "/base/1/9000000", "wb") as f:
		        f.write(bytes([i]) * 8192)
		    time.sleep(0.03)
		    n = json.load(open(served + "/.asofs/status.json"))["next"]
		    begin = time.perf_counter()
		    os.mkdir(f"{served}/.asofs/frozen/{n}")
		    print((time.perf_counter() - begin) * 1e3)
	END
}

live_memory() {
	awk '/^VmRSS/ { print $2 / 1024 }' "/proc/$live_pid/status"
}

# FILES: so many more than the cluster has.
live_calls_of() {
	local begin memory files
	cp -a "$bench_dir/base" "$live_data"
	if (($1 > 0)); then (cd "$live_data/base/1" && seq -f '8%06g' "$1" | server_as_owner xargs touch); fi
	files=$(find "$live_data" -type f | wc -l)
	begin=${EPOCHREALTIME/[.,]/}
	live_serve
	bench_figure "$files files: served after" "$(((${EPOCHREALTIME/[.,]/} - begin) / 1000))e-3" s
	memory=$(live_memory)
	live_time_calls 41 >"$live_calls"
	bench_figure "$files files: a freeze, the whole call" "$(live_median <"$live_calls")" ms 1
	bench_figure "$files files: the longest of 41" "$(sort -g "$live_calls" | tail -n 1)" ms
	bench_figure "$files files: memory of asofs, before" "$memory" MiB
	bench_figure "$files files: memory of asofs, after 41 freezes" "$(live_memory)" MiB
	live_hide_live
}

# --- from the freeze to the first row ---

live_first_asofs() {
	"$bench_asofs" mount -q "$live_store" "$bench_dir/mnt" --latest --database="$PGDATABASE" --tables=public.one --spool="$bench_dir"
	head -n 2 "$bench_dir/mnt/public/one.csv"
}

live_first_recovery() {
	live_first_server off
}

live_first_synced() {
	live_first_server on
}

# FSYNC: not on the socket of the server that goes on.
live_first_server() {
	live_start "$live_of/image" "fsync=$1" restart_after_crash=off "unix_socket_directories=$live_of/image"
	PGHOST=$live_of/image psql --no-psqlrc --quiet --command='COPY one TO STDOUT (FORMAT csv, HEADER)' >"$live_of/copied.csv"
	head -n 2 "$live_of/copied.csv"
}

live_first_prepare() {
	local number
	if [[ $1 == asofs ]]; then return; fi
	number=$("$bench_asofs" live "$live_store" freeze)
	cp -a "$live_served/.asofs/frozen/$number" "$live_of/image"
	chmod -R u+w "$live_of/image"   # the log that was cut for it
	"$bench_asofs" live "$live_store" drop "$number" >/dev/null 2>&1 || true
}

live_first_end() {
	if [[ $1 == asofs ]]; then
		umount "$bench_dir/mnt"
		while [[ -n $(ls -A "$live_store/view") ]]; do sleep 0.02; done
	else
		bench_undo_last
		rm -rf "$live_of/image"
	fi
}

# ROUND KEY: the server rests, so all begin with the same pages, and with the same log to replay.
live_first() {
	local begin end
	live_first_prepare "$2"
	begin=${EPOCHREALTIME/[.,]/}
	"live_first_$2" >"$bench_dir/run.log" 2>&1 || {
		tail -n 15 "$bench_dir/run.log" "$bench_dir/start.log" >&2
		fail "$2 failed"
	}
	end=${EPOCHREALTIME/[.,]/}
	grep -qx '1,row 1' "$bench_dir/run.log" || fail "$2 shows something else: $(<"$bench_dir/run.log")"
	if (($1 > 0)); then echo "$1|$2|$((end - begin))e-6" >>"$bench_records"; fi
	live_first_end "$2"
}

live_first_rows() {
	local round key log
	bench_begin "$bench_name"
	bench_keys=(asofs recovery synced)
	bench_compare asofs recovery 0.5
	bench_compare asofs synced 0.5
	live_show_live
	live_start "$live_shown" checkpoint_timeout=1h max_wal_size=4GB
	live_psql "CREATE TABLE one AS SELECT i, 'row ' || i AS what FROM generate_series(1, 1000) i"
	live_psql CHECKPOINT
	live_pgbench 2
	log=$(live_psql "SELECT round(pg_wal_lsn_diff(pg_current_wal_lsn(), redo_lsn) / 1048576) FROM pg_control_checkpoint()")
	for ((round = 0; round <= bench_rounds; round++)); do
		for key in "${bench_keys[@]}"; do live_first "$round" "$key"; done
	done
	bench_report_values s less "freeze to first row, $log MB of log"
	live_time_command
	bench_undo_last
	live_hide_live
}

live_time_command() {
	local round begin
	: >"$live_calls"
	for ((round = 0; round <= bench_rounds; round++)); do
		begin=${EPOCHREALTIME/[.,]/}
		"$bench_asofs" live "$live_store" freeze >/dev/null
		echo $((${EPOCHREALTIME/[.,]/} - begin)) >>"$live_calls"
	done
	bench_figure 'asofs live STORE freeze, with its log' "$(live_median <"$live_calls")e-3" ms
}

bench_title "a live base of pgbench's scale $live_accounts: its freezes; $bench_rounds rounds"
live_cluster
live_calls_of 0
live_calls_of "$live_files"
echo
live_first_rows
