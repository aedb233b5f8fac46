# shellcheck shell=bash disable=SC2034,SC2120,SC2154
# A private server on a live data directory. Source after common.sh.
#
#   DATA  its data directory     LIVE  where it is served, and the server runs     STORE  with the live base and its freezes
DATA=$TMPDIR/live/data
LIVE=$TMPDIR/live/served
STORE=$TMPDIR/live/store

# live_make [line of postgresql.conf...]: a stopped cluster, the live base of a store beside it.
live_make() {
	local from
	from=$(CLUSTER_INITDB=--data-checksums template)
	mkdir -p "$LIVE"
	cp -a "$from" "$DATA"
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$TMPDIR/live'"
		echo 'shared_buffers = 8MB'
		echo 'wal_keep_size = 512MB'
		printf '%s\n' "$@"
	} >>"$DATA/postgresql.conf"
	give_to_postgres "$TMPDIR/live"
	CONN="host=$TMPDIR/live user=postgres dbname=test"
	live_adopt --primary
}

# live_adopt [option...]: $DATA becomes base 1.
live_adopt() { [[ $("$ASOFS" base add "$STORE" "$DATA" --live "$@") == 1 ]] || fail 'it is not base 1'; }

# live_mount [option...]: returns when it is mounted. What the process says is in $TMPDIR/live.err.
live_mount() {
	"$ASOFS" live "$STORE" "$LIVE" --primary --foreground "$@" 2>"$TMPDIR/live.err" &
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

# server_start [DIRECTORY]; without, where it is served. It is ended by killing at most: nothing needs fsync, and a
# base may not have it off. SERVER_OPTIONS: else.
server_start() {
	as_postgres pg_ctl -D "${1:-$LIVE}" -o "${SERVER_OPTIONS--F}" -l "$TMPDIR/live/log" -w -s -t 300 start || {
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

# image_start N: the tree of freeze N, copied, recovers and answers; CONN is of it. image_stop ends it.
image_start() {
	IMAGE=$TMPDIR/live/image
	mkdir "$TMPDIR/live/socket"
	cp -a "$(tree_of "$1")" "$IMAGE"
	chmod u+w "$IMAGE"/pg_wal/* # a freeze's log is not written to
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

# bench_end [PID CONNECTION]: by the server: shells start background jobs with SIGINT ignored.
bench_end() {
	local pid=${1:-$bench_pid} conn=${2:-$CONN}
	wait_until "CONN='$conn' sql \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'\"
		has_ended $pid"
	wait "$pid" || true
}

# The sums of pgbench agree: "t".
bench_sums='SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(bbalance) FROM pgbench_branches)
	AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history)
	AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history)'

# --- as a base of the store ---

# The numbers of what is frozen; the bases that are rungs; fact BASE KEY: of its base.json.
freezes() { find "$LIVE/.asofs/frozen" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n; }
rungs() {
	{ grep -l '"rung": 1' "$STORE"/base/*/base.json 2>/dev/null || true; } | while read -r file; do
		[[ ! -e ${file%/*}/making ]] || continue # its maker was ended
		file=${file%/*}
		echo "${file##*/}"
	done | sort -n
}
fact() { sed -n "s/.*\"$2\": \"\?\([^\",]*\)\"\?,\?$/\1/p" "$STORE/base/$1/base.json"; }
