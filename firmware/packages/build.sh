#!/usr/bin/env bash
# Builds the static programs for the architectures named (amd64 arm64 armhf), a deb
# package of each and a tarball of all, with their bills of materials (SPDX), into a
# folder: build.sh FOLDER [ARCH...]. The same commit gives the same bytes: times are
# that of the commit, orders are fixed, and no path of this machine is in them.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1
shift
arches=("${@:-amd64}")
programs=(simtrap simtrapd)

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
# Newer commits are newer versions; 0~ is older than any release.
VERSION=${VERSION:-0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d.%H%M%S).$(git rev-parse --short=12 HEAD)}
export SOURCE_DATE_EPOCH VERSION CGO_ENABLED=0 GOOS=linux TZ=UTC LC_ALL=C
umask 022

# Go would record a clone's commit, and nothing where a worktree is: the version says it.
program() {
	go build -trimpath -buildvcs=false -ldflags "-s -w -X simtrap/cmd/internal/command.built=$VERSION" -o "$1" "$2"
}

# What the programs say of themselves is the same on every architecture.
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$out" "$stage/own" "$stage/man" "$stage/completion"
own=$(go env GOHOSTARCH)
for p in "${programs[@]}"; do
	GOARCH=$own program "$stage/own/$p" "./cmd/$p"
	"$stage/own/$p" docs man "$stage/man"
	for shell in bash zsh fish; do
		"$stage/own/$p" completion $shell >"$stage/completion/$p.$shell"
	done
done
gzip -9n "$stage"/man/*

GOARCH=$own go build -trimpath -o "$stage/own/sbom" ./firmware/sbom
for arch in "${arches[@]}"; do
	case $arch in
	amd64 | arm64) export GOARCH=$arch ;;
	armhf) export GOARCH=arm GOARM=7 ;;
	*) echo "no architecture $arch; there are amd64, arm64 and armhf" && exit 2 ;;
	esac
	tree=$stage/simtrap-$VERSION-linux-$arch
	mkdir -p "$tree/bin"
	for p in "${programs[@]}"; do
		program "$tree/bin/$p" "./cmd/$p"
		"$stage/own/sbom" --name "$p" --version "$VERSION" --arch "$arch" "$tree/bin/$p" >"$tree/$p.spdx.json"
	done
	cp -r "$stage/man" "$stage/completion" LICENSE sensor/systemd/simtrapd.service docs/simtrapd.md docs/simtrapd.example.yaml \
		firmware/packages/default.yaml "$tree/"
	# nfpm and tar take times and modes as the files have them.
	find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	for p in "${programs[@]}"; do
		STAGE=$tree DEB_ARCH=$arch GOARCH=$own GOARM='' go tool -modfile=tools/go.mod nfpm package \
			--config "firmware/packages/$p.yaml" --packager deb --target "$out/${p}_${VERSION}_$arch.deb" >"$stage/log" || { cat "$stage/log" && exit 1; }
	done
	tar -C "$stage" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
		-c "$(basename "$tree")" | gzip -9n >"$out/$(basename "$tree").tar.gz"
	for p in "${programs[@]}"; do
		printf '%-10s %-6s %10d bytes, deb %10d bytes\n' "$p" "$arch" "$(stat -c %s "$tree/bin/$p")" "$(stat -c %s "$out/${p}_${VERSION}_$arch.deb")"
	done
	# What an engineer copies over a mobile link.
	[ "$(stat -c %s "$tree/bin/simtrapd")" -le 25000000 ] || { echo "simtrapd for $arch has more than 25 MB" && exit 1; }
done
(cd "$out" && sha256sum -- *.deb *.tar.gz >SHA256SUMS)
