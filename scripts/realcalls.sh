#!/usr/bin/env bash
# Makes real calls and reads them back: a Kamailio registrar, 32 lines of one
# address that SIPp registers there, and a stranger who calls each of them, with
# voice both ways, in network namespaces of their own. What passes between them
# is captured, replayed, and held against what was done.
#
# Needs root, iproute2, tcpdump, kamailio, sip-tester; says what is missing.
# With --install it installs them (Debian).
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD/scripts/realcalls
lines=32

need() {
	local missing=()
	command -v ip >/dev/null || missing+=(iproute2)
	command -v tcpdump >/dev/null || missing+=(tcpdump)
	command -v kamailio >/dev/null || missing+=(kamailio)
	command -v sipp >/dev/null || missing+=(sip-tester)
	echo "${missing[@]}"
}
# Where CI is to make calls it must not pass for want of them.
skip() {
	echo "real calls skipped: $1"
	[ -z "${CI:-}" ] && exit 0
	exit 1
}
missing=$(need)
if [ -n "$missing" ] && [ "${1:-}" = --install ]; then
	# shellcheck disable=SC2086 # a list of packages
	(apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing) >/dev/null
	missing=$(need)
fi
[ -z "$missing" ] || skip "apt-get install $missing"
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
core=simtrap-core-$$ box=simtrap-box-$$
if ! ip netns add "$core" 2>/dev/null; then
	skip "no network namespaces here"
fi

work=$(mktemp -d)
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
	ip netns del "$core" 2>/dev/null || true
	ip netns del "$box" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

ip netns add "$box"
ip -n "$core" link add tap0 type veth peer name tap1 netns "$box"
ip -n "$core" link set lo up
ip -n "$box" link set lo up
ip -n "$core" addr add 198.51.100.10/24 dev tap0
ip -n "$core" addr add 198.51.100.20/24 dev tap0
ip -n "$box" addr add 203.0.113.7/24 dev tap1
ip -n "$core" link set tap0 up
ip -n "$box" link set tap1 up
ip -n "$core" route add 203.0.113.0/24 dev tap0
ip -n "$box" route add 198.51.100.0/24 dev tap1

pcap=/usr/share/sip-tester
ln -s "$pcap" "$work/pcap" # the scenarios name pcap/g711a.pcap
{
	echo SEQUENTIAL
	for i in $(seq 1 $lines); do
		printf '10%02d;[authentication username=10%02d password=secret];013900%05d\n' "$i" "$i" "$((i * 7919 % 100000))"
	done
} >"$work/lines.csv"

ip netns exec "$box" tcpdump -U -s 0 -i tap1 -w "$work/calls.pcap" 'udp or ip[6:2] & 0x3fff != 0' 2>"$work/tcpdump.log" &
pids+=($!)
mkdir "$work/run"
ip netns exec "$core" kamailio -DD -E -f "$here/kamailio.cfg" -Y "$work/run" -P "$work/run/pid" -w "$work/run" >"$work/kamailio.log" 2>&1 &
pids+=($!)

# Until the registrar answers.
for _ in $(seq 50); do
	if ip netns exec "$core" ss -Hlun 'sport = 5060' | grep -q 198.51.100.10; then ready=1; break; fi
	sleep 0.2
done
failed() { # failed WHAT: shows what the programs said
	local f
	for f in "$work"/*.err "$work"/*.log; do
		[ -s "$f" ] && { echo "-- $(basename "$f")"; tail -n 30 "$f"; }
	done
	echo "$1"
	exit 1
}
[ -n "${ready:-}" ] || failed "the registrar did not start"

run() { # run NAMESPACE NAME SIPP-ARGUMENTS...
	local ns=$1 name=$2
	shift 2
	(cd "$work" && ip netns exec "$ns" sipp "$@" -nostdin -trace_err -error_file "$work/$name.err" >"$work/$name.log" 2>&1)
}
run "$box" register -sf "$here/register.xml" -inf "$work/lines.csv" -i 203.0.113.7 -p 5060 -m $lines -r 20 -timeout 20s -timeout_error 198.51.100.10:5060 ||
	failed "the lines did not register"
run "$box" answer -sf "$here/answer.xml" -i 203.0.113.7 -mi 203.0.113.7 -p 5060 -mp 20000 -m $lines -timeout 60s &
answer=$!
pids+=($answer)
sleep 0.5
run "$core" call -sf "$here/call.xml" -inf "$work/lines.csv" -i 198.51.100.20 -mi 198.51.100.20 -p 5062 -mp 30000 -m $lines -r 4 -timeout 60s -timeout_error 198.51.100.10:5060 ||
	failed "not all calls came through"
wait $answer || failed "not all calls were answered to their end"
sleep 1
kill -INT "${pids[0]}" && wait "${pids[0]}" || true

echo "captured $(stat -c %s "$work/calls.pcap") bytes of $lines registrations and $lines calls"
SIMTRAP_REALCALLS=$work/calls.pcap go test -count=1 -v -run '^TestRealCalls$' ./cases
