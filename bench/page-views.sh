# shellcheck shell=bash disable=SC2154,SC2034
# One small table of a past moment, from the command to its first rows, out of a base of some size and out of one of 8 times
# that size, with the same log to replay; what it takes on disk; and how fast a long log is replayed through pagefs.
#
#   extract   asofs extract STORE OUT --at=TIME --tables=public.one, then head
#   mount     asofs mount STORE DIR --at=TIME --tables=public.one, then head
#   copy      the classic way: copy the backup (cp -a), recover to the same time from the same log, promote, COPY the table, head
#   full      the same with cp --reflink=never; only where the file system can share blocks, as it is the same thing elsewhere
#   keep      asofs extract --view=NAME: the view stays, and is on the disk
#   restore   as copy, but with fsync=on: the copy is on the disk
#
# A contender is SIZE-WAY. Those in front of keep wait for no disk: the caches hold base and log, and copy has fsync=off. Only
# equals are compared. The classic ways have the settings of the server that the backup was taken from. The log changes the same
# rows in both sizes: those of pgbench's tables, which are as large in both.

# shellcheck source=bench/pages.sh
. "$bench_home/pages.sh"

views_megabytes=$(bench_at_scale "$bench_megabytes" 100)
views_accounts=$(bench_at_scale 20 2)
views_log=$(bench_at_scale 48 20)
views_long_log=$(bench_at_scale 600 40)
views_of=$bench_dir/views
mkdir -p "$views_of/copies" "$bench_dir/socket"
if ((EUID == 0)); then chown postgres: "$views_of/copies" "$bench_dir/socket"; fi
chmod 0700 "$bench_dir/socket"

# --- a base, its log, and a moment in it ---

views_psql() {
	psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --command="$1"
}

# MEGABYTES: pgbench's tables and "one", and what fills the database up to that size. Made without a log.
views_fill() {
	createdb "$PGDATABASE"
	pgbench --initialize --init-steps=dtgp --scale="$views_accounts" --quiet 2>/dev/null
	views_psql "CREATE TABLE one AS SELECT i, 'row ' || i AS what FROM generate_series(1, 1000) i"
	views_psql "CREATE TABLE filler (i int, what text); ALTER TABLE filler ALTER what SET STORAGE PLAIN"
	views_psql "BEGIN; TRUNCATE filler;
		INSERT INTO filler SELECT i, repeat(chr(65 + i % 26), 8000) FROM generate_series(1,
			greatest(0, ($1::bigint * 1048576 - pg_database_size(current_database())) / 8192)::int) i; COMMIT"
	views_psql "VACUUM (FREEZE, ANALYZE)"
}

views_server() {
	server_as_owner pg_ctl "$1" --pgdata="$views_make/data" --log="$views_make/server.log" --timeout=120 --wait "${@:2}" \
		>"$bench_dir/start.log" 2>&1 </dev/null || {
		tail -n 5 "$bench_dir/start.log" "$views_make/server.log" >&2
		fail "the server cannot $1"
	}
}

# From now on with a log, which is archived.
views_begin_log() {
	(cd "$views_make" && views_server stop)
	server_configure "$views_make" fsync=off autovacuum=off wal_level=replica max_wal_senders=4 max_wal_size=8GB \
		archive_mode=on "archive_command=cp %p $views_of/$1/log/%f" | server_as_owner tee -a "$views_make/data/postgresql.conf" >/dev/null
	(cd "$views_make" && views_server start)
}

# MEGABYTES of log of pgbench's transactions.
views_write_log() {
	local start
	start=$(views_psql "SELECT pg_current_wal_lsn()")
	while [[ $(views_psql "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '$start') < $1 * 1048576") == t ]]; do
		pgbench --no-vacuum --client=2 --jobs=2 --transactions=$(($1 * 4)) >/dev/null 2>&1
	done
}

# The moment, after which something else happens; the log of both is archived.
views_end_log() {
	local last
	views_psql "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')" >"$views_of/$1/moment"
	sleep 0.1
	views_psql "UPDATE one SET what = 'later'"
	last=$(views_psql "SELECT pg_walfile_name(pg_switch_wal() - 1)")
	until [[ -e $views_of/$1/log/$last ]]; do sleep 0.05; done
	sleep 0.1   # it may still be growing
}

# SIZE MEGABYTES LOG: $views_of/SIZE/ gets base, log, store and moment.
views_prepare() {
	local of=$views_of/$1
	views_make=$bench_dir/make
	mkdir "$views_make" "$of" "$of"/{base,log}
	if ((EUID == 0)); then chown postgres: "$of"/{base,log}; fi
	chmod 0700 "$of/base"
	server_start "$views_make" fsync=off wal_level=minimal max_wal_senders=0 autovacuum=off max_wal_size=8GB
	bench_later server_stop "$views_make"
	local -x PGHOST=$views_make
	views_fill "$2"
	views_begin_log "$1"
	(cd "$views_make" && PGHOST=$views_make server_as_owner pg_basebackup --username=postgres --pgdata="$of/base" --wal-method=none \
		--checkpoint=fast --no-sync) >"$bench_dir/run.log" 2>&1 || {
		cat "$bench_dir/run.log" >&2
		fail 'pg_basebackup failed'
	}
	views_write_log "$3"
	views_end_log "$1"
	bench_undo_last
	rm -rf "$views_make"
	"$bench_asofs" base add "$of/store" "$of/base" --log="$of/log" >"$bench_dir/run.log" 2>&1 || {
		cat "$bench_dir/run.log" >&2
		fail 'asofs base add failed'
	}
}

