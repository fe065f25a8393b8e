#!/usr/bin/env bash
# Makes the pictures of docs/pages.md: a hub with the lab's data (scripts/demo-hub.sh) on
# the loopback, looked at in a headless Chromium.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p tmp
go build -o bin/ ./cmd/simtrap ./cmd/simtrapd ./cmd/simtrap-hub ./cmd/simtrap-lab
listen=127.0.0.1:${PORT:-18443}
SERVE=1 LISTEN=$listen scripts/demo-hub.sh >tmp/pictures.log 2>&1 &
demo=$!
trap 'kill $demo 2>/dev/null && wait $demo 2>/dev/null || true' EXIT
for _ in $(seq 600); do
	if grep -q '^it goes on until' tmp/pictures.log; then break; fi
	kill -0 $demo 2>/dev/null || { cat tmp/pictures.log; exit 1; }
	sleep 0.5
done
SIMTRAP_PAGES=https://$listen SIMTRAP_PAGES_PASSWORD=$(cat tmp/demo-hub/password) go test ./hub/pages -count=1 -run '^TestPictures$' -v
