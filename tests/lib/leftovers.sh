# shellcheck shell=bash
# What a test has left behind below its private directory: mounts and processes. Used by the runner, which
# judges, and by the cases, which clean up after themselves.

# Mount points at or below DIR, deepest first; of any kind, for a case may have mounted a small disk.
mounts_below() {
	awk -v dir="$1" 'index($5, dir "/") == 1 || $5 == dir { print length($5), $5 }' /proc/self/mountinfo |
		sort -rn | cut -d' ' -f2-
}

# Processes that have DIR in their arguments or environment, or that work below it. The pattern is read
# from standard input, so that grep does not find itself.
pids_with() {
	local dir=$1
	{
		# shellcheck disable=SC2062 # not the pattern
		grep -lsaF --file=- /proc/[0-9]*/cmdline /proc/[0-9]*/environ <<<"$dir" || true
		find /proc/[0-9]* -maxdepth 1 -name cwd \( -lname "$dir" -o -lname "$dir/*" \) 2>/dev/null || true
	} | cut -d/ -f3 | sort -un
}

# One line for each process that is named on standard input.
describe_pids() {
	local pid
	while read -r pid; do
		ps -o pid=,ppid=,stat=,wchan=,args= -p "$pid" || true
	done
}

# Where every process of DIR stands.
dump_stacks() { pids_with "$1" | dump_pids; }

# Those on standard input: kernel stack where we may see it, and threads of the program by gdb.
dump_pids() {
	local pid
	while read -r pid; do
		ps -L -o pid=,lwp=,stat=,wchan:24=,args= -p "$pid" || continue
		cat "/proc/$pid/stack" 2>/dev/null || true
		if [[ $(readlink "/proc/$pid/exe") == *asofs* ]] && command -v gdb >/dev/null; then
			timeout 60 gdb -p "$pid" -batch -ex 'thread apply all bt 12' 2>/dev/null </dev/null | tail -n 80 || true
		fi
	done
}

clean_mounts() {
	local mount
	mounts_below "$1" | while IFS= read -r mount; do
		umount -l "$mount" 2>/dev/null || fusermount3 -uz "$mount" 2>/dev/null || true
	done
}

clean_pids() {
	local pid
	for pid in $(pids_with "$1"); do
		[[ $pid == "$$" || $pid == "$BASHPID" ]] || kill -KILL "$pid" 2>/dev/null || true
	done
}
