# shellcheck shell=bash
# A server whose log is shipped to a store, a workload on it, and moments of it that are noted with all that
# was in the tables then. Source after common.sh.
#
#   STORE    the store               MOMENTS  what is known of them: MOMENTS/<n>/{lsn,time,xid,sums,tables}
#   ALL      the tables that are summed; each has integer columns only, but "text"
STORE=$TMPDIR/store
MOMENTS=$TMPDIR/moments
ALL=(pgbench_accounts pgbench_branches pgbench_tellers pgbench_history one emptied packed parts prepared nested
	open numbered marker)
moments=0 following=0

# --- The server and its store ----------------------------------------------------------------------------

# origin_start [line of postgresql.conf...]: the server, filled.
origin_start() {
	CLUSTER_INITDB=--data-checksums cluster_start origin 'wal_level = replica' 'max_prepared_transactions = 10' \
		'max_slot_wal_keep_size = 4GB' 'max_wal_size = 256MB' 'autovacuum_naptime = 1s' \
		'track_commit_timestamp = on' "$@"
	pgbench -i -q -s 1 "$CONN" >"$TMPDIR/init.log" 2>&1
	psql_do <<-'SQL'
		CREATE TABLE one (n int PRIMARY KEY, text text);
		ALTER TABLE one ALTER COLUMN text SET STORAGE EXTERNAL;
		INSERT INTO one SELECT i, repeat(md5(i::text), 200) FROM generate_series(1, 50) i;
		CREATE TABLE emptied AS SELECT i AS n FROM generate_series(1, 2000) i;
		CREATE TABLE packed AS SELECT i AS n, i % 7 AS m FROM generate_series(1, 3000) i;
		CREATE TABLE parts (n int, m int) PARTITION BY RANGE (n);
		CREATE TABLE parts_0 PARTITION OF parts FOR VALUES FROM (0) TO (1000);
		CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1000) TO (2000000);
		CREATE TABLE prepared (n int);
		CREATE TABLE nested (n int);
		CREATE TABLE open (n int);
		CREATE TABLE numbered (n bigserial, m int);
		CREATE TABLE marker (n int);
		CREATE PROCEDURE subtransactions(k int) LANGUAGE plpgsql AS $$
			BEGIN
				FOR i IN 1 .. 80 LOOP -- more than the 64 that a snapshot holds
					BEGIN
						INSERT INTO nested VALUES (k + i);
						IF i % 3 = 0 THEN RAISE EXCEPTION 'no'; END IF;
					EXCEPTION WHEN raise_exception THEN NULL;
					END;
				END LOOP;
			END $$;
	SQL
	mkdir -p "$MOMENTS"
}

# The store is postgres', whoever runs the test. follow is to be stopped by follow_stop.
# The first moment of a base is known to the second: no moment of a test falls into the same one.
next_second() {
	local now
	now=$(date +%s)
	wait_until "((\$(date +%s) > $now))"
}

base_take() {
	next_second
	"$ASOFS" base create "$STORE" "$CONN" >>"$TMPDIR/base.out" 2>"$TMPDIR/base.err" || fail "$(cat "$TMPDIR/base.err")"
	next_second
}

follow_start() {
	"$ASOFS" base follow "$STORE" 2>"$TMPDIR/follow.err" &
	following=$!
	wait_until "[[ \$(sql 'SELECT bool_or(active) FROM pg_replication_slots') == t ]]"
}

# Everything that was written so far is in whole segments.
log_ship() {
	local last
	sql 'INSERT INTO marker VALUES (-1)' 'DELETE FROM marker WHERE n = -1' 'SELECT clock_timestamp()' >"$TMPDIR/shipped"
	last=$(end_segment)
	wait_until "[[ -f $STORE/log/$last ]]"
}

# The store's log is known to have everything that was committed until then (UTC).
log_proves() {
	local end
	end=$("$ASOFS" base list "$STORE" | sed -n 's/^ *moments: .* to [0-9A-F/]* (\(2[^+]*\)+00).*/\1/p' | sort | tail -n 1)
	[[ $end > $1 ]]
}

follow_stop() {
	kill -TERM "$following"
	wait "$following" || fail "follow: $(cat "$TMPDIR/follow.err")"
}

# --- The workload ----------------------------------------------------------------------------------------

