# shellcheck shell=bash
# A private, throw-away PostgreSQL; scripts/demo and scripts/bench source this file.
#
#   server_start DIR [SETTING=VALUE…]   makes a cluster in DIR/data, starts it on a Unix socket in DIR
#   server_stop DIR                     stops it at once; no harm if it does not run
#   server_errors DIR                   the last errors in its log, for when something failed
#
# DIR is the caller's (mktemp -d), and the caller removes it. Clients need `PGHOST=DIR PGUSER=postgres`. Nothing listens on
# the network, and DIR is closed to other users, which is why the cluster trusts whoever comes through its socket.

# The longest path of a socket is 107 bytes; PostgreSQL appends a name of 17 bytes at most.
server_path_limit=90

# The directory of the newest PostgreSQL's programs; Debian keeps them out of PATH.
server_programs() {
	local newest
	newest=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
	[[ -x $newest ]] || newest=$(command -v initdb) || {
		echo "PostgreSQL's programs were not found: install the package postgresql" >&2
		return 1
	}
	dirname "$newest"
}

# PostgreSQL refuses to run as root, so root lends it the user postgres.
server_as_owner() {
	if ((EUID == 0)); then
		setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
	else
		"$@"
	fi
}

server_configure() {
	local dir=$1 setting
	shift
	for setting in listen_addresses= "unix_socket_directories=$dir" unix_socket_permissions=0700 "$@"; do
		printf "%s = '%s'\n" "${setting%%=*}" "${setting#*=}"
	done
}

server_start() {
	local dir=$1 programs
	programs=$(server_programs)
	if ((${#dir} > server_path_limit)); then
		echo "the path $dir is too long for a socket: set TMPDIR to a shorter one" >&2
		return 1
	fi
	chmod 0700 "$dir"
	if ((EUID == 0)); then chown postgres: "$dir"; fi
	# initdb and pg_ctl want a working directory that their user may read.
	(
		cd "$dir"
		server_as_owner "$programs/initdb" --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --locale=C \
			--no-sync
		server_configure "$@" | server_as_owner tee -a data/postgresql.conf
		server_as_owner "$programs/pg_ctl" start --pgdata=data --log=server.log --timeout=60 --wait
	) >"$dir/start.log" 2>&1 </dev/null || {
		tail -n 15 "$dir/start.log" >&2
		server_errors "$dir" >&2
		return 1
	}
}

server_stop() {
	local dir=$1 programs
	[[ -e $dir/data/postmaster.pid ]] || return 0
	programs=$(server_programs)
	(cd "$dir" && server_as_owner "$programs/pg_ctl" stop --pgdata=data --mode=immediate --wait) >/dev/null 2>&1 || true
}

server_errors() {
	grep -hsE ' (ERROR|FATAL|PANIC): ' "$1/server.log" | tail -n 5 || true
}
