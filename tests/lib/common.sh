# shellcheck shell=bash
# What every mount case starts with: private clusters, mounts, and assertions.
#
# A case is run by tests/run, or by hand: `BUILD=build/dev tests/mount/names.test`. It finds
#   ASOFS   the program               TMPDIR  a directory of its own
#   SPOOL   where mounts spool to     CONN    connection string of the last cluster started
# Cases never sleep for a fixed time; they wait for a state (wait_until).
set -Eeuo pipefail

lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=leftovers.sh
source "$lib/leftovers.sh"

# How the case came to the caller of our caller.
where() {
	local i
	for ((i = 2; i < ${#FUNCNAME[@]}; i++)); do
		echo "    at ${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]}"
	done
}

tell_error() {
	echo "failed: $1" >&2
	where >&2
}
trap 'tell_error "$BASH_COMMAND"' ERR

fail() {
	echo "FAILED: $*" >&2
	where >&2
	exit 1
}

skip() {
	echo "$*"
	exit 77
}

# --- Surroundings ---------------------------------------------------------------------------------------

set_up_directories() {
	BUILD=$(cd "${BUILD:?set BUILD to the build tree}" && pwd -P)
	ASOFS=${ASOFS:-$BUILD/asofs}
	own_tmpdir=no
	if [[ ! -d ${TMPDIR:-}/sanitizer ]]; then # not started by tests/run
		own_tmpdir=yes
		TMPDIR=$(mktemp -d /tmp/asofs.XXXXXX)
		chmod 0755 "$TMPDIR"
	fi
	SPOOL=$TMPDIR/spool
	mkdir -p "$SPOOL"
	export BUILD ASOFS TMPDIR
	cd "$TMPDIR"
}

# Nothing of the person who runs the tests may shape them: PGHOST, ~/.pgpass, a locale.
set_up_environment() {
	local name
	for name in $(compgen -e PG || true); do
		[[ $name == PG_BINDIR ]] || unset "$name"
	done
	export HOME=$TMPDIR LC_ALL=C TZ=UTC
	if [[ -z ${PG_BINDIR:-} ]]; then
		PG_BINDIR=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
		PG_BINDIR=${PG_BINDIR%/initdb}
		[[ -n $PG_BINDIR ]] || PG_BINDIR=$(pg_config --bindir)
	fi
	PATH=$PG_BINDIR:$PATH
}

clusters=()

clean_up() {
	local status=$? dir
	trap - EXIT ERR
	set +e
	cd /
	clean_mounts "$TMPDIR"
	for dir in "${clusters[@]}"; do
		[[ ! -f $dir/data/postmaster.pid ]] || cluster_stop "$dir" immediate
	done
	if [[ $own_tmpdir == yes ]]; then
		clean_asofs
		chmod -R u+rwX "$TMPDIR" # copies of a view have its modes
		rm -rf "$TMPDIR"
	fi
	exit "$status"
}

clean_asofs() {
	local pid
	for pid in $(asofs_pids); do kill -KILL "$pid" 2>/dev/null; done
}

# --- Waiting --------------------------------------------------------------------------------------------

# A limit is not what is expected, but what no machine needs, however busy it is: it only ends what would hang.
patience=120

# wait_until 'command' [seconds]: tries it again and again; fails the case when it never succeeds.
wait_until() {
	soon "$1" "${2:-$patience}" && return
	asofs_pids | dump_pids >&2
	fail "waited ${2:-$patience} s in vain for: $1"
}

# The same, but merely false when it never succeeds.
soon() {
	local deadline=$((SECONDS + ${2:-patience})) tries=0
	until eval "$1" >/dev/null 2>&1; do
		((SECONDS < deadline)) || return 1
		sleep "0.$((++tries < 20 ? 0 : 2))5" # who waits long keeps no others from what he waits for
	done
}

# --- PostgreSQL -----------------------------------------------------------------------------------------

# PostgreSQL refuses to run as root.
as_postgres() {
	if ((EUID == 0)); then
		setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
	else
		"$@"
	fi
}

give_to_postgres() {
	((EUID != 0)) || chown -R postgres: "$@"
}

# The data directory that clusters start as, with a database "test"; made once and then copied.
# CLUSTER_INITDB holds more options of initdb.
template() {
	local options="--encoding=UTF8 --locale=C ${CLUSTER_INITDB:-}" cache key
	cache=$BUILD/tests/cache
	key=$(md5sum <<<"$PG_BINDIR $options" | cut -c1-12)
	mkdir -p "$cache"
	(
		flock 8
		[[ -d $cache/$key ]] || make_template "$cache/$key" "$options"
	) 8>"$cache/lock"
	echo "$cache/$key"
}

make_template() {
	local target=$1 options=$2 dir=$TMPDIR/template
	mkdir "$dir"
	give_to_postgres "$dir"
	# shellcheck disable=SC2086 # several options
	as_postgres initdb -D "$dir/data" -U postgres -A trust --no-sync --no-instructions $options >"$dir.log"
	as_postgres postgres --single -F -D "$dir/data" postgres <<<'CREATE DATABASE test' >>"$dir.log" 2>&1
	cp -a "$dir/data" "$target.new"
	mv "$target.new" "$target"
	rm -rf "$dir" "$dir.log"
}

# cluster_start NAME [line of postgresql.conf...]: a private cluster in $TMPDIR/NAME, which is also where
# its socket is. Sets CONN. CLUSTER_HBA replaces pg_hba.conf.
cluster_start() {
	local name=$1 dir=$TMPDIR/$1 from
	shift
	from=$(template)
	mkdir "$dir"
	cp -a "$from" "$dir/data"
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$dir'"
		echo 'fsync = off'
		echo 'shared_buffers = 64MB'
		echo 'max_connections = 60'
		echo 'log_line_prefix = '\''%m [%p] %a '\'
		printf '%s\n' "$@"
	} >>"$dir/data/postgresql.conf"
	[[ -z ${CLUSTER_HBA:-} ]] || printf '%s\n' "$CLUSTER_HBA" >"$dir/data/pg_hba.conf"
	give_to_postgres "$dir"
	cluster_run "$dir"
}

# Starts what cluster_start made, and cluster_stop stopped.
cluster_run() {
	local dir=$1
	as_postgres pg_ctl -D "$dir/data" -l "$dir/log" -w -s -t 300 start || {
		tail -n 20 "$dir/log"
		fail "the cluster $dir does not start"
	}
	clusters+=("$dir")
	CLUSTER=$dir
	CONN="host=$dir user=postgres dbname=test"
}

cluster_stop() {
	local dir=${1:-$CLUSTER} mode=${2:-fast}
	as_postgres pg_ctl -D "$dir/data" -s -w -t 300 -m "$mode" stop
}

# psql with what CONN names; the rest are psql's arguments, or a script on standard input.
psql_do() {
	PGOPTIONS=${PGOPTIONS:--c client_min_messages=warning} PGCLIENTENCODING=${PGCLIENTENCODING:-UTF8} \
		psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$CONN" "$@"
}

# sql 'statement'...: prints what it returns.
sql() {
	local statement args=()
	for statement; do args+=(-c "$statement"); done
	psql_do "${args[@]}"
}

# Ends the segment of the log that is written, and names it. (What versions call a place between two segments differs.)
end_segment() { sql 'SELECT pg_walfile_name(pg_switch_wal() - 1)'; }

# The settings under which asofs promises its bytes to be those of COPY, for connections of ours.
COPY_SETTINGS='-c search_path= -c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres'
COPY_SETTINGS+=' -c synchronize_seqscans=off -c max_parallel_workers_per_gather=0'
COPY_SETTINGS+=' -c enable_indexscan=off -c enable_indexonlyscan=off -c enable_bitmapscan=off'

# copy_out QUERY-or-COPY: what the server gives; a query is copied out as csv with a header.
copy_out() {
	local what=$1
	[[ $what == COPY* ]] || what="COPY ($what) TO STDOUT (FORMAT csv, HEADER)"
	PGOPTIONS=$COPY_SETTINGS psql_do -c "$what"
}

# same_bytes FILE QUERY-or-COPY
same_bytes() {
	local file=$1 want
	want=$(mktemp "$TMPDIR/want.XXXX")
	copy_out "$2" >"$want"
	same_files "$file" "$want" || fail "$file differs from: $2"
	rm "$want"
}

same_files() {
	if ! cmp -- "$1" "$2"; then
		diff --text -- "$1" "$2" | cut -c1-300 | head -n 10
		return 1
	fi
}

# Sessions of asofs on the server that hold a lock or merely wait for us.
asofs_sessions() {
	sql "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'asofs%'"
}

no_sessions() { [[ $(asofs_sessions) == 0 ]]; }

# --- Mounts ---------------------------------------------------------------------------------------------

need_mount() {
	: 2>/dev/null <>/dev/fuse || skip 'needs /dev/fuse'
	command -v fusermount3 >/dev/null || skip 'needs fusermount3'
	if ((EUID == 0)); then
		unshare -m true 2>/dev/null || skip 'needs the right to mount'
	fi
}

need_root() {
	((EUID == 0)) || skip "needs root: $*"
	unshare -m true 2>/dev/null || skip 'needs the right to mount'
}

# asofs_mount DIR [option...]: makes DIR and mounts CONN there.
asofs_mount() {
	local dir=$1
	shift
	mkdir -p "$dir"
	"$ASOFS" mount -q --spool="$SPOOL" "$@" "$CONN" "$dir"
}

# asofs_umount DIR: and waits until its daemon is gone.
asofs_umount() {
	local dir=$1 pid
	pid=$(daemon_pid "$dir")
	unmount "$dir"
	wait_until "has_ended $pid"
}

# Also when nobody has asked for its exit status yet: kill -0 still finds such a process.
has_ended() { ! readlink "/proc/$1/exe" >/dev/null; }

unmount() {
	if ((EUID == 0)); then
		wait_until "umount '$1'"
	else
		wait_until "fusermount3 -u '$1'"
	fi
}

is_mounted() {
	mounts_below "$1" | grep -qxF "$1"
}

# Processes of the program in this case; zombies are none. A name with more behind it: built anew meanwhile.
asofs_pids() {
	local pid
	{
		find /proc/[0-9]*/exe -maxdepth 0 \( -lname "$ASOFS" -o -lname "$ASOFS (deleted)" \) || true
	} 2>/dev/null | cut -d/ -f3 | sort -n | while read -r pid; do
		! grep -qsaF -e "$TMPDIR" "/proc/$pid/cmdline" "/proc/$pid/environ" || echo "$pid"
	done
}

arguments_of() { tr '\0' '\n' 2>/dev/null <"/proc/$1/cmdline" || true; }

# The process that serves DIR.
daemon_pid() {
	local pid
	for pid in $(asofs_pids); do
		if arguments_of "$pid" | grep -xF -e "$1" >/dev/null; then
			echo "$pid"
			return
		fi
	done
	fail "no process serves $1"
}

# Snapshot workers.
worker_pids() {
	local pid
	for pid in $(asofs_pids); do
		! arguments_of "$pid" | grep 'snapshot worker' >/dev/null || echo "$pid"
	done
}

# Backends of snapshot workers that are in the middle of a COPY.
copying_backends() {
	sql "SELECT pid FROM pg_stat_activity
		WHERE application_name LIKE 'asofs worker%' AND state = 'active' AND query LIKE 'COPY%'"
}

# asofs_begin DIR [option...]: starts a mount and returns at once; asofs_end gives its exit status. What it
# says on standard error is in $TMPDIR/begun.err.
asofs_begin() {
	local dir=$1
	shift
	mkdir -p "$dir"
	# Shells start background jobs with SIGINT ignored.
	env --default-signal=INT "$ASOFS" mount --spool="$SPOOL" "$@" "$CONN" "$dir" 2>"$TMPDIR/begun.err" &
	begun_job=$!
}

still_begun() { kill -0 "$begun_job" 2>/dev/null; }

asofs_end() {
	local status=0
	wait "$begun_job" || status=$?
	cat "$TMPDIR/begun.err"
	return "$status"
}

# --- Refusals -------------------------------------------------------------------------------------------

# expect_fail STATUS REGEX command...: it ends with this status, says on standard error what the (extended)
# regular expression matches, and leaves nothing behind that was not there before.
expect_fail() {
	local want=$1 regex=$2 status=0 mounts pids
	shift 2
	mounts=$(mounts_below "$TMPDIR")
	pids=$(asofs_pids)
	"$@" >"$TMPDIR/out" 2>"$TMPDIR/err" </dev/null || status=$?
	[[ $status =~ ^$want$ ]] || refused_wrongly "exit status $status instead of $want" "$@"
	tr -s '\n ' ' ' <"$TMPDIR/err" | grep -qE -e "$regex" || refused_wrongly "nothing matches $regex" "$@"
	[[ $(grep -v -m 1 '^fusermount3: ' "$TMPDIR/err") == 'asofs: '* ]] ||
		refused_wrongly 'it does not begin with "asofs: "' "$@"
	[[ $(mounts_below "$TMPDIR") == "$mounts" ]] || refused_wrongly 'something is mounted' "$@"
	soon "[[ \$(asofs_pids) == '$pids' ]]" || refused_wrongly 'a process is left' "$@"
	nothing_left
}

refused_wrongly() {
	local what=$1
	shift
	sed 's/^/    /' "$TMPDIR/err" >&2
	fail "$what, of: $*"
}

# No spool file, and no session on the server. Spool files are unlinked once open, so one that a process
# still holds cannot be seen here; but then the process is found.
nothing_left() {
	local files
	files=$(find "$SPOOL" -mindepth 1 2>/dev/null || true)
	[[ -z $files ]] || fail "left in the spool: $files"
	if [[ -f ${CLUSTER:-}/data/postmaster.pid ]]; then
		soon 'no_sessions' || fail "left on the server: $(asofs_sessions) sessions"
	fi
}

set_up_directories
set_up_environment
trap clean_up EXIT