# One round of what is not pgbench: $1 is its number. Transactions that stay open are those of open_start.
upset() {
	local k=$1
	psql_do >/dev/null <<-SQL
		BEGIN; TRUNCATE emptied; INSERT INTO emptied SELECT i + $k FROM generate_series(1, 1000 + $k) i; COMMIT;
		UPDATE packed SET n = n + 1 WHERE m = $k % 7; DELETE FROM packed WHERE n = $k;
		INSERT INTO one SELECT 1000 * $k + i, repeat(md5(i::text), 300 + $k) FROM generate_series(1, 3) i;
		UPDATE one SET text = text || 'x' WHERE n % 5 = $k % 5;
		INSERT INTO numbered (m) SELECT i FROM generate_series(1, 10 + $k) i;
		INSERT INTO parts SELECT i * 10, $k FROM generate_series(1, 200) i;
		CALL subtransactions(1000 * $k);
		BEGIN; INSERT INTO prepared VALUES ($k); PREPARE TRANSACTION 'kept $k';
		BEGIN; INSERT INTO prepared VALUES (-$k); PREPARE TRANSACTION 'lost $k';
		COMMIT PREPARED 'kept $k'; ROLLBACK PREPARED 'lost $k';
		CREATE TABLE new_$k AS SELECT i AS n FROM generate_series(1, 100 * $k) i;
		ALTER TABLE new_$k ADD COLUMN m int DEFAULT $k;
		ALTER TABLE numbered ALTER COLUMN m TYPE bigint; -- a rewrite
		DROP TABLE IF EXISTS new_$((k > 2 ? k - 2 : 0));
	SQL
	case $((k % 8)) in
	1) database_create "other_$k" file_copy ;;
	5) database_create "other_$k" wal_log ;;
	2 | 6) sql "DROP DATABASE IF EXISTS other_$((k > 5 ? k - 5 : 0))" ;; # so that few are copied and looked at again and again
	3 | 7) sql 'CLUSTER one USING one_pkey' 'CHECKPOINT' ;;
	*) sql 'VACUUM FULL packed' ;;
	esac
}

# database_create NAME STRATEGY
database_create() {
	sql "CREATE DATABASE $1 STRATEGY $2"
	psql_do -d "dbname=$1 ${CONN/dbname=test/}" -c 'CREATE TABLE inside (i int)'
}

# A transaction that stays open, with a subtransaction in it, and one that stays prepared.
open_start() {
	psql_do >"$TMPDIR/open.out" 2>&1 <<-'SQL' &
		BEGIN;
		INSERT INTO open SELECT 1 FROM generate_series(1, 500);
		SAVEPOINT s;
		INSERT INTO open VALUES (2);
		SELECT pg_sleep(600); -- ends with the server
	SQL
	sql "BEGIN; INSERT INTO open VALUES (3); PREPARE TRANSACTION 'stays'" >/dev/null
}

# --- Moments ---------------------------------------------------------------------------------------------

summing() {
	local table
	for table in "${ALL[@]}"; do
		case $table in
		pgbench_accounts) echo "SELECT '$table', count(*), coalesce(sum(abalance), 0) FROM $table" ;;
		pgbench_branches) echo "SELECT '$table', count(*), coalesce(sum(bbalance), 0) FROM $table" ;;
		pgbench_tellers) echo "SELECT '$table', count(*), coalesce(sum(tbalance), 0) FROM $table" ;;
		pgbench_history) echo "SELECT '$table', count(*), coalesce(sum(delta), 0) FROM $table" ;;
		one) echo "SELECT '$table', count(*), coalesce(sum(n + length(text)), 0) FROM $table" ;;
		packed | parts | numbered) echo "SELECT '$table', count(*), coalesce(sum(n + m), 0) FROM $table" ;;
		*) echo "SELECT '$table', count(*), coalesce(sum(n), 0) FROM $table" ;;
		esac
	done | sed '$!s/$/ UNION ALL/' && echo 'ORDER BY 1'
}

# The same of a view.
sums_of() {
	local table
	for table in "${ALL[@]}"; do
		awk -F, -v table="$table" '
			BEGIN { split("n abalance bbalance tbalance delta m text", names, " ") }
			NR == 1 {
				for (i = 1; i <= NF; i++) column[$i] = i
				if (table !~ /^pgbench/) { first = column["n"]; second = column["m"]; long = column["text"] }
				if (table ~ /accounts/) first = column["abalance"]
				if (table ~ /branches/) first = column["bbalance"]
				if (table ~ /tellers/) first = column["tbalance"]
				if (table ~ /history/) first = column["delta"]
				next
			}
			{ sum += $first + (second ? $second : 0) + (long ? length($long) : 0) }
			END { printf "%s|%d|%d\n", table, NR - 1, sum }' "$1/$table.csv" || echo "$table is missing"
	done | sort
}

# Notes this very moment. SHARE locks keep the writers out meanwhile; what is left open holds none of these
# tables, but "open" and "prepared", which nobody else writes.
moment_note() {
	local dir=$MOMENTS/$((++moments)) locked
	mkdir -p "$dir"
	locked=$(printf ', %s' "${ALL[@]}" | sed 's/^, //; s/, open,/,/; s/, prepared,/,/')
	sql "INSERT INTO marker VALUES ($moments)"
	psql_do >"$dir/out" <<-SQL
		BEGIN;
		LOCK TABLE $locked IN SHARE MODE;
		\o $dir/sums
		$(summing);
		\o $dir/tables
		SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
			AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname COLLATE "C";
		\o $dir/lsn
		SELECT pg_current_wal_insert_lsn();
		\o $dir/time
		SELECT clock_timestamp();
		\o $dir/databases
		SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1;
		COMMIT;
	SQL
}

