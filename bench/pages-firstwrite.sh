# shellcheck shell=bash disable=SC2154,SC2034
# The first write to one page of a large file that nobody has changed yet: open, 8 KiB, (durable: fsync), close. overlayfs copies
# the file first.

# shellcheck source=bench/pages.sh
. "$bench_home/pages.sh"

pages_megabytes=$(bench_at_scale 1024 64)

pages_first_write() {
	python3 - "$@" <<-'END'
		import os, sys, time
		path, kind, page = sys.argv[1], sys.argv[2], int(sys.argv[3])
		begin = time.perf_counter()
		file = os.open(path, os.O_RDWR)
		assert os.pwrite(file, b"asofs..." * 1024, page * 8192) == 8192
		if kind == "durable":
		    os.fsync(file)
		os.close(file)
		print("%.6f" % (1000 * (time.perf_counter() - begin)))
	END
}

# ROUND KEY. Another page each round: the plain copy stays.
pages_run() {
	pages_show "$2"
	echo "$1|$2|$(pages_first_write "$pages_shown/base/large" "${2%-*}" $((($1 + 1) * 997)))" >>"$bench_records"
	pages_hide "$2"
}

bench_title "first write to a page of a file of $pages_megabytes MiB"
pages_contenders '' 100
pages_large_base "$bench_dir/base" "$pages_megabytes"
pages_copy_kept=yes
pages_base "$bench_dir/base" $((256 << 20))
for ((pages_round = 0; pages_round <= bench_rounds; pages_round++)); do
	for pages_key in "${bench_keys[@]}"; do pages_run "$pages_round" "$pages_key"; done
done
bench_report_values ms less 'first write'
pages_base_end
