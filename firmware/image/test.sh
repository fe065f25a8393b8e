#!/usr/bin/env bash
# Shows that the image does its work, in qemu: test.sh ARCH. ONCE=1 builds it once and
# compares nothing; IMAGE takes one that is there; SHOW says what is shown (see
# firmware/qemu), CUTS how often the power is cut in an update and SEED when, and LEVEL how
# hard the image is compressed (build.sh).
set -euo pipefail
cd "$(dirname "$0")/../.."
arch=$1
tmp=$PWD/tmp/firmware
skip() { echo "the image is not tried: $1" && exit 0; }
fail() { echo "FAILED: $1" && exit 1; }
case $arch in
amd64) { command -v qemu-system-x86_64 && [ -e /usr/share/OVMF/OVMF_CODE_4M.fd ]; } >/dev/null || skip "apt-get install --no-install-recommends qemu-system-x86 ovmf" ;;
arm64) { command -v qemu-system-aarch64 && [ -e /usr/share/AAVMF/AAVMF_CODE.fd ]; } >/dev/null || skip "apt-get install --no-install-recommends qemu-system-arm qemu-efi-aarch64" ;;
esac

SHOW=${SHOW:-finding,update,broken,reset,cuts,lost,damage,sealed}
[[ $SHOW != *sealed* ]] || command -v swtpm >/dev/null || skip "apt-get install --no-install-recommends swtpm"

export CGO_ENABLED=0
mkdir -p "$tmp/bin"
go build -trimpath -o "$tmp/bin/" ./firmware/qemu ./firmware/bundle ./cmd/simtrap-hub ./cmd/simtrap-lab
if [ -z "${IMAGE:-}" ]; then
	rm -rf "$tmp/one" "$tmp/two" "$tmp/key"
	"$tmp/bin/bundle" key "$tmp/key" >"$tmp/keys"
	# The floor is the image's own: nothing older may be installed.
	export SIGN=$tmp/key UPDATE_KEYS=$tmp/keys SEQUENCE=1000 FLOOR=1000
	# Unaccelerated, qemu's processors have one time stamp counter, of which the kernel
	# does not know; the timer that it reads in its place is emulated, and holds up both.
	[ "$arch" != amd64 ] || export CMDLINE=tsc=reliable
	AGAIN=10 firmware/image/build.sh "$arch" "$tmp/one"
	IMAGE=$(echo "$tmp"/one/*.img)
	if [ -z "${ONCE:-}" ]; then
		# What lies here is built in another folder too, which has the packages of this one.
		other=$tmp/two/of-another-name
		git clone -q --shared --no-checkout . "$other"
		git -C "$other" reset -q
		git ls-files -z -co --exclude-standard | tar -c --null -T - | tar -x -C "$other"
		mkdir -p "$other/tmp/firmware"
		ln -s "$tmp/debs" "$other/tmp/firmware/debs"
		AGAIN=10 "$other/firmware/image/build.sh" "$arch" "$tmp/two/out" >/dev/null
		diff -rq "$tmp/one" "$tmp/two/out" || fail "built twice, the image is not the same"
		echo "built twice in two folders: the same bytes ($(find "$tmp/one" -type f | wc -l) files)"
		rm -rf "$tmp/two"
	fi
fi
"$tmp/bin/simtrap-lab" make goip-line --duration 4m -o "$tmp/goip.pcap" >/dev/null 2>&1
rm -f "$tmp/qemu/log"
"$tmp/bin/qemu" --arch "$arch" --image "$IMAGE" --capture "$tmp/goip.pcap" --hub "$tmp/bin/simtrap-hub" --folder "$tmp/qemu" \
	--show "$SHOW" --cuts "${CUTS:-5}" --seed "${SEED:-0}" --key "$tmp/key" --limit "${LIMIT:-$((20 + 8 * ${CUTS:-5}))m}"
