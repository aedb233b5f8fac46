# shellcheck shell=bash
# A systemd as the first process of namespaces of its own, with the units that a case gives it and nothing of the
# machine's. Source after common.sh.
#
#   SYSTEMD   its process, seen from here
SYSTEMD='' systemd_outer='' systemd_cgroups=()

# systemd_start UNIT-FILE...: with the program where their ExecStart has it. Skips the case where that cannot be.
systemd_start() {
	local target status
	need_root 'namespaces'
	[[ -x /lib/systemd/systemd ]] || skip 'needs systemd'
	mkdir units
	cp "$@" units/
	SYSTEMD_BINDIR=$(dirname "$(sed -nE 's/^ExecStart=([^ ]+).*/\1/p' "$@" | head -n 1)")
	[[ $SYSTEMD_BINDIR == /* ]] || fail "no ExecStart with a path in $*"
	export SYSTEMD_BINDIR
	[[ -d $SYSTEMD_BINDIR ]] || skip "needs the directory $SYSTEMD_BINDIR"
	for target in sysinit basic shutdown network-online multi-user; do
		printf '[Unit]\nDefaultDependencies=no\n' >"units/$target.target"
	done
	systemd_find_cgroups
	trap 'status=$?; trap - ERR; set +e; systemd_end; (exit $status); clean_up' EXIT
	systemd_run 2>"$TMPDIR/systemd.log" &
	systemd_outer=$!
	soon 'systemd_is_up' 60 || skip "needs a systemd in namespaces; here: $(tail -n 3 systemd.log)"
}

# Where this process is in the hierarchies that systemd uses; ours go below.
systemd_find_cgroups() {
	local number names path dir
	while IFS=: read -r number names path; do
		case $names in
		'') dir=/sys/fs/cgroup/unified ;;
		name=systemd) dir=/sys/fs/cgroup/systemd ;;
		*) continue ;;
		esac
		[[ $number != 0 || -d $dir ]] || dir=/sys/fs/cgroup
		dir=${dir}${path%/}/asofs-test-$$
		mkdir "$dir" 2>/dev/null || skip "needs the right to make cgroups ($dir)"
		systemd_cgroups+=("$dir")
	done </proc/self/cgroup
}

systemd_run() {
	local dir
	trap - EXIT ERR
	for dir in "${systemd_cgroups[@]}"; do echo "$BASHPID" >"$dir/cgroup.procs"; done
	exec unshare --pid --fork --kill-child --mount --mount-proc --ipc --uts --cgroup \
		bash -e -c "$(declare -f systemd_become); systemd_become" </dev/null >"$TMPDIR/systemd.out"
}

# Inside. All but the directory of the case is read-only, so that nothing of the machine is changed.
systemd_become() {
	local empty=/run/asofs-none
	if [[ -d /sys/fs/cgroup/systemd ]]; then
		mount -t tmpfs tmpfs /sys/fs/cgroup
		mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
		mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
		mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
	else
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
	fi
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p /run/systemd/system /run/upper /run/work "$empty"
	cp units/* /run/systemd/system/
	install -m 0755 "$ASOFS" /run/upper/asofs
	mount -t overlay -o "lowerdir=$SYSTEMD_BINDIR,upperdir=/run/upper,workdir=/run/work" overlay "$SYSTEMD_BINDIR"
	mount --bind "$TMPDIR" "$TMPDIR"
	mount --bind -o ro /proc/sys /proc/sys
	mount -o remount,bind,ro /
	exec env -i container=asofs PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/run/systemd/system \
		SYSTEMD_GENERATOR_PATH="$empty" SYSTEMD_ENVIRONMENT_GENERATOR_PATH="$empty" \
		/lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=no
}

systemd_is_up() {
	SYSTEMD=$(ps -o pid= --ppid "$systemd_outer" | tr -d ' ') && [[ -n $SYSTEMD ]] &&
		systemd_ctl is-active multi-user.target
}

# systemctl of that systemd.
systemd_ctl() { nsenter -t "$SYSTEMD" -m -p -u -i systemctl --no-pager "$@"; }

# systemd_is UNIT PROPERTY VALUE
systemd_is() { [[ $(systemd_ctl show "$1" -p "$2" --value) == "$3" ]]; }

systemd_end() {
	local dir
	[[ -z $SYSTEMD ]] || kill -KILL "$SYSTEMD" 2>/dev/null # and all in its namespaces with it
	[[ -z $systemd_outer ]] || wait "$systemd_outer" 2>/dev/null
	for dir in "${systemd_cgroups[@]}"; do
		find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null
	done
}
