#!/usr/bin/env bash
# Writes firmware/image/packages.ARCH: what `wanted` takes with its dependencies, as
# Debian has it today, each with version and SHA-256. Run it to take security updates
# in, and look at the difference. Arguments are the architectures.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=$PWD/tmp/firmware
fail() { echo "$1" >&2 && exit 1; }
# shellcheck source=firmware/image/apt.sh
. firmware/image/apt.sh

for arch in "${@:-amd64}"; do
	own_apt "$arch"
	mapfile -t wanted < <(sed "/^[#-]/d; s/^linux-image\$/linux-image-$arch/" firmware/image/wanted)
	dropped=" $(sed -n 's/^-//p' firmware/image/wanted | tr '\n' ' ') linux-image-$arch "
	list=$(apt-get --print-uris -qq install "${wanted[@]}" | awk '{ print $2 }' | sed 's/%3a/:/g')
	{
		echo "# Packages of the image for $arch: name, version, architecture, SHA-256 (pin.sh)."
		for file in $list; do
			name=${file%%_*}
			[[ $dropped != *" $name "* ]] || continue
			version=${file#*_}
			version=${version%_*}
			apt-cache show "$name=$version" | awk -v OFS=' ' '
				/^Package: / { name = $2 } /^Version: / { version = $2 } /^Architecture: / { arch = $2 } /^SHA256: / { sum = $2 }
				END { print name, version, arch, sum }'
		done | LC_ALL=C sort
	} >"firmware/image/packages.$arch"
	echo "$arch: $(grep -vc '^#' "firmware/image/packages.$arch") packages"
done
