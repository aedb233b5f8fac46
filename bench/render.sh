# shellcheck shell=bash disable=SC2154,SC2034
# Tables of a past moment, rendered from the pages of a view, against the server that has the same rows, and against asofs
# that copies them (--render=never). Four tables: accounts of pgbench; order lines as in TPC-H; a mix of types; long
# texts in TOAST.
#
#   psql      backend and psql together: \copy of the table to /dev/null
#   render    one thread renders the whole; measure: only its length; two: two threads render it, its length known
#             (tests/model/renderfile of the build of that asofs, on the server's files)
#   first     cat from the mount, which has to measure the table first; known: which has measured it
#   KIND-SIZE where a log of that size has to be replayed; auto, always, never: of --render
#
# A key is TABLE-WAY. Only what is written to /dev/null is compared with what is. The store's base is the server as it was
# before the log, so most of what is read has changed since.

render_scale=$(bench_at_scale 100 10)   # of pgbench: 10 MB of text each, and the others are about as large
render_log=$(bench_at_scale 48 20)
render_long_log=$(bench_at_scale 640 60)
render_small=$(bench_at_scale 1000 100)
render_tables=(pgbench_accounts lineitem mix long)
render_names=("${render_tables[@]#pgbench_}")
render_of=$bench_dir/render
render_store=$render_of/store
render_file=$(dirname "$bench_asofs")/tests/model/renderfile
mkdir -p "$render_of"/{base,log,plain} "$bench_dir/mnt"
if ((EUID == 0)); then chown postgres: "$render_of"/{base,log}; fi
chmod 0700 "$render_of/base"

render_psql() {
	psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"
}

# --- what is rendered ---

render_fill_mix() {
	render_psql <<-END
		CREATE TABLE mix AS SELECT i::int8 AS id, timestamptz '2020-01-01 00:00+00' + i * interval '7.123457 s' AS at,
			jsonb_build_object('id', i, 'name', 'name ' || i % 1000, 'active', i % 3 = 0, 'score', (i % 10000) / 100.0,
				'address', jsonb_build_object('street', 'Street ' || i % 500, 'number', i % 100, 'town', NULL),
				'tags', jsonb_build_array('a', 'b' || i % 10, 7)) AS doc,
			ARRAY['tag ' || i % 100, 'other'] AS tags, ARRAY[i, i % 10, -i] AS numbers,
			(i::int8 * 7919 % 1000000)::numeric / 100 AS amount, md5(i::text)::uuid AS key FROM generate_series(1, $1) i;
	END
}

