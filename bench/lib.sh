# shellcheck shell=bash disable=SC2034
# What the benchmarks share. scripts/bench sources this file, starts the server, and then sources one file a benchmark, which
#
#   1. fills the database that PGDATABASE names, fresh and empty:  bench_title, bench_fill, psql …
#   2. names those who compete:                                    bench_contender KEY COMMAND…
#   3. says who is compared with whom:                             bench_compare KEY OTHER [TARGET], bench_same KEY OTHER
#   4. runs them:                                                  bench_run
#
# A contender's command gets one more argument, a directory that does not exist yet, and leaves its output there. One round
# runs every contender once, in the order of their naming; each output is removed, and the disk left to settle, outside the
# timing. So a slow spell of the machine meets all of them, and the ratios are taken within a round.

bench_home=$(dirname "${BASH_SOURCE[0]}")
bench_dir=
bench_asofs=
bench_against=           # another asofs, to be measured beside it
bench_scale=full
bench_rounds=5
bench_jobs=2
bench_pgbench_rounds=3   # of pages-pgbench, and
bench_seconds=           # how long each run is, there and of live, where it is set; and
bench_accounts=20        # pgbench's scale
bench_commits=on         # synchronous_commit of live
bench_megabytes=600      # of page-views' smaller base
bench_undo=()

bench_begin() {
	bench_name=$1
	bench_keys=()
	bench_comparisons=()
	bench_sames=()
	declare -gA bench_commands=()
	bench_payload=   # bytes that every contender handles, where they are not those it leaves behind
	bench_records=$bench_dir/$1.records
	: >"$bench_records"
}

# --- what has to be taken back, also when the run is interrupted ---
#
# A mount, a loop device, a server: whoever makes one says at once how it ends (bench_later COMMAND…). The last one made is the
# first to go.

bench_later() {
	local words
	printf -v words '%q ' "$@"
	bench_undo+=("$words")
}

bench_undo_last() {
	local words=${bench_undo[-1]}
	unset 'bench_undo[-1]'
	eval "$words"
}

