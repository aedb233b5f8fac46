# shellcheck shell=bash disable=SC2154,SC2034
# What the benchmarks of a live base (live-*.sh) share: a data directory of pgbench's tables, shown by several, and a server on it.
#
#   plain     on this disk
#   live      the same, served by asofs; the log outside, on the disk
#   inside    the same, with the log in the mount, too
#   btrfs     on a loop device whose image lies on that disk; the log outside, on the disk
#
# All servers have the same settings: fsync=on, no autovacuum, a log that may not grow, so that a checkpoint comes every few
# seconds. live_show_WAY and live_hide_WAY make and unmake one, at $live_shown, with a fresh copy each time.

# shellcheck source=bench/pages.sh
. "$bench_home/pages.sh"

live_accounts=$bench_accounts
if [[ $bench_scale == small ]]; then live_accounts=2; fi
live_buffers=$((live_accounts * 3200))kB   # a fifth of the tables
live_of=$bench_dir/live
live_data=$live_of/data
live_wal=$live_of/wal
live_served=$live_of/served
live_store=$live_of/store
live_shown=           # where the server of this run works
live_pid=             # of asofs, when it serves
live_calls=$bench_dir/live-calls
mkdir -p "$live_of" "$live_served" "$bench_dir/socket" "$bench_dir/mnt"
if ((EUID == 0)); then chown postgres: "$live_of" "$live_served" "$bench_dir/socket"; fi
chmod 0700 "$bench_dir/socket"

# --- a data directory, and those who show it ---

live_cluster() {
	pages_cluster "$bench_dir/base" "$live_accounts"
	server_configure "$bench_dir/socket" fsync=on autovacuum=off "shared_buffers=$live_buffers" max_wal_size=128MB \
		min_wal_size=80MB checkpoint_timeout=30s checkpoint_completion_target=0.9 wal_level=replica \
		"synchronous_commit=$bench_commits" |
		server_as_owner tee "$bench_dir/base/postgresql.conf" >/dev/null
	server_as_owner tee "$bench_dir/base/pg_hba.conf" <<<'local all all trust' >/dev/null
}

# WHERE: the log goes to the disk beside it.
live_put_log_outside() {
	mv "$1/pg_wal" "$live_wal"
	ln -s "$live_wal" "$1/pg_wal"
}

live_show_plain() {
	cp -a "$bench_dir/base" "$live_data"
	live_put_log_outside "$live_data"
	live_shown=$live_data
}

live_show_live() {
	cp -a "$bench_dir/base" "$live_data"
	live_put_log_outside "$live_data"
	live_serve
}

live_show_inside() {
	cp -a "$bench_dir/base" "$live_data"
	live_serve
}

live_show_btrfs() {
	btrfs subvolume create "$bench_dir/btrfs/data" >/dev/null
	chown --reference="$bench_dir/base" "$bench_dir/btrfs/data"
	chmod --reference="$bench_dir/base" "$bench_dir/btrfs/data"
	cp -a --reflink=never "$bench_dir/base/." "$bench_dir/btrfs/data/"
	live_put_log_outside "$bench_dir/btrfs/data"
	live_shown=$bench_dir/btrfs/data
}

live_hide_btrfs() {
	local each
	for each in "$bench_dir"/btrfs/{data,frozen.*}; do
		if [[ -e $each ]]; then btrfs subvolume delete --commit-after "$each" >/dev/null; fi
	done
	btrfs subvolume sync "$bench_dir/btrfs" >/dev/null
	rm -rf "$live_wal"
}

live_hide_plain() {
	rm -rf "$live_data" "$live_wal"
}

live_hide_live() {
	live_unserve
	rm -rf "$live_data" "$live_wal" "$live_store"
}

live_hide_inside() {
	live_hide_live
}

# In a session of its own, so that an interrupt from the terminal does not end it before the server.
live_serve() {
	local tries=3000
	"$bench_asofs" base add "$live_store" "$live_data" --live --primary >"$bench_dir/run.log" 2>&1 || {
		cat "$bench_dir/run.log" >&2
		fail 'asofs base add --live failed'
	}
	setsid "$bench_asofs" live "$live_store" "$live_served" --primary --foreground 2>"$bench_dir/live.err" &
	live_pid=$!
	bench_later live_unserve_now
	until [[ -e $live_served/.asofs/status.json ]]; do
		if ! kill -0 "$live_pid" 2>/dev/null || ((tries-- == 0)); then
			cat "$bench_dir/live.err" >&2
			fail 'asofs live did not serve the directory'
		fi
		sleep 0.01
	done
	live_shown=$live_served
}

live_unserve() {
	bench_undo_last
}

live_unserve_now() {
	local status=0
	umount "$live_served" 2>/dev/null || umount --lazy "$live_served" || true
	pages_await_end "$live_pid" 60 || kill -s KILL "$live_pid" || true
	wait "$live_pid" || status=$?
	live_pid=
	if ((status != 0)) || grep -q . "$bench_dir/live.err"; then
		tail -n 15 "$bench_dir/live.err" >&2
		echo "asofs live ended with status $status" >&2
		status=1
	fi
	return "$status"
}

# --- a server on it ---

# DIRECTORY [SETTING=VALUE…]
live_start() {
	local dir=$1 setting words=
	for setting in "${@:2}"; do words+=" -c $setting"; done
	(cd "$live_of" && server_as_owner pg_ctl start --pgdata="$dir" --log="$bench_dir/socket/server.log" --timeout=120 --wait \
		--options="$words") >"$bench_dir/start.log" 2>&1 </dev/null || {
		tail -n 15 "$bench_dir/start.log" "$bench_dir/socket/server.log" >&2
		fail 'the server did not start'
	}
	live_server=$(head -n 1 "$dir/postmaster.pid")
	bench_later pages_stop "$live_server"
}

live_psql() {
	pages_client psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --command="$1"
}

# SECONDS [OUT]
live_pgbench() {
	pages_client pgbench --no-vacuum --client=4 --jobs=2 --time="$1" >"${2:-$bench_dir/run.log}" 2>&1 || {
		tail -n 15 "${2:-$bench_dir/run.log}" >&2
		fail 'pgbench failed'
	}
}

# Ticks of CPU that the server's processes and asofs have used.
live_ticks() {
	local pid fields sum=0
	for pid in $(pgrep -P "$live_server") $live_pid; do
		read -ra fields 2>/dev/null <"/proc/$pid/stat" || continue
		fields=("${fields[@]: -50}")   # a title may have blanks
		sum=$((sum + fields[11] + fields[12]))
	done
	read -ra fields <"/proc/$live_server/stat"
	echo $((sum + fields[13] + fields[14] + fields[15] + fields[16]))
}

# --- figures ---

live_status() {
	sed -nE "s/.*\"$1\": ([0-9]+).*/\1/p" "$live_served/.asofs/status.json"
}

live_median() {
	sort -g | awk '{ x[NR] = $1 } END { printf "%.6f\n", NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2 }'
}
