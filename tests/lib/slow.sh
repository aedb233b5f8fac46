# shellcheck shell=bash
# A database whose extraction takes long enough to do something to it meanwhile. Source after common.sh.

# big: about 120 MB, the first to be extracted; small_N: extracted after it.
slow_fill() {
	psql_do <<-'SQL'
		CREATE TABLE big AS SELECT i AS id, repeat(md5(i::text), 12) AS filler
			FROM generate_series(1, 300000) i;
		CREATE TABLE small_1 AS SELECT i, 'one' AS t FROM generate_series(1, 3000) i;
		CREATE TABLE small_2 AS SELECT i, 'two' AS t FROM generate_series(1, 3000) i;
		CREATE TABLE small_3 AS SELECT i, 'three' AS t FROM generate_series(1, 3000) i;
	SQL
	local table
	mkdir -p "$TMPDIR/want"
	for table in big small_1 small_2 small_3; do
		copy_out "SELECT * FROM public.$table" >"$TMPDIR/want/$table.csv"
	done
}

# A table of less than 1 MB that gives a file of 40 MB: nobody can foresee that it does not fit.
slow_compressible() {
	sql "CREATE TABLE compressible AS SELECT i, repeat('x', 1000000) AS x FROM generate_series(1, 40) i"
}

# slow_check DIR: all of it is there, as slow_fill made it.
slow_check() {
	local table
	for table in big small_1 small_2 small_3; do
		same_files "$1/public/$table.csv" "$TMPDIR/want/$table.csv" || fail "$table differs"
	done
}

# send SIGNAL pid...
send() {
	local signal=$1 pid
	shift
	for pid; do
		kill "-$signal" "$pid" 2>/dev/null || true # it may have ended just now
	done
}

# shellcheck disable=SC2046 # several pids
signal_workers() { send "$1" $(worker_pids); }

let_go() { signal_workers CONT; }

# Workers below process $1, added to `known`. Without starting a process, which takes longer on a busy machine
# than the workers have to do.
find_workers() {
	local file pid children arguments
	for file in "/proc/$1/task/"*/children; do
		children=()
		{ read -r -a children <"$file" || true; } 2>/dev/null
		for pid in "${children[@]}"; do
			{ mapfile -d '' arguments <"/proc/$pid/cmdline" || true; } 2>/dev/null
			if [[ ${arguments[*]} == *'snapshot worker'* ]]; then
				known+=("$pid")
			else
				find_workers "$pid"
			fi
		done
	done
}

stop_workers() {
	known=()
	find_workers "${begun_job:?nothing was begun}"
	send STOP "${known[@]}"
}

# Lets what was begun run in small steps, with its workers stopped (by SIGSTOP) in between, until the command
# holds; it is left stopped there. So whatever the case does next is done in the middle of the extraction,
# however fast that is. Workers are stopped as soon as they are there.
hold_until() {
	local known=() before tick
	exec {tick}<> <(:)
	while still_begun; do
		stop_workers
		before=${known[*]}
		if [[ -n $before ]] && eval "$1" >/dev/null; then
			stop_workers
			if [[ ${known[*]} == "$before" ]]; then # and none was started meanwhile
				exec {tick}>&-
				return
			fi
		fi
		send CONT "${known[@]}"
		read -r -t 0.005 -u "$tick" || true
	done
	fail "it ended before it could be held: $(cat "$TMPDIR/begun.err")"
}

# Held while the server is in the middle of a COPY.
hold_in_copy() { hold_until '[[ -n $(copying_backends) ]]'; }

# asofs_begin, held in the middle.
slow_begin() {
	asofs_begin "$@"
	hold_in_copy
}
