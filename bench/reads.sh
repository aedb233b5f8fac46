# shellcheck shell=bash disable=SC2154,SC2034
# Reading one large file from the mount, first and second time, against a plain file that is in the page cache; once where
# the kernel reads it by itself (passthrough), once through asofs. Then what the daemon keeps in memory of its own.

reads_scale=$(bench_at_scale 110 5)
bench_title "cat of one file of $(bench_at_scale '1 GiB' '50 MB')"
pgbench --initialize --init-steps=dtgv --scale="$reads_scale" --quiet 2>/dev/null
mkdir -p "$bench_dir/direct" "$bench_dir/through"

reads_cat() {
	mkdir "$2"
	cat "$1" >/dev/null
}

reads_mount() {
	"$bench_asofs" mount -q --spool="$bench_dir" --tables=pgbench_accounts "${@:2}" "$PGDATABASE" "$bench_dir/$1"
}

# The daemon has no terminal and no parent: it is found by what it was asked to mount.
reads_daemon() {
	pgrep -f -- "$bench_dir/$1\$" | head -n 1
}

reads_file=public/pgbench_accounts.csv
"$bench_asofs" extract -q --tables=pgbench_accounts "$PGDATABASE" "$bench_dir/plain"
bench_payload=$(stat -c %s "$bench_dir/plain/$reads_file")
bench_contender plain reads_cat "$bench_dir/plain/$reads_file"
bench_contender first reads_cat "$bench_dir/direct/$reads_file"
bench_contender second reads_cat "$bench_dir/direct/$reads_file"
bench_contender through-first reads_cat "$bench_dir/through/$reads_file"
bench_contender through-second reads_cat "$bench_dir/through/$reads_file"
bench_compare first plain 0.35
bench_compare second plain 0.75
bench_compare through-first plain
bench_compare through-second plain

for ((reads_round = 0; reads_round <= bench_rounds; reads_round++)); do
	reads_mount direct
	reads_mount through -o no_passthrough
	for reads_key in "${bench_keys[@]}"; do bench_measure "$reads_round" "$reads_key"; done
	if ((reads_round == bench_rounds)); then
		grep RssAnon "/proc/$(reads_daemon direct)/status" "/proc/$(reads_daemon through)/status" |
			sed 's/.*RssAnon:/memory of the daemon (RssAnon; under 65536 kB):/'
	fi
	umount "$bench_dir/direct" "$bench_dir/through"
	bench_discard
done
bench_report
