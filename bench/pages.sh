# shellcheck shell=bash disable=SC2154,SC2034
# What the benchmarks of the page layer (pages-*.sh) share: one directory, the base, shown by several file systems as a copy
# that can be changed, each on the disk that scripts/bench was given.
#
#   plain     a copy of the base, made with cp
#   pagefs    a fresh view of a store to which the base was added
#   overlay   overlayfs: the base below, an empty directory above
#   btrfs     a fresh snapshot, on a loop device whose image lies on that disk
#
# Each comes in two kinds. *private* promises nothing until it is completed: pagefs as it is by default (the kernel collects
# writes, fsync does nothing), overlayfs with its option volatile, and PostgreSQL with fsync=off everywhere. *durable* means what
# it says: pagefs --durable, overlayfs without options, PostgreSQL with fsync=on. Only equals are compared.
#
# A contender is KIND-FILESYSTEM. All is made and unmade by pages_show and pages_hide, one at a time; $pages_shown is where.

pages_shown=$bench_dir/shown
mkdir -p "$pages_shown"
pages_pid=          # of the pagefs that serves
pages_fd=           # reads what it says
pages_mount_seconds=

# Those that this machine and this user can have; overlayfs and btrfs want root.
pages_systems() {
	local probe=$bench_dir/probe
	printf '%s\n' plain pagefs
	if ((EUID != 0)); then
		echo 'without root: overlayfs and btrfs are left out' >&2
		return
	fi
	mkdir -p "$probe"/{low,up,work}
	if mount -t overlay overlay -o "lowerdir=$probe/low,upperdir=$probe/up,workdir=$probe/work" "$probe/low" 2>/dev/null; then
		umount "$probe/low"
		echo overlay
	else
		echo 'overlayfs cannot be mounted here: left out' >&2
	fi
	rm -rf "$probe"
	if command -v mkfs.btrfs >/dev/null && grep -qw btrfs /proc/filesystems && losetup --find >/dev/null 2>&1; then
		echo btrfs
	else
		echo 'no btrfs or no loop device here: left out' >&2
	fi
}

# Every file system in both kinds, and the comparisons: the first argument is aimed at against plain, the second against overlay.
pages_contenders() {
	local kind system
	local -a systems
	local -A aim=([plain]=${1:-} [overlay]=${2:-})
	mapfile -t systems < <(pages_systems)
	for kind in private durable; do
		for system in "${systems[@]}"; do
			bench_keys+=("$kind-$system")
			if [[ $system != pagefs ]]; then bench_compare "$kind-pagefs" "$kind-$system" "${aim[$system]:-}"; fi
		done
	done
}

# BASE: something that can be added to a store, with nothing in it.
pages_directory() {
	mkdir -p "$1/base"
	echo 15 >"$1/PG_VERSION"
	chmod 0700 "$1" "$1/base"
	if ((EUID == 0)); then chown -R postgres: "$1"; fi
}

# BASE MEGABYTES: the same with one file.
pages_large_base() {
	pages_directory "$1"
	head -c "$(($2 << 20))" /dev/urandom >"$1/base/large"
	if ((EUID == 0)); then chown postgres: "$1/base/large"; fi
}

# BASE BYTES: what the contenders need to show it; the btrfs has that much room for what changes.
pages_base() {
	pages_base=$1
	pages_store=$bench_dir/store
	pages_store_create "$pages_store" "$pages_base"
	if [[ " ${bench_keys[*]} " == *-btrfs* ]]; then pages_btrfs_create "$2"; fi
	pages_settle
}

