# shellcheck shell=bash disable=SC2154,SC2034
# Reading a large file through pagefs: each time through a fresh mount, so that the kernel has nothing of it for pagefs, but all
# of it for the file below. *base*: nothing is stored. *stored*: every page comes from the difference storage and its checksum is
# compared. *again*: a second time through the same mount.

# shellcheck source=bench/pages.sh
. "$bench_home/pages.sh"

pages_megabytes=$(bench_at_scale 1024 64)

# FILE sequential|random: MB/s. fio is kept from emptying the page cache and from giving hints that PostgreSQL does not give.
pages_fio() {
	local pattern=(--rw=read --bs=1M)
	if [[ $2 == random ]]; then pattern=(--rw=randread --bs=8k --randseed=7); fi
	fio --name=read --filename="$1" --readonly --ioengine=psync --invalidate=0 --fadvise_hint=0 "${pattern[@]}" \
		--output-format=terse --terse-version=3 | awk -F ';' '{ printf "%.1f", $7 * 1024 / 1e6 }'
}

# ROUND PATTERN
pages_run() {
	local large=$pages_shown/base/large view
	echo "$1|$2-plain|$(pages_fio "$pages_base/base/large" "$2")" >>"$bench_records"
	for view in base stored; do
		pages_mount "$pages_store" "$view"
		echo "$1|$2-$view|$(pages_fio "$large" "$2")" >>"$bench_records"
		if [[ $view == base ]]; then echo "$1|$2-again|$(pages_fio "$large" "$2")" >>"$bench_records"; fi
		pages_unmount
	done
}

bench_title "reading a file of $pages_megabytes MiB: 1 MiB after the other, and 8 KiB at random"
pages_large_base "$bench_dir/base" "$pages_megabytes"
pages_base "$bench_dir/base" 0
pages_mount "$pages_store" stored
dd if="$pages_base/base/large" of="$pages_shown/base/large" bs=1M conv=notrunc status=none
pages_unmount
sync
for pages_pattern in sequential random; do
	bench_keys+=("$pages_pattern"-{plain,base,again,stored})
	for pages_key in base again stored; do bench_compare "$pages_pattern-$pages_key" "$pages_pattern-plain"; done
done
for ((pages_round = 0; pages_round <= bench_rounds; pages_round++)); do
	pages_run "$pages_round" sequential
	pages_run "$pages_round" random
done
bench_report_values MB/s more 'read'
pages_base_end
