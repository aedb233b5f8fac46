# shellcheck shell=bash disable=SC2034,SC2154
# A store with a live base, and views of its freezes. Source after common.sh and live.sh, whose DATA, LIVE and STORE
# are those here.
VIEWS=$TMPDIR/views

# serve [option...]: in the background, as a service would.
serve() {
	"$ASOFS" live "$STORE" "$LIVE" "$@" || fail 'it is not served'
	wait_until "[[ -f '$LIVE/.asofs/status.json' ]]"
}

# Nobody serves it any more, and the process is gone.
served_end() {
	unmount "$LIVE"
	wait_until '! pgrep -f "asofs live $STORE" >/dev/null'
}

# control DIRECTORY WORDS: a line of pg_controldata.
control() { as_postgres pg_controldata -D "$1" | sed -n "s/^$2: *//p"; }

# fact BASE KEY: of its base.json. shown VIEW: the place on the log that it shows.
fact() { sed -n "s/.*\"$2\": \"\?\([^\",]*\)\"\?,\?$/\1/p" "$STORE/base/$1/base.json"; }
base_of() { sed -n 's/.*"base": *"\([0-9]*\)".*/\1/p' "$STORE/view/$1/view.json"; }
shown() { sed -n 's/.*"lsn": "\([^"]*\)".*/\1/p' "$STORE/view/$1/view.json"; }

# bases: the freezes that are bases. freezes: those that the process serves.
bases() { "$ASOFS" base list "$STORE" 2>&1 | sed -n 's/^base \([0-9]*\): freeze.*/\1/p' | xargs; }
freezes() { ls "$LIVE/.asofs/frozen"; }

# lsn_after A B: A is not in front of B.
lsn_after() {
	local a b
	printf -v a '%d' "0x${1%/*}$(printf '%08X' "0x${1#*/}")"
	printf -v b '%d' "0x${2%/*}$(printf '%08X' "0x${2#*/}")"
	((a >= b))
}

# view_mount NAME [option...]: a view that is kept, of the database "test".
view_mount() {
	local name=$1
	shift
	mkdir -p "$VIEWS/$name"
	"$ASOFS" mount -q "$STORE" "$VIEWS/$name" --view="$name" --database=test "$@" 2>"$TMPDIR/mount.err" ||
		fail "view $name is not mounted: $(cat "$TMPDIR/mount.err")"
}

# now_mount NAME: a view of now. It shows exactly the end of the log that the freeze was given.
now_mount() {
	local base
	view_mount "$1" --latest
	base=$(base_of "$1")
	[[ $(shown "$1") == "$(fact "$base" consistent_lsn)" ]] ||
		fail "view $1 ended at $(shown "$1"), and its freeze at $(fact "$base" consistent_lsn)"
	lsn_is_told "$1" "$base"
}

# The view itself says the same to whoever reads it, and so does the list of bases.
lsn_is_told() {
	local lsn
	lsn=$(shown "$1")
	grep -q "\"lsn\": *\"$lsn\"" "$VIEWS/$1/.asofs/snapshot.json" || fail "snapshot.json: $(cat "$VIEWS/$1/.asofs/snapshot.json")"
	"$ASOFS" base list "$STORE" >"$TMPDIR/listed"
	grep -A 1 "^base $2: freeze" "$TMPDIR/listed" | grep -q "moments: from $lsn " || fail "$(cat "$TMPDIR/listed")"
}

# sum VIEW TABLE COLUMN-NUMBER
sum() { awk -F, -v c="$3" 'NR > 1 { s += $c } END { print s + 0 }' "$VIEWS/$1/public/pgbench_$2.csv"; }
rows() { echo $(($(wc -l <"$VIEWS/$1/public/$2.csv") - 1)); }

sums_hold() {
	local a
	a=$(sum "$1" accounts 3)
	[[ $a == "$(sum "$1" branches 2)" && $a == "$(sum "$1" tellers 3)" && $a == "$(sum "$1" history 4)" ]] ||
		fail "the sums of $1 differ"
}

# What a view shows, as long as it is there.
view_sums() { (cd "$VIEWS/$1/public" && md5sum -- *.csv); }