bench_undo_all() {
	while ((${#bench_undo[@]} > 0)); do bench_undo_last || true; done
}

# Prints the first argument at full scale, the second at small scale.
bench_at_scale() {
	if [[ $bench_scale == full ]]; then echo "$1"; else echo "$2"; fi
}

bench_title() {
	printf '\n== %s: %s\n' "$bench_name" "$*"
}

# Commands come from the benchmark's own functions, so their words hold no blanks.
bench_contender() {
	bench_keys+=("$1")
	bench_commands[$1]="${*:2}"
}

# KEY should be at least TARGET times as fast as OTHER.
bench_compare() {
	bench_comparisons+=("$1|$2|${3:-}")
}

# In the warm-up, the files that KEY and OTHER leave have to be the same, byte for byte (.asofs apart).
bench_same() {
	bench_sames+=("$1|$2")
}

# --- data that several benchmarks use ---

# Order lines as in TPC-H, four for each of N orders: numbers, dates, money and short texts.
bench_fill_orders() {
	psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 <<-END
		CREATE TABLE orders AS SELECT o AS orderkey, o % 150000 AS custkey, 'O'::char(1) AS status,
			(o * 37 % 50000000)::numeric(15, 2) / 100 AS totalprice, date '2020-01-01' + o % 2400 AS orderdate,
			(o % 5 + 1) || '-PRIORITY' AS priority, 'Clerk#' || o % 1000 AS clerk, left(repeat(md5(o::text), 2), 49) AS remark
			FROM generate_series(1, $1) o;
		CREATE TABLE lineitem AS SELECT o AS orderkey, o * 7 % 200000 AS partkey, o % 10000 AS suppkey, n AS linenumber,
			(o % 50 + 1)::numeric(15, 2) AS quantity, (o * 31 % 10000000)::numeric(15, 2) / 100 AS extendedprice,
			(o % 11)::numeric(15, 2) / 100 AS discount, (n % 9)::numeric(15, 2) / 100 AS tax, 'N'::char(1) AS returnflag,
			'O'::char(1) AS linestatus, date '2020-01-01' + o % 2400 AS shipdate, date '2020-02-01' + o % 2400 AS commitdate,
			date '2020-03-01' + o % 2400 AS receiptdate, 'DELIVER IN PERSON'::char(25) AS shipinstruct,
			'TRUCK'::char(10) AS shipmode, left(md5((o * n)::text), 27) AS remark
			FROM generate_series(1, $1) o, generate_series(1, 4) n;
	END
}

# Keys and an index each.
bench_index_orders() {
	psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 <<-END
		ALTER TABLE orders ADD PRIMARY KEY (orderkey);
		ALTER TABLE lineitem ADD PRIMARY KEY (orderkey, linenumber);
		CREATE INDEX ON orders (custkey);
		CREATE INDEX ON lineitem (partkey);
	END
}

bench_settle() {
	psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --command="VACUUM (FREEZE, ANALYZE)" --command="CHECKPOINT"
}

# Bytes of tables, without their indexes.
bench_table_size() {
	psql --no-psqlrc --quiet --tuples-only --no-align \
		--command="SELECT sum(pg_table_size(t::regclass)) FROM unnest(string_to_array('$*', ' ')) t"
}

# --- contenders that several benchmarks use ---
#
# asofs extract and pg_dump return when their files are on the disk; psql does not care.

asofs_extract() {
	"$bench_asofs" extract -q --jobs="$bench_jobs" --format="$1" --spool="$bench_dir" "$PGDATABASE" "$2"
}

pg_dump_directory() {
	pg_dump --format=directory --jobs="$bench_jobs" --compress=0 --file="$1"
}

# One session, one table after the other, in the layout of asofs.
psql_copy() {
	local options="FORMAT $1" suffix=txt
	if [[ $1 == csv ]]; then options="FORMAT csv, HEADER" suffix=csv; fi
	mkdir -p "$2/public"
	psql --no-psqlrc --quiet --tuples-only --no-align --command="SELECT relname FROM pg_class
		WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname" |
		sed "s|.*|\\\\copy & TO '$2/public/&.$suffix' ($options)|" |
		PGOPTIONS="-c synchronize_seqscans=off" psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1
}

# Mount, read every file once, unmount: what a program that needs all of it waits for.
asofs_mount_and_read() {
	mkdir -p "$bench_dir/mnt" "$2"
	"$bench_asofs" mount -q --jobs="$bench_jobs" --format="$1" --spool="$bench_dir" "$PGDATABASE" "$bench_dir/mnt"
	find "$bench_dir/mnt" -type f -exec cat {} + >/dev/null
	umount "$bench_dir/mnt"
}

# From server to server: another job, but the one that many use for it. The target is made and dropped here too.
pgcopydb_clone() {
	createdb target
	pgcopydb clone --table-jobs "$bench_jobs" --index-jobs 1 --dir "$1" --skip-vacuum \
		--source "host=$PGHOST user=$PGUSER dbname=$PGDATABASE" --target "host=$PGHOST user=$PGUSER dbname=target"
	dropdb target
	mkdir -p "$1"
}

bench_extract_contenders() {
	bench_contender asofs-csv asofs_extract csv
	bench_contender asofs-text asofs_extract text
	bench_contender pg_dump pg_dump_directory
	bench_contender psql-csv psql_copy csv
	bench_contender psql-text psql_copy text
	bench_same asofs-csv psql-csv
	bench_same asofs-text psql-text
}

# CSV_TARGET TEXT_TARGET: what asofs should reach against pg_dump.
bench_extract_targets() {
	bench_compare asofs-csv pg_dump "$1"
	bench_compare asofs-text pg_dump "$2"
	bench_compare asofs-csv psql-csv
	bench_compare asofs-text psql-text
}

# --- a second database, on the same server: made, filled, indexed, analyzed and dropped within each ---

dump_and_restore() {
	createdb target
	pg_dump --format=directory --jobs="$bench_jobs" --compress=0 --file="$1"
	pg_restore --jobs="$bench_jobs" --dbname=target "$1"
	vacuumdb --quiet --analyze-only --jobs="$bench_jobs" target
	dropdb target
}

# As pgcopydb_clone above, with all indexes at once, and analyzed as the others are.
pgcopydb_second() {
	createdb target
	pgcopydb clone --table-jobs "$bench_jobs" --index-jobs "$bench_jobs" --dir "$1" --skip-vacuum \
		--source "host=$PGHOST user=$PGUSER dbname=$PGDATABASE" --target "host=$PGHOST user=$PGUSER dbname=target"
	vacuumdb --quiet --analyze-only --jobs="$bench_jobs" target
	dropdb target
	mkdir -p "$1"
}

# [OPTION…] OUT: the definitions first, as for a target that is filled again and again.
asofs_copy() {
	local out=${*: -1}
	createdb target
	pg_dump --schema-only | psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 target >/dev/null
	"$bench_asofs" copy -q --name=bench --jobs="$bench_jobs" --load-jobs="$bench_jobs" --spool="$bench_dir" "${@:1:$# - 1}" \
		"$PGDATABASE" target
	dropdb target
	mkdir -p "$out"
}

# KEY [TARGET]: what the others do is what KEY is compared with.
bench_compare_second() {
	bench_compare "$1" pg_dump "${2:-}"
	if [[ -v bench_commands[pgcopydb] ]]; then bench_compare "$1" pgcopydb "${2:-}"; fi
}

bench_second_peers() {
	bench_contender pg_dump dump_and_restore
	if command -v pgcopydb >/dev/null; then
		bench_contender pgcopydb pgcopydb_second
	else
		echo 'pgcopydb is not installed: left out'
	fi
}

# --- another asofs beside the one that is measured ---

# Every contender that is asofs' a second time, by the other program, right after the first.
bench_add_against() {
	local key
	local -a keys=()
	for key in "${bench_keys[@]}"; do
		keys+=("$key")
		[[ ${bench_commands[$key]} == asofs_* ]] || continue
		keys+=("other-$key")
		bench_commands[other-$key]="bench_by_other ${bench_commands[$key]}"
		bench_compare "$key" "other-$key"
	done
	bench_keys=("${keys[@]}")
}

bench_by_other() {
	local bench_asofs=$bench_against
	"$@"
}

# --- measuring ---

# Seconds of CPU that ended backends have used: the server's share of a run.
bench_server_cpu() {
	local fields
	read -ra fields <"/proc/$(head -n 1 "$bench_dir/server/data/postmaster.pid")/stat"
	awk -v ticks="$((fields[15] + fields[16]))" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f", ticks / hz }'
}

# Appends to the records: round, key, seconds of wall, user and system time, of the server before and after, bytes.
bench_measure() {
	local round=$1 key=$2 out=$bench_dir/out/$2 before after
	local -a command
	read -ra command <<<"${bench_commands[$key]}"
	before=$(bench_server_cpu)
	local TIMEFORMAT='%3R|%3U|%3S'
	{ time "${command[@]}" "$out" >"$bench_dir/run.log" 2>&1; } 2>"$bench_dir/time" || {
		tail -n 15 "$bench_dir/run.log" >&2
		fail "$key failed"
	}
	sleep 0.3   # the postmaster collects its children a little after their clients have gone
	after=$(bench_server_cpu)
	echo "$round|$key|$(<"$bench_dir/time")|$before|$after|${bench_payload:-$(bench_bytes "$out")}" >>"$bench_records"
}

bench_bytes() {
	find "$1" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f", sum }'
}

bench_discard() {
	rm -rf "$bench_dir/out"
	mkdir "$bench_dir/out"
	sync
}

bench_warm_up() {
	local key pair
	bench_discard
	for key in "${bench_keys[@]}"; do bench_measure 0 "$key"; done
	for pair in "${bench_sames[@]}"; do
		diff -rq --exclude=.asofs "$bench_dir/out/${pair%|*}" "$bench_dir/out/${pair#*|}" ||
			fail "the files of ${pair%|*} and ${pair#*|} differ"
	done
	bench_discard
}

bench_run() {
	local round key
	if [[ -n $bench_against ]]; then bench_add_against; fi
	bench_warm_up
	for ((round = 1; round <= bench_rounds; round++)); do
		for key in "${bench_keys[@]}"; do
			bench_measure "$round" "$key"
			bench_discard
		done
	done
	bench_report
}

# --- reporting ---

bench_facts() {
	local cpu memory
	cpu=$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)
	memory=$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)
	echo "$(nproc) cores (${cpu:-$(uname -m)}), $memory GiB, Linux $(uname -r), $(df --output=fstype "$bench_dir" | tail -n 1)," \
		"$(postgres --version), $("$bench_asofs" -V | head -n 1)"
	echo "$bench_jobs workers; $bench_rounds rounds, interleaved, after a warm-up; scale $bench_scale;" \
		"load of the machine before: $(cut -d ' ' -f 1 /proc/loadavg)"
}

bench_report() {
	awk -v order="$(IFS='|'; echo "${bench_keys[*]}")" -v comparisons="${bench_comparisons[*]}" \
		-f "$bench_home/report.awk" "$bench_records"
}

# UNIT more|less WHAT: records of "round|key|value", where more or less is better; WHAT the values are goes above the table.
bench_report_values() {
	awk -v order="$(IFS='|'; echo "${bench_keys[*]}")" -v comparisons="${bench_comparisons[*]}" \
		-v unit="$1" -v better="$2" -v what="$3" -f "$bench_home/report.awk" "$bench_records"
}

# WHAT VALUE UNIT [LIMIT]: one figure that should be LIMIT at most.
bench_figure() {
	awk -v what="$1" -v value="$2" -v unit="$3" -v limit="${4:-}" 'BEGIN {
		verdict = limit == "" ? "-" : "at most " limit (value + 0 <= limit + 0 ? "  reached" : "  missed")
		printf "%-58s %9.3f %-6s %s\n", what, value, unit, verdict
	}'
}
