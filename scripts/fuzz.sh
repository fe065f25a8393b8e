#!/usr/bin/env bash
# fuzz.sh FUZZTIME PACKAGE...: every fuzz target of the packages for that time,
# as many side by side as there are processors, with one worker each. A package
# is built once for all its targets: linking took longer than a second of fuzzing.
set -euo pipefail
cd "$(dirname "$0")/.."
export FUZZTIME=$1
shift

mkdir -p tmp
work=$(mktemp -d "$PWD/tmp/fuzz.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Where `go test -fuzz` itself keeps what it found interesting.
cache=$(go env GOCACHE)/fuzz

# one DIRECTORY BINARY TARGET CACHE. A run can fail at its very end because its
# own time is up, with nothing found; only that is tried once more.
one() {
	local log=${2%.test}.$3.log try
	for try in 1 2; do
		if (cd "$1" && "$2" -test.run '^$' -test.fuzz "^$3\$" -test.fuzztime "$FUZZTIME" -test.fuzzminimizetime 1x \
			-test.fuzzcachedir "$4" -test.parallel 1) >"$log" 2>&1 </dev/null; then
			# Without coverage it would grope in the dark.
			if grep -q 'not built with coverage' "$log"; then break; fi
			echo "fuzz $3 in $1: $(grep '^fuzz: elapsed' "$log" | tail -n 1)"
			return 0
		fi
		if grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then continue; fi
		break
	done
	echo "fuzz $3 in $1: FAILED"
	cat "$log"
	return 1
}
export -f one

: >"$work/targets"
listing=$(go list -f '{{.ImportPath}} {{.Dir}}{{range .TestGoFiles}} {{.}}{{end}}{{range .XTestGoFiles}} {{.}}{{end}}' "$@")
while read -r package dir files; do
	# shellcheck disable=SC2086 # names of files, of ours
	if [ -z "$files" ] || ! (cd "$dir" && grep -q '^func Fuzz' $files); then continue; fi
	binary=$work/${package//\//-}.test
	go test -c -fuzz . -o "$binary" "$package"
	(cd "$dir" && "$binary" -test.list '^Fuzz') | grep '^Fuzz' |
		while read -r target; do printf '%s\0' "$dir" "$binary" "$target" "$cache/$package"; done >>"$work/targets"
done <<<"$listing"
[ -s "$work/targets" ] || { echo "no fuzz target found"; exit 1; }
xargs -0 -n 4 -P "$(nproc)" bash -c 'one "$@"' one <"$work/targets"
