#!/bin/sh
# A planner that reads a second database with psql: it plans anew after each copy that `asofs copy --name=NAME` makes.
#
# usage: planner.sh TARGET NAME
target=$1 name=$2 seen=-infinity
here=$(dirname "$0")

# `asofs wait` LISTENs, looks and waits.
while asofs wait --target="$target" --name="$name" --newer-than="$seen"; do
	plan=$(psql -XqAt -v ON_ERROR_STOP=1 -v name="$name" -f "$here/planner.sql" "$target") || exit 1
	[ -n "$plan" ] || continue # not current any more (--publish=inplace): wait again
	echo "$plan"
	seen=${plan%%|*}
done