# --- those who compete: SIZE ---

views_asofs() {
	local command=$1 of=$views_of/$2
	"$bench_asofs" "$command" -q "$of/store" "$3" --at="$(<"$of/moment")" --database="$PGDATABASE" --tables=public.one "${@:4}"
}

views_extract() {
	views_asofs extract "$1" "$bench_dir/extracted"
	head -n 2 "$bench_dir/extracted/public/one.csv"
}

views_mount() {
	mkdir -p "$bench_dir/mnt"
	views_asofs mount "$1" "$bench_dir/mnt" --spool="$bench_dir"
	head -n 2 "$bench_dir/mnt/public/one.csv"
}

views_keep() {
	views_asofs extract "$1" "$bench_dir/extracted" --view=kept
	head -n 2 "$bench_dir/extracted/public/one.csv"
}

views_copy() {
	views_classic "$1" auto off
}

views_full() {
	views_classic "$1" never off
}

views_restore() {
	views_classic "$1" auto on
}

# SIZE auto|never FSYNC
views_classic() {
	local of=$views_of/$1 copy=$views_of/copies/data
	cp -a --reflink="$2" "$of/base" "$copy" || return
	server_configure "$bench_dir/socket" archive_mode=off hot_standby=off "fsync=$3" "restore_command=cp $of/log/%f %p" \
		"recovery_target_time=$(<"$of/moment")" recovery_target_action=promote >>"$copy/postgresql.conf"
	touch "$copy/recovery.signal"
	chown --reference="$copy" "$copy/recovery.signal"
	views_recover "$copy" || return
	PGHOST=$bench_dir/socket psql --no-psqlrc --quiet --command='COPY one TO STDOUT (FORMAT csv, HEADER)' >"$views_of/copied.csv"
	head -n 2 "$views_of/copied.csv"
}

# DATA: until recovery has ended. pg_ctl does not wait that long: it is content with a standby.
views_recover() {
	local tries=30000
	rm -f "$views_of/copies/log"
	(cd "$views_of" && server_as_owner pg_ctl start --pgdata="$1" --log="$views_of/copies/log" --no-wait) \
		>"$bench_dir/start.log" 2>&1 </dev/null
	until grep -qs 'ready to accept connections' "$views_of/copies/log"; do
		! grep -qs 'FATAL:' "$views_of/copies/log" || return 1
		((tries-- > 0)) || return 1
		sleep 0.01
	done
}

# What each leaves, outside the timing. The process behind a mount drops its view when it has been unmounted.
views_end_extract() {
	rm -rf "$bench_dir/extracted"
}

views_end_mount() {
	umount "$bench_dir/mnt"
	while [[ -n $(ls -A "$views_of/$1/store/view") ]]; do sleep 0.02; done
}

views_end_copy() {
	pages_stop "$(head -n 1 "$views_of/copies/data/postmaster.pid")"
	rm -rf "$views_of"/copies/*
}

views_end_full() {
	views_end_copy
}

views_end_restore() {
	views_end_copy
}

views_end_keep() {
	rm -rf "$bench_dir/extracted" "$views_of/$1/store/view/kept"
}

# ROUND KEY
views_run() {
	local size=${2%-*} way=${2#*-} begin end
	begin=${EPOCHREALTIME/[.,]/}
	"views_$way" "$size" >"$bench_dir/run.log" 2>&1 || {
		tail -n 15 "$bench_dir/run.log" "$bench_dir/start.log" "$views_of/copies/log" >&2
		fail "$2 failed"
	}
	end=${EPOCHREALTIME/[.,]/}
	echo "$1|$2|$((end - begin))e-6" >>"$bench_records"
	grep -qx '1,row 1' "$bench_dir/run.log" || fail "$2 shows another moment: $(<"$bench_dir/run.log")"
	if [[ $way == copy ]]; then du -s --block-size=1 "$views_of/copies/data" | cut -f 1 >"$views_of/$size/copied"; fi
	"views_end_$way" "$size"
	pages_settle
}

# SIZE: what a view takes that stays, beside the pages that its replay changed.
views_weigh() {
	local of=$views_of/$1 bytes pages
	views_keep "$1" >"$bench_dir/run.log" 2>&1 || {
		cat "$bench_dir/run.log" >&2
		fail 'asofs extract --view failed'
	}
	sync
	bytes=$(du -s --block-size=1 "$of/store/view/kept" | cut -f 1)
	pages=$("$bench_asofs" store check "$of/store" | sed -nE 's/.*stored pages ([0-9]+).*/\1/p')
	[[ -n $pages ]] || fail 'asofs store check did not tell the number of stored pages'
	views_end_keep "$1"
	bench_figure "$1: the view on disk" "$(pages_each_of "$bytes" 1048576)" MiB
	bench_figure "$1: the copy on disk" "$(pages_each_of "$(<"$of/copied")" 1048576)" MiB
	bench_figure "$1: bytes on disk a byte of changed pages ($pages pages)" "$(pages_each_of "$bytes" $((pages * 8192)))" '' 1.1
}

