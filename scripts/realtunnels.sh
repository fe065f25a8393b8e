#!/usr/bin/env bash
# Real tunnels: SIPp calls through WireGuard in user space, through OpenVPN and
# beside stunnel, and what people do through tunnels of the same kinds, between
# network namespaces. The cable outside is captured by packet sockets and judged
# while it goes on. It takes about a minute.
#
# Needs root, iproute2, sip-tester, openvpn, stunnel4; says what is missing. With
# --install it installs them (Debian).
set -euo pipefail
cd "$(dirname "$0")/.."

need() {
	local missing=()
	command -v ip >/dev/null || missing+=(iproute2)
	command -v sipp >/dev/null || missing+=(sip-tester)
	command -v openvpn >/dev/null || missing+=(openvpn)
	command -v stunnel >/dev/null || missing+=(stunnel4)
	echo "${missing[@]}"
}
# Where CI is to try tunnels it must not pass for want of them.
skip() {
	echo "real tunnels skipped: $1"
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
[ -c /dev/net/tun ] || skip "no /dev/net/tun"

# The test skips itself where the kernel has no namespaces or passes nothing on.
said=$(mktemp)
trap 'rm -f "$said"' EXIT
SIMTRAP_REALTUNNELS=1 go test -count=1 -v -run '^TestRealTunnels$' ./sensor/live | tee "$said"
if grep -a -q -- '^--- SKIP' "$said"; then skip "the test says why"; fi
