#!/usr/bin/env bash
# Fills both of the hub's stores with as many findings as docs/scale.md tells of, and
# prints its table: the store alone, then the whole hub with 2,000 sensors connected
# and linking on. It wants the machine for itself, 60 GB of disk for ten million, and
# PostgreSQL's programs. What was filled stays in tmp/bench-hub and serves again on the
# same day; on another it is removed first.
#
# FINDINGS  how many (10000000)          KINDS  "sqlite postgres"
# FILL, MEASURE, LOAD  time-outs of filling one store, of measuring it, and of each of
#           the three loads (3h 30m 10m)   FOR    how long a load lasts (1m)
# WARM      what comes before a load counts (10s)
# SENSORS   how many are connected (2000; the fill has 2,000 of them whatever that is)
# SHARED    what PostgreSQL keeps in its own memory where it is measured (6000MB); with
#           sysctl vm.nr_hugepages=3300 before, in huge pages, which it wants (docs/hub.md)
set -euo pipefail
cd "$(dirname "$0")/.."
findings=${FINDINGS:-10000000}
kinds=${KINDS:-sqlite postgres}
folder=$PWD/tmp/bench-hub
day=$(date -u +%F)
if [ "$(cat "$folder/filled" 2>/dev/null)" != "$day $findings" ]; then
	rm -rf "$folder"
	mkdir -p "$folder"
	echo "$day $findings" >"$folder/filled"
fi
go test -c -o "$folder/store.test" ./hub/store
go test -c -o "$folder/hub.test" ./cmd/simtrap-hub

server=
stop() {
	[ -z "$server" ] || { kill -INT "$server" 2>/dev/null && wait "$server" || true; }
}
trap stop EXIT

# PostgreSQL durable, with the settings of docs/hub.md; not durable while it is filled.
measured=(-c "shared_buffers=${SHARED:-6000MB}" -c max_wal_size=16GB -c min_wal_size=8GB -c wal_buffers=64MB -c checkpoint_timeout=30min -c wal_compression=lz4 -c jit=off)
filling=(-c shared_buffers=1GB -c fsync=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0 -c autovacuum=off -c checkpoint_timeout=30min -c max_wal_size=16GB)
postgres() {
	local bin as=()
	bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
	if command -v initdb >/dev/null; then bin=$(dirname "$(readlink -f "$(command -v initdb)")"); fi
	[ -n "$bin" ] || { echo "PostgreSQL is not installed: apt-get install postgresql"; return 1; }
	# It refuses to run as root, and its socket has a short name.
	socket=$(mktemp -d)
	mkdir -p "$folder/postgres"
	if [ "$(id -u)" = 0 ]; then
		as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
		chown postgres "$folder/postgres" "$socket"
		"${as[@]}" test -w "$folder/postgres" || { echo "the user postgres cannot reach $folder/postgres"; return 1; }
	fi
	[ -d "$folder/postgres/data" ] || (cd / && "${as[@]}" "$bin/initdb" -D "$folder/postgres/data" -A trust -U simtrap -E UTF8 --no-locale --no-instructions) >/dev/null
	(cd / && exec "${as[@]}" "$bin/postgres" -D "$folder/postgres/data" -k "$socket" -c listen_addresses= "$@") >"$folder/postgres.log" 2>&1 &
	server=$!
	psql=("$bin/psql" -h "$socket" -U simtrap postgres -qAt)
	for _ in $(seq 300); do
		"${psql[@]}" -c 'SELECT 1' >/dev/null 2>&1 && return
		sleep 0.2
	done
	echo "PostgreSQL does not start:"
	cat "$folder/postgres.log"
	return 1
}

# store TIME ARGUMENTS...: the benchmark of hub/store on it
store() {
	local time=$1
	shift
	(cd hub/store && timeout "$time" "$folder/store.test" -test.run '^$' -test.bench '^BenchmarkStore$' -test.benchtime 1x -test.timeout 0 -store.findings "$findings" "$@")
}

for kind in $kinds; do
	where=(-store.folder "$folder/sqlite")
	load_env=(SIMTRAP_LOAD_FOLDER="$folder/sqlite")
	if [ "$kind" = postgres ]; then
		postgres "${filling[@]}"
		url="postgres:///postgres?host=$socket&user=simtrap"
		where=(-store.url "$url")
		load_env=(SIMTRAP_LOAD_STORE="$url" SIMTRAP_LOAD_FOLDER="$folder/keys")
	fi
	echo "== $kind: filled"
	began=$SECONDS
	store "${FILL:-3h}" "${where[@]}" -store.fill >"$folder/$kind.fill" || { tail -n 5 "$folder/$kind.fill"; echo "not filled in ${FILL:-3h}"; continue; }
	echo "$findings findings in $((SECONDS - began)) s"
	if [ "$kind" = postgres ]; then
		stop
		postgres "${measured[@]}"
		# What a server that has run for a while has in memory, and has seen of the tables.
		"${psql[@]}" -c "VACUUM ANALYZE" -c "CREATE EXTENSION IF NOT EXISTS pg_prewarm" -c "SELECT sum(pg_prewarm(indexrelid::regclass)) FROM pg_stat_user_indexes" >/dev/null
	fi
	echo "== $kind: the store alone"
	store "${MEASURE:-30m}" "${where[@]}" | grep '^|' || echo "not measured in ${MEASURE:-30m}"
	for load in "1500 0" "0 0" "0 98"; do
		read -r rate calls <<<"$load"
		echo "== $kind: the hub, linking on, $([ $rate = 0 ] && echo "as many as it takes" || echo "$rate a second"), $calls of 100 calls, one of five findings new"
		(cd cmd/simtrap-hub && env "${load_env[@]}" SIMTRAP_LOAD_STORED="$findings" SIMTRAP_LOAD_SENSORS="${SENSORS:-2000}" SIMTRAP_LOAD_RATE=$rate SIMTRAP_LOAD_CALLS=$calls SIMTRAP_LOAD_MOST=$([ $calls = 0 ] && echo 5000 || echo 30000) \
			SIMTRAP_LOAD_BATCH=100 SIMTRAP_LOAD_SENDERS=32 SIMTRAP_LOAD_NEW=20 SIMTRAP_LOAD_FOR="${FOR:-1m}" SIMTRAP_LOAD_WARM="${WARM:-10s}" timeout "${LOAD:-10m}" "$folder/hub.test" -test.run '^TestLoad$' -test.v -test.timeout 0) |
			sed -n 's/^ *load_test.go:[0-9]*: //p' || echo "not measured in ${LOAD:-10m}"
	done
	stop
	server=
done