pages_each_of() {
	awk -v bytes="$1" -v n="$2" 'BEGIN { printf "%.4f", bytes / n }'
}

views_ways=(extract mount copy keep restore)
views_can_share() {
	: >"$views_of/probe"
	cp --reflink=always "$views_of/probe" "$views_of/probe2" 2>/dev/null
}

# SIZE TARGET
views_compare() {
	bench_compare "$1-extract" "$1-copy" "$2"
	bench_compare "$1-mount" "$1-copy" "$2"
	bench_compare "$1-keep" "$1-restore" "$2"
	if [[ ${views_ways[-1]} == full ]]; then bench_compare "$1-extract" "$1-full" "$2"; fi
}

views_contenders() {
	local size way
	if views_can_share; then views_ways+=(full); fi
	for size in small large; do
		for way in "${views_ways[@]}"; do bench_keys+=("$size-$way"); done
	done
	views_compare small 3
	views_compare large 15
	for way in extract mount keep; do bench_compare "large-$way" "small-$way" 0.833; done   # 1.2 times the time at most
}

views_first_rows() {
	local round key
	bench_title "one small table at a past moment: bases of $views_megabytes and $((8 * views_megabytes)) MB, $views_log MB of log"
	views_prepare small "$views_megabytes" "$views_log"
	views_prepare large $((8 * views_megabytes)) "$views_log"
	views_contenders
	pages_settle
	for ((round = 0; round <= bench_rounds; round++)); do
		for key in "${bench_keys[@]}"; do views_run "$round" "$key"; done
	done
	bench_report_values s less 'from the command to the first rows'
	echo
	views_weigh small
	views_weigh large
	rm -rf "$views_of"/{small,large}
	pages_settle
}

# --- replay of a long log ---
#
# By hand what a page view does first: a server with the settings of the private server that matter here, on a fresh view and
# on a fresh copy. Its own words tell how long the replay took.

# KEY: the server is started at $pages_shown, and returns when recovery has ended.
views_replay() {
	local conf=$pages_shown/postgresql.conf
	rm -f "$conf" "$pages_shown/postgresql.auto.conf"
	{
		server_configure "$bench_dir/socket" fsync=off full_page_writes=off synchronous_commit=off wal_level=logical \
			shared_buffers=512MB max_wal_size=1TB checkpoint_timeout=1d wal_recycle=off wal_init_zero=off autovacuum=off \
			bgwriter_lru_maxpages=0 max_wal_senders=0 hot_standby=off recovery_target_action=promote log_min_messages=warning \
			"recovery_target_time=$(<"$views_of/long/moment")" "restore_command=ln -sf $views_of/long/log/%f %p"
	} | server_as_owner tee "$conf" >/dev/null
	server_as_owner tee "$pages_shown/pg_hba.conf" <<<'local all all trust' >/dev/null
	server_as_owner touch "$pages_shown/pg_ident.conf" "$pages_shown/recovery.signal"
	views_recover "$pages_shown" || {
		tail -n 15 "$bench_dir/start.log" "$views_of/copies/log" >&2
		fail "$1: the server did not start"
	}
	bench_later pages_stop "$(head -n 1 "$pages_shown/postmaster.pid")"
}

# ROUND KEY
views_replay_run() {
	local begin end
	pages_show "$2"
	begin=${EPOCHREALTIME/[.,]/}
	views_replay "$2"
	end=${EPOCHREALTIME/[.,]/}
	echo "$1|$2|$((end - begin))e-6" >>"$bench_dir/ready.records"
	echo "$1|$2|$(sed -nE 's/.*redo done at .* elapsed: ([0-9.]+) s.*/\1/p' "$views_of/copies/log")" >>"$bench_records"
	bench_undo_last
	pages_hide "$2"
}

views_replay_rounds() {
	local round key megabytes
	bench_begin "$bench_name"
	views_prepare long $((views_long_log + 100)) "$views_long_log"
	megabytes=$(du -s --block-size=1M "$views_of/long/log" | cut -f 1)
	echo
	echo "replay of $megabytes MB of log"
	bench_keys=(private-plain private-pagefs)
	bench_compare private-pagefs private-plain 0.8
	pages_base "$views_of/long/base" 0
	: >"$bench_dir/ready.records"
	for ((round = 0; round <= bench_rounds; round++)); do
		for key in "${bench_keys[@]}"; do views_replay_run "$round" "$key"; done
	done
	bench_report_values s less 'redo, as the server says'
	echo
	bench_records=$bench_dir/ready.records
	bench_report_values s less 'from start until ready'
	pages_base_end
	rm -rf "$views_of/long"
}

views_first_rows
views_replay_rounds
