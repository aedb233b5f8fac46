# shellcheck shell=bash
# Stores, and views of them that are served as a data directory. Source after common.sh.
#
#   STORE  the store                 VIEW_DIR  where a view is served
STORE=$TMPDIR/store
VIEW_DIR=$TMPDIR/view/data

# store_make DIRECTORY...: a new store over these data directories; the newest base is the last.
store_make() {
	local dir
	"$ASOFS" store create "$STORE"
	for dir; do
		"$ASOFS" store add-base "$STORE" "$dir" >"$TMPDIR/add-base.out"
	done
}

store_gone() { rm -rf "$STORE"; }

# store_check: it finds nothing.
store_check() {
	"$ASOFS" store check "$STORE" >"$TMPDIR/check.out" 2>&1 || {
		cat "$TMPDIR/check.out"
		fail 'store check finds something'
	}
}

# pages_start VIEW [option...]: serves it, and returns when it is mounted. What the process says is in
# $TMPDIR/pages.out and pages.err.
pages_start() {
	local view=$1
	shift
	mkdir -p "$VIEW_DIR"
	rm -f "$TMPDIR/pages.out" "$TMPDIR/pages.err"
	# Shells start background jobs with SIGINT ignored.
	env --default-signal=INT "$ASOFS" pagefs "$STORE" "$VIEW_DIR" --view="$view" "$@" \
		>"$TMPDIR/pages.out" 2>"$TMPDIR/pages.err" &
	pages_pid=$!
	wait_until "grep -q '^mounted $view of ' '$TMPDIR/pages.out' || has_ended $pages_pid"
	if has_ended "$pages_pid"; then
		cat "$TMPDIR/pages.err"
		fail "the view $view is not served"
	fi
}

# The exit status of the process that served.
pages_ended() {
	wait_until "has_ended $pages_pid"
	wait "$pages_pid"
}

pages_stop() {
	unmount "$VIEW_DIR"
	pages_ended || fail "exit status $?: $(cat "$TMPDIR/pages.err")"
}

# pages_signal SIGNAL: it takes its mount down and ends well.
pages_signal() {
	kill "-$1" "$pages_pid"
	pages_ended || fail "exit status $? after $1: $(cat "$TMPDIR/pages.err")"
	! is_mounted "$VIEW_DIR" || fail "the mount is still there after $1"
}

# As if the process had never been told: nothing is closed, and the kernel's connection breaks.
pages_kill() {
	kill -KILL "$pages_pid"
	wait "$pages_pid" || true
	clean_mounts "$VIEW_DIR"
}

# pages_said REGEX: in what the process said.
pages_said() {
	grep -qE -e "$1" "$TMPDIR/pages.err" || {
		sed 's/^/    /' "$TMPDIR/pages.err"
		fail "it does not say $1"
	}
}

# picture DIR: names, kinds, modes, sizes, links and contents of everything below it, as text. Not the
# times, and of directories no sizes: those are the file system's own.
picture() {
	(
		cd "$1" || exit
		find . \( -type d -printf '%p %y %m\n' \) -o -printf '%p %y %m %s %n %l\n' | sort
		find . -type f -print0 | sort -z | xargs -0r md5sum
	)
}

# fingerprint DIR...: as picture, with everything that writing changes.
fingerprint() {
	find "$@" -printf '%p %y %m %U:%G %s %n %i %T@ %C@ %l\n' | sort
	find "$@" -type f -print0 | sort -z | xargs -0r md5sum
}
