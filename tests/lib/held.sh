# shellcheck shell=bash
# Rows that wait in the second database, in the middle of their COPY: those of a column of domain held_text, whose
# check asks a function that waits for a lock. Source after common.sh; SECOND is the second database.

# For the source, with the tables; pg_dump -s brings it to the second database.
held_types() {
	psql_do <<-'SQL'
		CREATE FUNCTION may_go(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE DOMAIN held_text AS text CHECK (public.may_go(VALUE));
	SQL
}

# From now on such rows wait there for a lock that a session of ours has; until let_go.
hold() {
	CONN=$SECOND sql "CREATE OR REPLACE FUNCTION public.may_go(text) RETURNS boolean LANGUAGE plpgsql
		AS 'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(42); RETURN true; END'"
	mkfifo "$TMPDIR/hold"
	CONN=$SECOND psql_do <"$TMPDIR/hold" >"$TMPDIR/hold.out" &
	holder=$!
	exec {holding}>"$TMPDIR/hold"
	echo 'SELECT pg_advisory_lock(42);' >&"$holding"
	wait_until "[[ \$(CONN=\$SECOND sql \"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND granted\") == 1 ]]"
}

let_go() {
	echo "\\q" >&"$holding"
	exec {holding}>&-
	wait "$holder"
	rm "$TMPDIR/hold"
}

# The sessions of workers that wait there: their processes, where they come from.
held_ones() { of_held_ones pid; }
held_hosts() { of_held_ones client_addr; }

of_held_ones() {
	CONN=$SECOND sql "SELECT $1 FROM pg_stat_activity
		WHERE application_name LIKE 'asofs test worker%' AND wait_event = 'advisory' ORDER BY 1"
}