# Texts of 10 to 100 kB that pglz makes a third as long: words in an order that looks like none.
render_fill_long() {
	render_psql <<-END
		CREATE TABLE long AS SELECT i AS id, (
			SELECT string_agg(w, ' ') FROM (SELECT (string_to_array('the of and to in is that it was for on are as with
				his they be at one have this from or had by hot but some what there we can out other were all your when up use word
				how said an each she which do their time if will way about many then them would write like so these her long make
				thing see him two has look more day could go come did my sound no most number who over know water than call first
				people may down side been now find', ' '))[1 + abs(hashint4(i * 100000 + k)) % 100] AS w
				FROM generate_series(1, (2000 + i::int8 * 7919 % 18000)::int) k) x) AS remark
			FROM generate_series(1, $1) i;
	END
}

render_fill_small() {
	createdb small
	PGDATABASE=small render_psql >/dev/null <<-END
		SELECT format('CREATE TABLE t_%s AS SELECT i, i * 1.5 AS n, ''row '' || i AS what FROM generate_series(1, 100) i', n)
			FROM generate_series(1, $1) n \gexec
	END
}

render_fill() {
	pgbench --initialize --init-steps=dtgvp --scale="$render_scale" --quiet 2>/dev/null
	bench_fill_orders $((render_scale * 10000))
	render_fill_mix $((render_scale * 30000))
	render_fill_long $((render_scale * 150))
	render_psql --command="CREATE TABLE one AS SELECT i, 'row ' || i AS what FROM generate_series(1, 1000) i"
	render_fill_small "$render_small"
	bench_settle
}

# --- a base, its log, and moments in it ---

# Segments that are full, from the base's on.
render_archive() {
	local first last segment
	first=$(render_psql --command="SELECT pg_walfile_name('$render_start')")
	last=$(render_psql --command='SELECT pg_walfile_name(pg_switch_wal() - 1)')
	for segment in "$bench_dir"/server/data/pg_wal/????????????????????????; do
		if [[ ! ${segment##*/} < $first && ! ${segment##*/} > $last ]]; then cp -pu "$segment" "$render_of/log/"; fi
	done
}

# MEGABYTES of log of pgbench's transactions since the base was made.
render_write_log() {
	while [[ $(render_psql --command="SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '$render_start') < $1 * 1048576") == t ]]; do
		pgbench --no-vacuum --client=2 --jobs=2 --transactions=$(($1 * 4)) >/dev/null 2>&1
	done
}

# NAME: the moment, after which something else happens.
render_end_log() {
	render_psql --command="SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')" >"$render_of/$1"
	sleep 0.1
	render_psql --command="UPDATE one SET what = 'later'" --command="UPDATE one SET what = 'row ' || i"
	render_archive
}

render_prepare() {
	render_fill
	render_start=$(render_psql --command='SELECT pg_current_wal_lsn()')
	(cd "$render_of" && server_as_owner pg_basebackup --host="$PGHOST" --username=postgres --pgdata=base --wal-method=none \
		--checkpoint=fast --no-sync) >"$bench_dir/run.log" 2>&1 || {
		cat "$bench_dir/run.log" >&2
		fail 'pg_basebackup failed'
	}
	render_write_log "$render_log"
	render_end_log moment
	quietly "$bench_asofs" base add "$render_store" "$render_of/base" --log="$render_of/log"
	render_psql --command=CHECKPOINT
	render_mount moment --view=kept
	render_unmount
}

# --- mounts ---

# kept, or a moment's NAME; OPTION…
render_mount() {
	local of=--view=kept
	if [[ $1 != kept ]]; then of=--at=$(<"$render_of/$1"); fi
	"$bench_asofs" mount -q "$render_store" "$bench_dir/mnt" "$of" --database="${render_database:-$PGDATABASE}" \
		--spool="$bench_dir" --jobs="$bench_jobs" "${@:2}" >"$bench_dir/run.log" 2>&1 || {
		tail -n 15 "$bench_dir/run.log" >&2
		fail "asofs mount $* failed"
	}
	bench_later render_unmount_now
}

render_unmount() {
	bench_undo_last
}

# The process behind it drops its view, and ends.
render_unmount_now() {
	local pid
	pid=$(render_daemon)
	umount "$bench_dir/mnt"
	while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
}

render_daemon() {
	pgrep --full --oldest -- " mount -q $render_store $bench_dir/mnt "
}

render_csv() {
	echo "$bench_dir/mnt/public/$1.csv"
}

# FILE…: the kernel keeps nothing of them.
render_drop() {
	local file
	for file; do dd if="$file" iflag=nocache count=0 status=none; done
}

# --- measuring ---

# KEY COMMAND…: seconds that it takes.
render_wall() {
	local begin end
	begin=${EPOCHREALTIME/[.,]/}
	"${@:2}" >/dev/null || fail "$1 failed"
	end=${EPOCHREALTIME/[.,]/}
	render_note "$1" "$((end - begin))e-6"
}

render_note() {
	echo "$render_round|$1|$2" >>"$bench_records"
}

# KEY TABLE: the CPU of backend and psql; KEY-wall: seconds.
render_psql_copy() {
	local before after begin end TIMEFORMAT='%3U %3S'
	before=$(bench_server_cpu)
	begin=${EPOCHREALTIME/[.,]/}
	{ time render_psql --command="\\copy $2 TO /dev/null (FORMAT csv, HEADER)"; } 2>"$bench_dir/time"
	end=${EPOCHREALTIME/[.,]/}
	sleep 0.3   # the postmaster collects its children a little after their clients have gone
	after=$(bench_server_cpu)
	render_note "$1-cpu" "$(awk -v more="$before $after" '{ split(more, s); print $1 + $2 + s[2] - s[1] }' "$bench_dir/time")"
	render_note "$1-wall" "$((end - begin))e-6"
}

# FUNCTION WHAT [KEY…]: rounds of it, and their table.
render_rounds() {
	bench_keys=("${@:3}")
	for ((render_round = 0; render_round <= bench_rounds; render_round++)); do "$1"; done
	bench_report_values "${render_unit:-s}" less "$2"
	echo
	bench_begin "$bench_name"
}

# --- rendering by itself ---

# What tests/model/renderfile needs to know of the tables. The server's files are those of a checkpoint, and nobody writes.
render_describe() {
	local table BUILD=${render_file%/tests/*}
	# shellcheck source=../tests/lib/render.sh
	. "$root/tests/lib/render.sh"
	as_postgres() { "$@"; }
	describe_script >"$bench_dir/describe.sql"
	for table in "${render_tables[@]}"; do
		{
			PGOPTIONS='-c jit=off' render_psql --set=t="$table" --file="$bench_dir/describe.sql"
			describe_control "$bench_dir/server/data"
		} >"$render_of/$table.description"
	done
}

render_cpu_round() {
	local table key by
	for table in "${render_tables[@]}"; do
		key=${table#pgbench_}
		render_psql_copy "$key-psql" "$table"
		by=("$bench_dir/server/data" "$render_of/$table.description")
		"$render_file" --time=1 "${by[@]}" 2>"$bench_dir/time"
		render_note "$key-measure" "$(sed -E 's/^measure ([0-9.]+) s.*/\1/' "$bench_dir/time")"
		render_note "$key-render" "$(sed -E 's/.*write ([0-9.]+) s.*/\1/' "$bench_dir/time")"
		"$render_file" --parts --threads=2 "${by[@]}" 2>"$bench_dir/time"
		render_note "$key-two" "$(sed -E 's/^read ([0-9.]+) s,.*/\1/' "$bench_dir/time")"
	done
}

# TABLE RENDER MEASURE TWO: what to reach.
render_compare_cpu() {
	bench_compare "$1-render" "$1-psql-cpu" "$2"
	bench_compare "$1-measure" "$1-render" "$3"
	bench_compare "$1-two" "$1-psql-wall" "$4"
}

render_by_itself() {
	if [[ ! -x $render_file ]]; then
		echo "there is no $render_file: what is rendered without a mount is left out"
		return
	fi
	render_describe
	render_compare_cpu accounts 9 1.25 17
	render_compare_cpu lineitem 6 1.82 10
	render_compare_cpu mix 6 1.67 10
	render_compare_cpu long 5 1.67 8
	render_rounds render_cpu_round 'CPU; two and psql-wall: as it takes' \
		"${render_names[@]/%/-psql-cpu}" "${render_names[@]/%/-render}" "${render_names[@]/%/-measure}" \
		"${render_names[@]/%/-psql-wall}" "${render_names[@]/%/-two}"
}

# --- from the mount ---

# Nothing is known of a view that was not mounted before.
render_cat_round() {
	local table key
	render_mount moment --render=always
	for table in "${render_tables[@]}"; do
		key=${table#pgbench_}
		render_psql_copy "$key-psql" "$table"
		render_wall "$key-first" cat "$(render_csv "$table")"
		render_drop "$(render_csv "$table")"
		render_wall "$key-known" cat "$(render_csv "$table")"
		if ((render_round == 0)); then render_is_right "$table"; fi
	done
	render_unmount
}

render_is_right() {
	render_psql --command="\\copy $1 TO '$render_of/plain/$1.csv' (FORMAT csv, HEADER)"
	cmp "$(render_csv "$1")" "$render_of/plain/$1.csv" || fail "the mount shows another $1 than the server"
}

# TABLE FIRST KNOWN
render_compare_cat() {
	bench_compare "$1-first" "$1-psql-wall" "$2"
	bench_compare "$1-known" "$1-psql-wall" "$3"
}

render_from_mount() {
	render_compare_cat accounts 5 6.5
	render_compare_cat lineitem 4.5 6
	render_compare_cat mix 4.5 6.5
	render_compare_cat long 3 4
	render_rounds render_cat_round 'cat from the mount' "${render_names[@]/%/-psql-wall}" "${render_names[@]/%/-first}" \
		"${render_names[@]/%/-known}"
}

# --- until there is something to read ---

# KEY TABLE MOMENT OPTION…: from the command to the first rows.
render_head() {
	local begin end
	begin=${EPOCHREALTIME/[.,]/}
	render_mount "${@:3}"
	head -n 2 "$(render_csv "$2")" >"$bench_dir/time" || fail "$1 failed"
	end=${EPOCHREALTIME/[.,]/}
	render_note "$1" "$((end - begin))e-6"
	[[ $(wc -l <"$bench_dir/time") == 2 ]] || fail "$1 shows nothing"
	render_unmount
}

render_head_round() {
	local when
	for when in always never; do
		render_head "accounts-$when" pgbench_accounts moment --tables=pgbench_accounts --render=$when
	done
	for when in auto never; do
		render_head "tiny-$when" one moment --tables=one --render=$when
	done
	render_wall kept render_mount kept
	render_unmount
	render_database=small render_mount moment --render=always
	render_wall 'ls' ls -l "$bench_dir/mnt/public"
	render_unmount
}

render_tiny_round() {
	local when
	for when in auto never; do
		render_head "tiny-$when" one later --tables=one --render=$when
	done
}

render_until_read() {
	bench_compare accounts-always accounts-never 4
	bench_compare tiny-auto tiny-never 0.91
	render_rounds render_head_round "until read: $render_log MB of log; ls of $render_small tables (0.3 at most); kept (0.06)" \
		accounts-always accounts-never tiny-auto tiny-never kept ls
	render_write_log "$render_long_log"
	render_end_log later
	bench_compare tiny-auto tiny-never 0.91
	render_rounds render_tiny_round "until read: $render_long_log MB of log" tiny-auto tiny-never
}

# --- reading in other ways ---

# FILE: the median of some reads of 128 KiB at random places, in microseconds; nothing of it is in a cache. So few that
# hardly any finds what another one left there.
render_random() {
	perl -MTime::HiRes=time -e '
		open(my $f, "<", $ARGV[0]) or die; my $size = -s $f; srand(1); my @took;
		for (1 .. $ARGV[1]) {
			my $from = int(rand($size - 131072)); my $was = time;
			sysseek($f, $from, 0); sysread($f, my $part, 131072) == 131072 or die;
			push @took, time - $was;
		}
		@took = sort { $a <=> $b } @took; printf "%.1f\n", 1e6 * $took[@took / 2]' "$1" $((render_scale * 4))
}

# CPU of the mount so far, in seconds.
render_daemon_cpu() {
	awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$(render_daemon)/stat"
}

# KEY FILE…: seconds that one reader takes; KEY-cpu: the CPU of mount and reader meanwhile, as if all cores had shared it.
render_one_reader() {
	local before after begin end TIMEFORMAT='%3U %3S'
	before=$(render_daemon_cpu)
	begin=${EPOCHREALTIME/[.,]/}
	{ time cat "${@:2}" >/dev/null; } 2>"$bench_dir/time"
	end=${EPOCHREALTIME/[.,]/}
	after=$(render_daemon_cpu)
	render_note "$1" "$((end - begin))e-6"
	render_note "$1-cpu" "$(awk -v more="$after $before" -v cores="$(nproc)" \
		'{ split(more, s); print ($1 + $2 + s[1] - s[2]) / cores }' "$bench_dir/time")"
}

render_both() {
	cat "$1" &
	cat "$2"
	wait $!
}

render_ways_round() {
	local accounts lineitem
	accounts=$(render_csv pgbench_accounts) lineitem=$(render_csv lineitem)
	render_drop "$accounts" "$lineitem"
	cat "$render_of/plain/pgbench_accounts.csv" >/dev/null
	render_wall plain cat "$render_of/plain/pgbench_accounts.csv"
	render_one_reader one-reader "$accounts" "$lineitem"
	render_wall again cat "$accounts"
	render_drop "$accounts" "$lineitem"
	render_wall two-readers render_both "$accounts" "$lineitem"
}

render_random_round() {
	local table
	for table in "${render_tables[@]}"; do
		render_drop "$(render_csv "$table")"
		render_note "${table#pgbench_}-random" "$(render_random "$(render_csv "$table")")"
	done
}

render_other_ways() {
	render_mount kept --index=eager
	bench_compare again plain 0.6
	# Who reads ahead keeps several cores busy for one reader already: then two cannot be so much quicker. No reader is
	# quicker than all cores together.
	bench_compare two-readers one-reader 1.7
	bench_compare one-reader one-reader-cpu 0.8
	bench_compare two-readers one-reader-cpu 0.8
	render_rounds render_ways_round 'lengths known' plain again one-reader one-reader-cpu two-readers
	render_unit=us render_rounds render_random_round 'reads of 128 KiB (200 at most)' "${render_names[@]/%/-random}"
	bench_figure 'memory of the mount (VmHWM)' \
		"$(awk '/^VmHWM:/ { print $2 / 1024 }' "/proc/$(render_daemon)/status")" MiB 288
	render_unmount
}

# --- all into files ---

render_extract() {
	"$bench_asofs" extract -q "$render_store" "$1" --view=kept --database="$PGDATABASE" --jobs="$bench_jobs" --spool="$bench_dir"
}

render_cp() {
	cp -r "$render_of/extracted" "$1"
	sync -f "$1"
}

render_into_files() {
	render_extract "$render_of/extracted"
	bench_keys=()
	bench_contender extract render_extract
	bench_contender cp render_cp
	bench_contender pg_dump pg_dump_directory
	if command -v pgcopydb >/dev/null; then bench_contender pgcopydb pgcopydb_clone; fi
	bench_compare extract pg_dump 4
	bench_compare extract cp 0.9
	if [[ -v bench_commands[pgcopydb] ]]; then bench_compare extract pgcopydb; fi
	bench_run
}

bench_title "tables rendered from a view's pages: accounts at scale $render_scale, three others"
render_prepare
bench_begin "$bench_name"
render_by_itself
render_from_mount
render_other_ways
render_until_read
render_into_files
dropdb small
rm -rf --one-file-system "$render_of"
