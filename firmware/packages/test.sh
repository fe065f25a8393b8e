#!/usr/bin/env bash
# Shows of the packages what can be shown only by building and installing them: the
# same commit gives the same bytes in another folder; in a new Debian the package
# installs, simtrapd checks its configuration and judges a capture as its own user,
# and purging leaves nothing but evidence.
# Needs root and debootstrap (Debian). Arguments are the architectures to compare.
set -euo pipefail
cd "$(dirname "$0")/../.."
tmp=$PWD/tmp/packages
root=$tmp/debian
arch=$(dpkg --print-architecture 2>/dev/null || true)

skip() { echo "packages not tried: $1" && exit 0; }
fail() { echo "FAILED: $1" && exit 1; }
[ "$(id -u)" = 0 ] || skip "needs root"
command -v debootstrap >/dev/null || skip "apt-get install --no-install-recommends debootstrap"
mkdir -p "$tmp"

# What is committed is built, in two folders.
rm -rf "$tmp"/{one,two,clone,elsewhere}
commit=$(git rev-parse HEAD)
for pair in one:clone two:elsewhere/of-another-name; do
	git clone -q --shared --no-checkout . "$tmp/${pair#*:}"
	git -C "$tmp/${pair#*:}" checkout -q --detach "$commit"
	"$tmp/${pair#*:}/firmware/packages/build.sh" "$tmp/${pair%:*}" "$@" >"$tmp/sizes"
done
cat "$tmp/sizes"
cmp "$tmp/one/SHA256SUMS" "$tmp/two/SHA256SUMS" || fail "built twice, they are not the same"
echo "built twice in two folders: the same bytes ($(wc -l <"$tmp/one/SHA256SUMS") files)"

deb=$(echo "$tmp"/one/simtrapd_*_"$arch".deb)
[ -s "$deb" ] || skip "no package for this machine ($arch) among them"
if [ ! -e "$root.tar" ]; then
	# shellcheck disable=SC2016 # apt fills these in
	site=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "bookworm" { print $2; exit }')
	rm -rf "$root"
	debootstrap --variant=minbase bookworm "$root" "$site" >"$tmp/debootstrap.log" 2>&1 || { tail "$tmp/debootstrap.log" && fail "no Debian"; }
	tar -C "$root" -cf "$root.tar.new" . && mv "$root.tar.new" "$root.tar"
fi
rm -rf "$root" && mkdir "$root" && tar -C "$root" -xf "$root.tar"
trap 'rm -rf "$root" "$tmp"/{clone,elsewhere}' EXIT
in_root() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }
# What there is, but for what dpkg itself, useradd and caches leave.
listing() { (cd "$root" && find . \( -path ./proc -o -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache \) -prune -o -print | grep -v -E '^\./etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$' | sort); }

listing >"$tmp/before"
cp "$deb" "$root/simtrapd.deb"
in_root dpkg -i /simtrapd.deb >"$tmp/dpkg.log" 2>&1 || { cat "$tmp/dpkg.log" && fail "it does not install"; }
in_root simtrapd check /etc/simtrapd/simtrapd.yaml
in_root getent passwd simtrapd >/dev/null || fail "no user simtrapd"
for file in /lib/systemd/system/simtrapd.service /usr/share/man/man8/simtrapd-run.8.gz /usr/share/bash-completion/completions/simtrapd /usr/share/doc/simtrapd/simtrapd.spdx.json; do
	[ -e "$root$file" ] || grep -q 'path-exclude' "$root"/etc/dpkg/dpkg.cfg.d/* 2>/dev/null || fail "no $file"
done

# It judges a capture, as its user, in the folder that its unit would make.
CGO_ENABLED=0 go run ./cmd/simtrap-lab make demo -o "$root/demo.pcap" >/dev/null
cat >"$root/etc/simtrapd/test.yaml" <<-'END'
	ports:
	  - name: tap
	    files: [/demo.pcap]
	capture: file
	replay: {speed: 0}
	socket: none
	metrics: {listen: none}
	confine: false
END
mkdir -p "$root/proc" "$root/var/lib/simtrapd"
chmod 0644 "$root/demo.pcap"
in_root chown simtrapd:simtrapd /var/lib/simtrapd
in_root setpriv --reuid simtrapd --regid simtrapd --clear-groups simtrapd run -c /etc/simtrapd/test.yaml >"$tmp/findings" 2>"$tmp/run.log" || { tail "$tmp/run.log" && fail "simtrapd ended badly"; }
grep -q '"verdict":"case"' "$tmp/findings" || fail "no finding"
echo "installed; simtrapd told $(grep -c '"verdict":"case"' "$tmp/findings") findings at case of the demo"

# Removed, its configuration stays; purged, evidence alone; without evidence, nothing.
rm "$root/etc/simtrapd/test.yaml" "$root/demo.pcap" "$root/simtrapd.deb"
in_root dpkg -r simtrapd >>"$tmp/dpkg.log" 2>&1
[ -e "$root/etc/simtrapd/simtrapd.yaml" ] || fail "removing took the configuration"
in_root dpkg -P simtrapd >>"$tmp/dpkg.log" 2>&1 || { cat "$tmp/dpkg.log" && fail "it cannot be purged"; }
[ -s "$root/var/lib/simtrapd/evidence" ] || fail "purging took the evidence"
listing | diff "$tmp/before" - | grep '^[<>]' | grep -v '^> ./var/lib/simtrapd' && fail "purging left or took that"
in_root getent passwd simtrapd >/dev/null || fail "whose evidence it is is forgotten"
rm -rf "$root"/var/lib/simtrapd
cp "$deb" "$root/simtrapd.deb"
in_root dpkg -i /simtrapd.deb >>"$tmp/dpkg.log" 2>&1
rm "$root/simtrapd.deb"
in_root dpkg -P simtrapd >>"$tmp/dpkg.log" 2>&1
listing | diff "$tmp/before" - || fail "purging without evidence leaves something"
! in_root getent passwd simtrapd >/dev/null || fail "the user is left"
echo "purged: evidence stays with its user, else nothing does"