# tpcb_holds FILE: the amounts that pgbench added to accounts, branches and tellers are those of its history.
tpcb_holds() {
	[[ $(grep -c '^pgbench_' "$1") == 4 && $(grep '^pgbench_' "$1" | cut -d'|' -f3 | uniq | wc -l) == 1 ]]
}

# moment_check N DIR-of-the-schema: everything that was noted is there, and nothing later.
moment_check() {
	local dir=$MOMENTS/$1
	sums_of "$2" | diff "$dir/sums" - || fail "moment $1: other sums"
	tpcb_holds "$dir/sums" || fail "moment $1: the sums of TPC-B differ: $(cat "$dir/sums")"
	find "$2" -name '*.csv' -printf '%f\n' | sed 's/\.csv$//' | LC_ALL=C sort | diff "$dir/tables" - ||
		fail "moment $1: other tables"
	[[ $(tail -n +2 "$2/marker.csv" | sort -n | tail -n 1) == "$1" ]] || fail "moment $1: another marker"
}

# view_mount DIR [option...]: a moment of the store, of the database "test".
view_mount() {
	local dir=$1
	shift
	mkdir -p "$dir"
	"$ASOFS" mount -q --spool="$SPOOL" --database=test "$@" "$STORE" "$dir"
}

# Nothing of a view, or of the making of one, is left, but the views that are named.
store_is_clean() {
	local left
	left=$(find "$STORE" -maxdepth 1 -name 'making-*'
		find "$STORE/view" -mindepth 1 -maxdepth 1 -printf "%f\n" 2>/dev/null | grep -vxF -f <(printf '%s\n' "$@" nothing) || true)
	[[ -z $left ]] || fail "left in the store: $left"
}

# Directories of private servers in which nobody works any more; those of other tests that run meanwhile have
# their processes.
servers() {
	local dir
	for dir in /tmp/asofs-??????; do
		# shellcheck disable=SC2062 # not the pattern
		[[ ! -d $dir ]] || grep -qsaF --file=- /proc/[0-9]*/cmdline <<<"$dir" || echo "$dir"
	done
}

# no_server_left FILE: none but those that FILE lists.
no_server_left() { [[ -z $(servers | sort | comm -13 <(sort "$1") -) ]]; }

# --- A server of one's own -------------------------------------------------------------------------------

# amcheck_of DIR: whatever pg_amcheck can find, it does not find in the data directory DIR/data, in any database. A
# server is started there, which has its socket in DIR, and is stopped again; so it has to be one that may be written.
amcheck_of() {
	local dir=$1 status=0 origin=${CLUSTER:-} conn=$CONN
	printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$dir'" 'fsync = off' 'autovacuum = off' \
		'max_prepared_transactions = 10' >"$dir/data/postgresql.conf"
	echo 'local all all trust' >"$dir/data/pg_hba.conf"
	give_to_postgres "$dir/data/postgresql.conf" "$dir/data/pg_hba.conf"
	cluster_run "$dir"
	pg_amcheck -h "$dir" -U postgres --all --install-missing --heapallindexed --rootdescend --progress --jobs=2 \
		>"$TMPDIR/amcheck.log" 2>&1 || status=$?
	cluster_stop "$dir"
	CLUSTER=$origin CONN=$conn
	((status == 0)) || fail "pg_amcheck, status $status: $(cat "$TMPDIR/amcheck.log")"
	grep -qE '^ *([1-9][0-9]*)/\1 relations \(100%\)' "$TMPDIR/amcheck.log" ||
		fail "pg_amcheck did not look at everything: $(cat "$TMPDIR/amcheck.log")"
}

# own_tmp: the case goes on in a mount namespace of its own, with a /tmp where only it, its program and its sources are.
own_tmp() {
	[[ -z ${OWN_TMP:-} ]] || return 0
	trap - EXIT ERR
	# shellcheck disable=SC2016,SC2154 # for the inner shell; common.sh has lib
	exec "$lib/alone" bash -euc '
		aside=/run/asofs-test.$$ n=0
		case=$1
		shift
		for dir; do
			mkdir -p "$aside/$((++n))"
			mount --rbind "$dir" "$aside/$n"
		done
		mount -t tmpfs -o mode=1777 tmpfs /tmp
		n=0
		for dir; do
			mkdir -p "$dir"
			mount --rbind "$aside/$((++n))" "$dir"
			umount -l "$aside/$n"
			rmdir "$aside/$n"
		done
		rmdir "$aside"
		OWN_TMP=yes exec bash "$case"' bash "$(realpath "$0")" "$(realpath "$(dirname "$0")/../..")" "$BUILD" "$TMPDIR"
}
