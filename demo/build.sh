# shellcheck shell=bash
# Installs what is missing and builds asofs; scripts/demo and scripts/bench source this file.
#
#   build_asofs ROOT NAME    leaves ROOT/build/NAME/asofs; all that the build says goes to ROOT/build/NAME.log
#   quietly COMMAND…         the same for any command after that: it is heard only if it fails
#   fail WORDS…              says them in the name of the script, and ends it

build_log=/dev/null

fail() {
	echo "scripts/${0##*/}: $*" >&2
	exit 1
}

quietly() {
	if ! "$@" >>"$build_log" 2>&1 </dev/null; then
		tail -n 30 "$build_log" >&2
		fail "'${1##*/} ${*:2}' failed; all it said is in $build_log"
	fi
}

build_asofs() {
	local root=$1 build=$1/build/$2
	mkdir -p "$build"
	build_log=$build.log
	: >"$build_log"
	echo "Installing what is missing and building asofs; the log is build/$2.log."
	quietly "$root/scripts/install-deps" --demo
	if [[ ! -x $root/configure || $root/configure.ac -nt $root/configure || $root/Makefile.am -nt $root/Makefile.in ]]; then
		quietly autoreconf -fi "$root"
	fi
	if [[ ! -e $build/Makefile || $root/configure -nt $build/config.status ]]; then
		quietly env --chdir="$build" "$root/configure"
	fi
	quietly make -C "$build" -j "$(nproc)"
}
