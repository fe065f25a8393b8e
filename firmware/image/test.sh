#!/usr/bin/env bash
# Shows that the image does its work, in qemu: test.sh ARCH. ONCE=1 builds it once and
# compares nothing; IMAGE takes one that is there.
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

if [ -z "${IMAGE:-}" ]; then
	rm -rf "$tmp/one" "$tmp/two"
	firmware/image/build.sh "$arch" "$tmp/one"
	IMAGE=$(echo "$tmp"/one/*.img)
	if [ -z "${ONCE:-}" ]; then
		firmware/image/build.sh "$arch" "$tmp/two" >/dev/null
		cmp "$tmp"/one/*.sha256 "$tmp"/two/*.sha256 || fail "built twice, the image is not the same"
		rm -rf "$tmp/two"
		echo "built twice: the same bytes"
	fi
fi
export CGO_ENABLED=0
go build -trimpath -o "$tmp/qemu-trial" ./firmware/qemu
go run ./cmd/simtrap-lab make goip-line -o "$tmp/goip.pcap" >/dev/null 2>&1
"$tmp/qemu-trial" --arch "$arch" --image "$IMAGE" --capture "$tmp/goip.pcap" --folder "$tmp/qemu"
"$tmp/qemu-trial" --arch "$arch" --image "$IMAGE" --damage --folder "$tmp/qemu-damaged"
