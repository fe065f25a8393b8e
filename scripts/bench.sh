#!/usr/bin/env bash
# Prints how fast replay is, against other programs in the same run, and the
# cost of the hot paths. Other programs are measured when they are installed.
#
# SIMTRAP_BENCH names the folder of the generator of the bench capture
# (default ../shared/bench/mixgen); without it a capture of the lab serves.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-5}
mkdir -p tmp
gen=${SIMTRAP_BENCH:-../shared/bench/mixgen}
if [ -d "$gen" ]; then
	cap=$PWD/tmp/bench.pcap
	[ -s "$cap" ] || (cd "$gen" && go run . -o "$cap")
else
	echo "no $gen: the capture is the lab's demo, and figures do not compare with published ones"
	cap=$PWD/tmp/bench-lab.pcap
	[ -s "$cap" ] || bin/simtrap-lab make demo -o "$cap"
fi
packets=$(bin/simtrap replay --workers 1 "$cap" | sed -n 's/^ *read *\([0-9,]*\) frames.*/\1/p' | tr -d ,)
echo "== replay of $(basename "$cap"), $packets packets, from the page cache"
cat "$cap" >/dev/null
set -- "simtrap, 1 worker: env GOMAXPROCS=1 bin/simtrap replay -q --workers 1 $cap" "simtrap, 2 workers: bin/simtrap replay -q --workers 2 $cap"
if command -v tcpdump >/dev/null; then set -- "$@" "tcpdump -w /dev/null: tcpdump -n -r $cap -w /dev/null"; else echo "tcpdump is not installed (apt-get install tcpdump): not compared"; fi
if command -v ndpiReader >/dev/null; then set -- "$@" "ndpiReader -q: ndpiReader -q -i $cap"; fi
if command -v tshark >/dev/null; then set -- "$@" "tshark -q -z rtp,streams: tshark -n -q -z rtp,streams -r $cap"; else echo "tshark is not installed (apt-get install tshark): not compared"; fi
go run ./internal/timing -packets "$packets" -runs "$runs" "$@"
if [ -d "$gen" ] && command -v tcpdump >/dev/null; then
	# Many calls at once: what counts is memory, and what is kept of each call.
	many=$PWD/tmp/bench20k.pcap
	[ -s "$many" ] || (cd "$gen" && go run . -calls 20000 -packets 2400000 -o "$many")
	packets=$(bin/simtrap replay --workers 1 "$many" | sed -n 's/^ *read *\([0-9,]*\) frames.*/\1/p' | tr -d ,)
	echo "== replay of 20,000 calls at once, $packets packets"
	go run ./internal/timing -packets "$packets" -runs "$runs" "simtrap, 1 worker: env GOMAXPROCS=1 bin/simtrap replay -q --workers 1 $many" "tcpdump -w /dev/null: tcpdump -n -r $many -w /dev/null"
fi
echo "== SIP alone through all stages, on one core (kmsg/s), and the update of one line's score"
GOMAXPROCS=1 go test -run '^$' -bench 'Signalling$|Score' -benchmem -count 1 ./pipeline ./heuristics | grep '^Benchmark'
echo "== hot paths"
go test -run '^$' -bench . -benchmem -count 1 ./sip ./packet ./rtp ./capture ./control ./heuristics ./pipeline | grep -E '^(Benchmark|pkg|cpu)'