# All that pages_base made.
pages_base_end() {
	while ((${#bench_undo[@]} > 0)); do bench_undo_last; done
	rm -rf --one-file-system "$pages_store" "$pages_base" "$bench_dir/copy" "$bench_dir/btrfs.img"
	pages_settle
}

pages_show() {
	pages_show_"${1#*-}" "${1%-*}"
}

pages_hide() {
	pages_hide_"${1#*-}"
	pages_settle
}

# Waits until the disk has nothing to do, 2 s at most: what was removed may still be discarded when sync is back, and the next
# one would pay for it.
pages_settle() {
	local stat before='' now quiet=0 tries
	sync
	stat=/sys/dev/block/$(findmnt --noheadings --output=MAJ:MIN --target "$bench_dir" | tr -d ' ')/stat
	[[ -r $stat ]] || return 0
	for ((tries = 20; tries > 0 && quiet < 3; tries--)); do
		now=$(<"$stat")
		if [[ $now == "$before" ]]; then quiet=$((quiet + 1)); else quiet=0; fi
		before=$now
		sleep 0.1
	done
}

# --- plain ---

pages_copy_kept=   # one copy for all rounds, where a fresh one makes no difference

pages_show_plain() {
	if [[ ! -e $bench_dir/copy ]]; then
		cp -a "$pages_base" "$bench_dir/copy"
		pages_settle
	fi
	rmdir "$pages_shown"
	ln -s copy "$pages_shown"
}

pages_hide_plain() {
	rm "$pages_shown"
	mkdir "$pages_shown"
	if [[ -z $pages_copy_kept ]]; then rm -rf "$bench_dir/copy"; fi
}

# --- pagefs ---

pages_store_create() {
	"$bench_asofs" store create "$1" >/dev/null
	"$bench_asofs" store add-base "$1" "$2" >/dev/null
}

pages_show_pagefs() {
	if [[ $1 == durable ]]; then
		pages_mount "$pages_store" fresh --durable
	else
		pages_mount "$pages_store" fresh
	fi
}

pages_hide_pagefs() {
	pages_unmount
	rm -rf "$pages_store/view/fresh"
}

# STORE VIEW [OPTION…]: serves it at $pages_shown. The process has a session of its own, so that an interrupt from the terminal
# does not end it before the server that runs on it.
pages_mount() {
	local begin=${EPOCHREALTIME/[.,]/} options=("--view=$2" "${@:3}") line
	if ((EUID == 0)); then options+=(--allow-other); fi
	exec {pages_fd}< <(exec setsid "$bench_asofs" pagefs "$1" "$pages_shown" "${options[@]}" 2>"$bench_dir/pagefs.err")
	pages_pid=$!
	bench_later pages_unmount_now
	while read -r -t 120 -u "$pages_fd" line; do
		if [[ $line == mounted* ]]; then
			pages_mount_seconds=$((${EPOCHREALTIME/[.,]/} - begin))e-6
			return
		fi
	done
	cat "$bench_dir/pagefs.err" >&2
	fail "asofs pagefs did not mount the view $2"
}

pages_unmount() {
	bench_undo_last
}

pages_unmount_now() {
	local status=0
	kill -s TERM "$pages_pid" 2>/dev/null || true
	pages_await_end "$pages_pid" 60 || kill -s KILL "$pages_pid" || true
	wait "$pages_pid" || status=$?
	exec {pages_fd}<&-
	if findmnt --mountpoint "$pages_shown" >/dev/null; then umount --lazy "$pages_shown"; fi
	if ((status != 0)); then
		tail -n 15 "$bench_dir/pagefs.err" >&2
		echo "asofs pagefs ended with status $status" >&2
	fi
	return "$status"
}

pages_await_end() {
	local tries=$(($2 * 50))
	while kill -0 "$1" 2>/dev/null; do
		((tries-- > 0)) || return 1
		sleep 0.02
	done
}

# --- overlayfs ---

pages_show_overlay() {
	local over=$bench_dir/overlay option=
	if [[ $1 == private ]]; then option=,volatile; fi
	mkdir -p "$over/up" "$over/work"
	chown --reference="$pages_base" "$over/up"
	chmod --reference="$pages_base" "$over/up"
	mount -t overlay overlay -o "lowerdir=$pages_base,upperdir=$over/up,workdir=$over/work$option" "$pages_shown"
	bench_later umount "$pages_shown"
}

pages_hide_overlay() {
	bench_undo_last
	rm -rf "$bench_dir/overlay"
}

# --- btrfs ---

pages_btrfs_create() {
	local image=$bench_dir/btrfs.img volume=$bench_dir/btrfs base_bytes
	base_bytes=$(du -s --block-size=1 "$pages_base" | cut -f 1)
	mkdir -p "$volume"
	fallocate -l $((base_bytes + $1 + (512 << 20))) "$image"
	# Discarding would make holes in the image.
	mkfs.btrfs --quiet --nodiscard --data single --metadata single "$image" >/dev/null
	pages_loop=$(losetup --find --show "$image")
	bench_later losetup --detach "$pages_loop"
	mount -o nodiscard "$pages_loop" "$volume"
	bench_later umount "$volume"
	btrfs subvolume create "$volume/base" >/dev/null
	chown --reference="$pages_base" "$volume/base"
	chmod --reference="$pages_base" "$volume/base"
	cp -a "$pages_base/." "$volume/base/"
}

pages_show_btrfs() {
	btrfs subvolume snapshot "$bench_dir/btrfs/base" "$bench_dir/btrfs/fresh" >/dev/null
	rmdir "$pages_shown"
	ln -s btrfs/fresh "$pages_shown"
}

pages_hide_btrfs() {
	rm "$pages_shown"
	mkdir "$pages_shown"
	btrfs subvolume delete --commit-after "$bench_dir/btrfs/fresh" >/dev/null
	btrfs subvolume sync "$bench_dir/btrfs" >/dev/null
}

# --- a server on what is shown ---

# BASE: a data directory with pgbench's tables, shut down. Made without the log, so that next to nothing but the tables is in it.
pages_cluster() {
	local dir=$bench_dir/make
	mkdir "$dir"
	server_start "$dir" fsync=off wal_level=minimal max_wal_senders=0 autovacuum=off max_wal_size=128MB
	bench_later server_stop "$dir"
	PGHOST=$dir createdb "$PGDATABASE"
	PGHOST=$dir pgbench --initialize --init-steps=dtgvp --scale="$2" --quiet 2>/dev/null
	PGHOST=$dir psql --no-psqlrc --quiet --command='VACUUM (FREEZE, ANALYZE)'
	pages_stop "$(head -n 1 "$dir/data/postmaster.pid")"
	bench_undo_last
	mv "$dir/data" "$1"
	rm -rf "$dir"
}

# on|off: starts a server at $pages_shown with fsync=on|off. A view has none of the base's settings: all get the same ones here.
pages_start() {
	mkdir -p "$bench_dir/socket"
	chmod 0700 "$bench_dir/socket"
	if ((EUID == 0)); then chown postgres: "$bench_dir/socket"; fi
	(
		cd "$bench_dir"
		server_configure "$bench_dir/socket" "fsync=$1" autovacuum=off | server_as_owner tee "$pages_shown/postgresql.conf"
		server_as_owner tee "$pages_shown/pg_hba.conf" <<<'local all all trust'
		server_as_owner tee "$pages_shown/pg_ident.conf" </dev/null
		server_as_owner pg_ctl start --pgdata="$pages_shown" --log="$bench_dir/socket/server.log" --timeout=60 --wait
	) >"$bench_dir/start.log" 2>&1 </dev/null || {
		tail -n 15 "$bench_dir/start.log" "$bench_dir/socket/server.log" >&2
		fail 'the server did not start'
	}
	bench_later pages_stop "$(head -n 1 "$pages_shown/postmaster.pid")"
}

pages_client() {
	PGHOST=$bench_dir/socket "$@"
}

# By its process, which ends also where its files cannot be read any more.
pages_stop() {
	kill -s INT "$1"
	pages_await_end "$1" 60 || kill -s QUIT "$1"
}
