# shellcheck shell=bash disable=SC2034,SC2120,SC2154
# A private server on a live data directory. Source after common.sh.
#
#   DATA  its data directory     LIVE  where it is served, and the server runs     STORE  with the epochs
DATA=$TMPDIR/live/data
LIVE=$TMPDIR/live/served
STORE=$TMPDIR/live/store

# live_make [line of postgresql.conf...]: a stopped cluster, and a store beside it.
live_make() {
	local from
	from=$(CLUSTER_INITDB=--data-checksums template)
	mkdir "$TMPDIR/live" "$STORE" "$LIVE"
	cp -a "$from" "$DATA"
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$TMPDIR/live'"
		echo 'fsync = off'
		echo 'shared_buffers = 8MB'
		echo 'wal_keep_size = 512MB'
		printf '%s\n' "$@"
	} >>"$DATA/postgresql.conf"
	give_to_postgres "$TMPDIR/live"
	CONN="host=$TMPDIR/live user=postgres dbname=test"
}

# live_mount [option...]: returns when it is mounted. What the process says is in $TMPDIR/live.err.
live_mount() {
	"$ASOFS" live "$STORE" "$LIVE" --directory="$DATA" --primary --foreground "$@" 2>"$TMPDIR/live.err" &
	live_pid=$!
	wait_until "[[ -f '$LIVE/.asofs/status.json' ]] || has_ended $live_pid"
	! has_ended "$live_pid" || fail "it is not served: $(cat "$TMPDIR/live.err")"
}

live_ended() {
	wait_until "has_ended $live_pid"
	wait "$live_pid" || fail "exit status $?: $(cat "$TMPDIR/live.err")"
}

live_unmount() {
	unmount "$LIVE"
	live_ended
}

# live_said REGEX: in what the process said.
live_said() {
	grep -qE -e "$1" "$TMPDIR/live.err" || fail "it does not say $1: $(cat "$TMPDIR/live.err")"
}

# server_start [DIRECTORY]; without, where it is served.
server_start() {
	as_postgres pg_ctl -D "${1:-$LIVE}" -l "$TMPDIR/live/log" -w -s -t 300 start || {
		tail -n 20 "$TMPDIR/live/log"
		fail 'the server does not start'
	}
}

server_stop() { as_postgres pg_ctl -D "${1:-$LIVE}" -s -w -t 300 -m "${2:-fast}" stop; }

live_freeze() { "$ASOFS" live "$STORE" freeze; }
live_drop() { "$ASOFS" live "$STORE" drop "$1"; }
tree_of() { echo "$LIVE/.asofs/frozen/$1"; }

# What a tree shows, as the daemon tells it now.
tree_sums() { python3 "$lib/direct_sums.py" "$(tree_of "$1")"; }

# --- a freeze as the crash image that it is ---

control() { as_postgres pg_controldata -D "$1" | sed -n "s/^$2: *//p"; }

# segment_of LSN: the name of its file, on timeline 1; the place in it.
segment_of() {
	local high=$((16#${1%/*})) low=$((16#${1#*/}))
	printf '%08X%08X%08X\n' 1 "$high" $((low / segment_bytes))
}
place_of() { echo $((16#${1#*/} % segment_bytes)); }

# take_log N LSN: the log of freeze N, until LSN, into $TMPDIR/live/wal.N; zeros are behind it.
take_log() {
	local dir=$TMPDIR/live/wal.$1 first last file
	segment_bytes=$(control "$(tree_of "$1")" 'Bytes per WAL segment')
	first=$(segment_of "$(control "$(tree_of "$1")" "Latest checkpoint's REDO location")")
	last=$(segment_of "$2")
	mkdir "$dir"
	for file in "$LIVE"/pg_wal/????????????????????????; do
		file=${file##*/}
		[[ $file < $first || $file > $last ]] || cp "$LIVE/pg_wal/$file" "$dir/"
	done
	truncate -s "$(place_of "$2")" "$dir/$last"
	truncate -s "$segment_bytes" "$dir/$last"
	give_to_postgres "$dir"
}

# image_start N: the tree of freeze N, copied, recovers and answers; CONN is of it. image_stop ends it.
image_start() {
	IMAGE=$TMPDIR/live/image
	mkdir "$TMPDIR/live/socket"
	cp -a "$(tree_of "$1")" "$IMAGE"
	cp -a "$TMPDIR/live/wal.$1"/* "$IMAGE/pg_wal/"
	echo "unix_socket_directories = '$TMPDIR/live/socket'" >>"$IMAGE/postgresql.conf"
	give_to_postgres "$TMPDIR/live/socket" "$IMAGE"
	server_start "$IMAGE"
	IMAGE_CONN="host=$TMPDIR/live/socket user=postgres dbname=test"
}

image_sql() { CONN=$IMAGE_CONN sql "$@"; }

image_stop() {
	server_stop "$IMAGE"
	as_postgres pg_checksums --check -D "$IMAGE" >"$TMPDIR/checksums" 2>&1 || fail "$(cat "$TMPDIR/checksums")"
	rm -rf "$IMAGE" "$TMPDIR/live/socket"
}

# --- pgbench ---

bench_init() { as_postgres pgbench -q -i -s "${1:-1}" "host=$TMPDIR/live user=postgres dbname=test" 2>/dev/null; }

bench_begin() {
	as_postgres pgbench -n -c 4 -T "${1:-300}" "host=$TMPDIR/live user=postgres dbname=test" >"$TMPDIR/bench.out" 2>&1 &
	bench_pid=$!
}

# By the server: shells start background jobs with SIGINT ignored.
bench_end() {
	wait_until "sql \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'\"
		has_ended $bench_pid"
	wait "$bench_pid" || true
}

# The sums of pgbench agree: "t".
bench_sums='SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(bbalance) FROM pgbench_branches)
	AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history)
	AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history)'
