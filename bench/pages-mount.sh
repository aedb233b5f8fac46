# shellcheck shell=bash disable=SC2154,SC2034
# What a view costs before anybody changes it: time until it is mounted, and memory for each file of the base; then memory and
# disk for each page of a file whose pages are all stored.
#
# Memory is what only this process has (of its smaps: Private_* of files of the store that are mapped, Anonymous of all else),
# above that of a process that serves a base of next to nothing. The manifest is such a mapped file: the kernel can drop it at
# any time.

# shellcheck source=bench/pages.sh
. "$bench_home/pages.sh"

pages_files=$(bench_at_scale 100000 5000)
pages_megabytes=$(bench_at_scale 1024 64)

# Names and directories as PostgreSQL has them: three forks a table.
pages_many_base() {
	local oid
	pages_directory "$1"
	for ((oid = 16384; oid < 16384 + pages_files / 1000; oid++)); do
		mkdir "$1/base/$oid"
		(cd "$1/base/$oid" && seq -f '%.0f' 16384 16717 | sed 'p; s/$/_fsm/p; s/_fsm/_vm/' | head -n 1000 | xargs touch)
	done
	if ((EUID == 0)); then chown -R postgres: "$1"; fi
}

# Bytes of memory of the serving process: of mapped files of the store whose path matches, or ("") of all that is no file.
pages_memory() {
	awk -v path="$1" -v store="$pages_store/" '
		/^[0-9a-f]+-[0-9a-f]+ / { counts = path != "" && index($6, store) == 1 && $6 ~ path }
		path == "" && /^Anonymous:/ || counts && /^Private_/ { sum += $2 }
		END { printf "%.0f", sum * 1024 }' "/proc/$pages_pid/smaps"
}

pages_each() {
	awk -v bytes="$1" -v n="$2" 'BEGIN { printf "%.4f", bytes / n }'
}

# BASE: mounts a view of it as often as there are rounds; the last one stays.
pages_mount_rounds() {
	local round
	pages_store=$bench_dir/store-${1##*/}
	pages_store_create "$pages_store" "$1"
	sync
	for ((round = 0; round <= bench_rounds; round++)); do
		pages_mount "$pages_store" fresh
		echo "$round|$pages_mount_seconds" >>"$bench_records"
		if ((round < bench_rounds)); then pages_unmount; fi
	done
}

pages_untouched() {
	local fixed manifest other files
	pages_directory "$bench_dir/small"
	pages_mount_rounds "$bench_dir/small"
	fixed=$(pages_memory '')
	pages_unmount
	: >"$bench_records"
	pages_many_base "$bench_dir/many"
	pages_mount_rounds "$bench_dir/many"
	files=$(find "$bench_dir/many" -type f | wc -l)
	bench_figure "mount of $files files, median of $bench_rounds" "$(sort -t '|' -k 2g "$bench_records" |
		awk -F '|' '$1 > 0 { s[n++] = $2 } END { print s[int(n / 2)] }')" s 1
	manifest=$(pages_memory '/files$') other=$(pages_memory '')
	bench_figure 'memory for an untouched file: manifest' "$(pages_each "$manifest" "$files")" bytes
	bench_figure 'memory for an untouched file: all else' "$(pages_each $((other - fixed)) "$files")" bytes
	bench_figure 'memory for an untouched file' "$(pages_each $((manifest + other - fixed)) "$files")" bytes 64
	find "$pages_shown" -printf '%s\n' >/dev/null
	other=$(pages_memory '')
	bench_figure 'the same after stat of all of them: all else' "$(pages_each $((other - fixed)) "$files")" bytes
	bench_figure 'memory for a base of nothing' "$(pages_each "$fixed" 1048576)" MiB
	pages_unmount
	rm -rf "$bench_dir"/{small,many} "$bench_dir"/store-{small,many}
}

# Writing makes threads with buffers that stay, whatever is written: they are not of the pages.
pages_warm_buffers() {
	dd if=/dev/zero of="$pages_shown/scratch" bs=1M count="$pages_megabytes" conv=fsync status=none
	rm "$pages_shown/scratch"
}

pages_touched() {
	local before pages=$((pages_megabytes * 128)) side
	pages_large_base "$bench_dir/base" "$pages_megabytes"
	pages_base "$bench_dir/base" 0
	pages_mount "$pages_store" fresh
	pages_warm_buffers
	before=$(pages_memory '')
	dd if="$pages_base/base/large" of="$pages_shown/base/large" bs=1M conv=notrunc,fsync status=none
	exec {pages_file}<"$pages_shown/base/large"
	side=$(find "$pages_store/view/fresh/side" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
	bench_figure "side page table, $pages stored pages, on disk" "$(pages_each $((side * 8)) "$pages")" bits 35
	bench_figure 'the same, mapped while the file is open' "$(pages_each $(($(pages_memory '/side/') * 8)) "$pages")" bits 35
	bench_figure 'other memory that grew by the writing' "$(pages_each $((($(pages_memory '') - before) * 8)) "$pages")" bits
	bench_figure 'all memory of the process, with the buffers of its threads' "$(pages_each "$(pages_memory '')" 1048576)" MiB
	exec {pages_file}<&-
	pages_unmount
	pages_base_end
}

bench_title "mount of a base of $pages_files files, memory for each; a file of $pages_megabytes MiB with all pages stored"
pages_untouched
pages_touched
