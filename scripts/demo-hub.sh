#!/usr/bin/env bash
# A hub and two appliances on this machine, under tmp/demo-hub: five captures of the
# lab are replayed as taps, four of them with a box that one softswitch drives, each
# on a line of its own and none enough for a case there. Three are of one make: what
# speaks another dialect is not joined by its controller alone. Prints what the hub makes
# of it, and what to sign in with in a browser. With SERVE=1 the hub goes on until it
# is stopped (on LISTEN, 127.0.0.1:8443); else it ends with the script. Needs bin/ (make
# build), and loopback alone.
set -euo pipefail
cd "$(dirname "$0")/.."
here=tmp/demo-hub
bin=$PWD/bin
rm -rf $here
mkdir -p $here
cd $here
export HOME=$PWD XDG_CONFIG_HOME=$PWD/config
say() { printf '\n== %s\n' "$*"; }

hub=
trap '[ -z "$hub" ] || { kill "$hub" && wait "$hub"; } 2>/dev/null || true' EXIT

say "captures of two cities"
make() { # make NAME SCENARIO SEED
	"$bin/simtrap-lab" make "$2" --seed "$3" --ring demo --duration 15m -o "$1.pcap" 2>&1 | cut -d, -f1,3
}
make north-a trunk-32 1
make north-b trunk-32 2
make north-c office-nat 3
make south-a trunk-32 4
make south-b trunk-32 5

say "a hub"
"$bin/simtrap-hub" init -d hub --name localhost --name 127.0.0.1
listen=127.0.0.1:0
[ -z "${SERVE:-}" ] || listen=${LISTEN:-127.0.0.1:8443}
"$bin/simtrap-hub" serve -d hub --listen "$listen" --metrics none --log-format json 2>hub.log &
hub=$!
address=
for _ in $(seq 100); do
	address=$(sed -n 's/.*"msg":"serving","on":"\([^"]*\)".*/\1/p' hub.log)
	[ -z "$address" ] || break
	kill -0 $hub 2>/dev/null || { cat hub.log; exit 1; }
	sleep 0.1
done
[ -n "$address" ] || { echo "the hub does not serve:"; cat hub.log; exit 1; }

say "two appliances are admitted and report"
appliance() { # appliance CITY PORT...
	local city=$1 ports='' name
	shift
	for name in "$@"; do ports+="{name: $name, files: [$city-$name.pcap]}, "; done
	cat >"$city.yaml" <<-END
		ports: [${ports%, }]
		capture: file
		replay: {speed: 0}
		home: [203.0.113.0/24, 198.51.100.0/24]
		state: $city
		socket: none
		output: $city.jsonl
		metrics: {listen: none}
		log: {level: warn}
	END
	"$bin/simtrapd" enroll -c "$city.yaml" "$address" "$("$bin/simtrap-hub" enroll -d hub "$city")"
	"$bin/simtrapd" run -c "$city.yaml" 2>"$city.log" || { cat "$city.log"; exit 1; }
}
appliance north a b c
appliance south a b
"$bin/simtrap-hub" sensors -d hub

say "an analyst logs in"
head -c 18 /dev/urandom | base64 >password
"$bin/simtrap-hub" account add -d hub --role analyst ann <password
"$bin/simtrap-hub" ca -d hub >ca.pem
"$bin/simtrap" hub login --ca ca.pem --account ann "https://$address" <password

# The linker works behind the reports: wait until nothing has changed for 3 s.
now=
same=0
for _ in $(seq 60); do
	before=$now
	now=$("$bin/simtrap" hub rings --json)
	if [ -n "$now" ] && [ "$now" = "$before" ]; then same=$((same + 1)); else same=0; fi
	[ $same -lt 6 ] || break
	sleep 0.5
done

say "lines at watch or above, each on its own evidence"
"$bin/simtrap" hub findings
say "the ring that they are of"
"$bin/simtrap" hub rings
[ -n "$now" ] || { echo "no ring was found"; exit 1; }
say "the same with addresses, under an authority that the audit log keeps"
"$bin/simtrap" hub lines --authority "case 2026-114"
"$bin/simtrap-hub" audit verify -d hub

say "and in a browser"
"$bin/simtrap" hub cases open "the demonstration" --ring "$(printf '%s' "$now" | head -n 1 | sed -n 's/.*"id":"\([0-9a-f]\{32\}\)".*/\1/p')"
for role in admin auditor; do
	"$bin/simtrap-hub" account add -d hub --role $role $role <password
done
page=$(curl -s --cacert ca.pem -o /dev/null -w '%{http_code} %{size_download}' "https://$address/sign-in" 2>/dev/null || true)
[ -z "$page" ] || echo "the page of the sign-in: $page bytes"
echo "address   https://$address/ (its certificate is of the authority tmp/demo-hub/ca.pem)"
echo "sign in   ann (analyst), admin or auditor, with $(cat password)"
if [ -n "${SERVE:-}" ]; then
	echo "it goes on until it is stopped: Ctrl-C"
	wait $hub
else
	echo "that hub has ended with the demonstration: make demo-hub SERVE=1 leaves it up"
fi
