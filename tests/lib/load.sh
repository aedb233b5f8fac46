# shellcheck shell=bash
# pgbench at full speed, and the sums that each of its transactions keeps: it adds one amount to an account, a
# teller, a branch and the history. Source after common.sh.

LOAD_ACCOUNTS=${LOAD_ACCOUNTS:-100000} # with fewer a copy takes less time

# load_start OPTION-of-pgbench...: fills the database and starts to write.
load_start() {
	pgbench -i -q -s 1 "$CONN" >/dev/null 2>&1
	if ((LOAD_ACCOUNTS < 100000)); then
		sql "DELETE FROM pgbench_accounts WHERE aid > $LOAD_ACCOUNTS" 'VACUUM FULL pgbench_accounts'
	fi
	pgbench --show-script=tpcb-like 2>&1 | sed "s/100000 \* :scale/$LOAD_ACCOUNTS/" >"$TMPDIR/load.sql"
	pgbench -n -j 1 -T 600 -f "$TMPDIR/load.sql" "$@" "$CONN" >"$TMPDIR/load.log" 2>&1 &
	load_job=$!
	wait_until '[[ $(sql "SELECT count(*) FROM pgbench_history") -gt 50 ]]'
}

# Every client has to have come through: one whose transaction was cancelled gives up.
load_stop() {
	kill -0 "$load_job" || fail "the load stopped: $(tail -n 5 "$TMPDIR/load.log")"
	! grep -iE 'error|abort' "$TMPDIR/load.log" || fail 'a writer suffered'
	kill "$load_job"
	wait "$load_job" || true
}

# load_sum DIR TABLE COLUMN
load_sum() {
	awk -F, -v name="$3" '
		NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i; next }
		{ sum += $column }
		END { printf "%d", sum }' "$1/public/pgbench_$2.csv"
}

# load_check DIR WHAT: the four sums are equal, so DIR shows one moment.
load_check() {
	local dir=$1 accounts tellers branches history
	accounts=$(load_sum "$dir" accounts abalance)
	tellers=$(load_sum "$dir" tellers tbalance)
	branches=$(load_sum "$dir" branches bbalance)
	history=$(load_sum "$dir" history delta)
	[[ $accounts == "$tellers" && $accounts == "$branches" && $accounts == "$history" ]] ||
		fail "$2: $accounts in accounts, $tellers in tellers, $branches in branches, $history in history"
	[[ $(wc -l <"$dir/public/pgbench_accounts.csv") == $((LOAD_ACCOUNTS + 1)) ]] || fail "$2: rows are lost or doubled"
}
