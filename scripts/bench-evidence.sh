#!/usr/bin/env bash
# Times `simtrap evidence make` and `verify` of an hour of a box's traffic: eleven
# channels, 1.86 million packets, as the lab makes them, read from the page cache. Fails
# where one of RUNS takes longer than docs/evidence.md says. Needs bin/ (make build).
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-5}
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
export HOME=$here XDG_CONFIG_HOME=$here TIMEFORMAT='%R %U %S'
bin/simtrap-lab make goip-group --duration 1h -o "$here/hour.pcap" 2>/dev/null
bin/simtrap evidence keygen "$here/key" >/dev/null 2>&1
line=$(bin/simtrap replay --json -q "$here/hour.pcap" | sed -n '1s/^{"line":"\([^"]*\)".*/\1/p')
[ -n "$line" ] || { echo "no line was found"; exit 1; }
bad=0
timed() { # timed WHAT SECONDS COMMAND...
	local what=$1 most=$2 t
	shift 2
	{ t=$({ time "$@" >/dev/null 2>"$here/err"; } 2>&1); } || { cat "$here/err"; exit 1; }
	read -r wall user sys <<<"$t"
	echo "$what: $wall s, of processors $user s and $sys s in the system"
	if awk "BEGIN { exit !($wall > $most) }"; then echo "$what: more than $most s"; bad=1; fi
}
for _ in $(seq "$runs"); do
	timed make 5 bin/simtrap evidence make -q --force --line "$line" --case bench --key "$here/key" -o "$here/hour.evidence" "$here/hour.pcap"
	timed verify 2 bin/simtrap evidence verify --signer "$here/key.pub" "$here/hour.evidence"
done
exit $bad
