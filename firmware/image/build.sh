#!/usr/bin/env bash
# Builds the image of the appliance for an architecture into a folder: build.sh ARCH
# FOLDER. Needs no root, but of Debian what `need` names. The same commit, the same
# list of packages and the same keys give the same bytes.
#
# UPDATE_KEYS names a file of the public keys (firmware/bundle) whose updates the
# appliance takes; without it takes none. SIGN names a private key: then there is a
# bundle too. SEQUENCE (default: the commit's time) says which of two is newer, FLOOR
# (default 0) what nobody goes back below once this one works. AGAIN makes a
# second system, later by so much, and of it bundles that work and that do not. LEVEL
# (default 15) is how hard systems are compressed: 1 is for trials.
set -euo pipefail
cd "$(dirname "$0")/../.."
arch=$1 out=$2
cache=$PWD/tmp/firmware
fail() { echo "$1" >&2 && exit 1; }

case $arch in
amd64) efi=x64 EFI=X64 console=ttyS0 gnu=x86-64 ;;
arm64) efi=aa64 EFI=AA64 console=ttyAMA0 gnu=aarch64 ;;
*) fail "no architecture $arch; there are amd64 and arm64" ;;
esac

objcopy=${gnu/-/_}-linux-gnu-objcopy
need() {
	local missing=()
	command -v mksquashfs >/dev/null || missing+=(squashfs-tools)
	command -v veritysetup >/dev/null || missing+=(cryptsetup-bin)
	command -v mkfs.vfat >/dev/null || missing+=(dosfstools)
	command -v mcopy >/dev/null || missing+=(mtools)
	command -v depmod >/dev/null || missing+=(kmod)
	command -v cpio >/dev/null || missing+=(cpio)
	command -v zstd >/dev/null || missing+=(zstd)
	command -v dpkg-deb >/dev/null || missing+=(dpkg)
	command -v readelf >/dev/null || missing+=(binutils)
	command -v "$objcopy" >/dev/null || missing+=("binutils-$gnu-linux-gnu") # each knows its own architecture's files for UEFI alone
	[ ${#missing[@]} -eq 0 ] || fail "no image: apt-get install --no-install-recommends ${missing[*]}"
}
need
export PATH=$PATH:/usr/sbin:/sbin
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
VERSION=${VERSION:-0.$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d.%H%M%S)}
SAMPLE=${SAMPLE:-2m} LEVEL=${LEVEL:-15}
SEQUENCE=${SEQUENCE:-$SOURCE_DATE_EPOCH} FLOOR=${FLOOR:-0}
[ -z "${SIGN:-}" ] || [ -n "${UPDATE_KEYS:-}" ] || fail "SIGN without UPDATE_KEYS: nobody would take the bundle"
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C CGO_ENABLED=0 GOOS=linux
umask 022

# shellcheck source=firmware/image/apt.sh
. firmware/image/apt.sh
# fetch gets the packages of the list that are not there, and looks at their sums.
fetch() {
	local name version of sum file
	local -A want=()
	mkdir -p "$cache/debs"
	while read -r name version of sum; do
		[ -s "$cache/debs/$sum" ] || want[$sum]="$name=$version"
	done < <(grep -v '^#' "firmware/image/packages.$arch")
	[ ${#want[@]} -gt 0 ] || return 0
	own_apt "$arch"
	rm -rf "$cache/get" && mkdir -p "$cache/get"
	# All at once: apt reads its lists each time.
	(cd "$cache/get" && apt-get -qq download "${want[@]}") ||
		fail "a package cannot be had any more: firmware/image/pin.sh $arch takes what Debian has today"
	for file in "$cache"/get/*.deb; do
		sum=$(sha256sum "$file")
		sum=${sum%% *}
		[ -n "${want[$sum]:-}" ] || fail "${file##*/} is not what the list says"
		mv "$file" "$cache/debs/$sum"
		unset "want[$sum]"
	done
	[ ${#want[@]} -eq 0 ] || fail "apt gave no ${want[*]}"
}
fetch

mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{proc,sys,dev,run,tmp,var,root,etc,boot}
for d in bin sbin lib lib64; do ln -s usr/$d "$root/$d"; done
while read -r _ _ _ sum; do
	dpkg-deb --fsys-tarfile "$cache/debs/$sum" | tar -x -C "$root" --keep-directory-symlink --no-same-owner --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
		--exclude='./usr/share/locale/*' --exclude='./usr/share/info/*' --exclude='./usr/share/bug/*' --exclude='./usr/share/lintian/*' \
		--exclude='./usr/share/bash-completion/*' --exclude='./usr/share/zsh/*' --exclude='./usr/share/i18n/*' --exclude='./usr/lib/*/gconv/*' --exclude='./var/*' \
		--exclude='./etc/init.d/*' --exclude='./etc/default/*' --exclude='./etc/cron*' --exclude='./etc/logcheck/*'
done < <(grep -v '^#' "firmware/image/packages.$arch")
rm -rf "$root"/etc/{apt,dhcp,ppp,NetworkManager,X11,xdg/autostart,kernel,logrotate.d,pam.d} "$root"/usr/share/{polkit-1,debconf,gcc,gdb}
# Nobody logs in, nobody installs: what only that would need is not there.
rm -f "$root"/usr/sbin/{agetty,sulogin} "$root"/usr/lib/systemd/systemd-sulogin-shell

# What nobody needs here takes time at each start.
(cd "$root/usr/lib/systemd/system-generators" && find . ! -name systemd-fstab-generator ! -name systemd-debug-generator -type f -delete)
rm -rf "$root"/usr/lib/udev/hwdb.d "$root"/usr/lib/udev/hwdb.bin
(cd "$root/usr/lib/udev/rules.d" && rm -f 60-{autosuspend,cdrom_id,evdev,fido-id,input-id,persistent-alsa,persistent-input,persistent-storage-tape,persistent-v4l,sensor,serial}.rules \
	70-{camera,joystick,memory,mouse,power-switch,touchpad,uaccess}.rules 71-seat.rules 73-seat-late.rules 78-sound-card.rules 81-net-dhcp.rules 90-vconsole.rules)

# Drivers: those of the list, with what they depend on.
kernel=$(basename "$root"/usr/lib/modules/*)
mods=$root/usr/lib/modules/$kernel
depmod -b "$root" "$kernel"
closure() { # closure LIST: paths of the modules it names and of those they need
	(cd "$mods" && grep -v '^#' | while read -r pattern; do compgen -G "$pattern" || true; done) <"$1" |
		awk 'NR == FNR { f = $1; sub(":$", "", f); $1 = ""; deps[f] = $0; next }
			function take(m,  n, i, list) { if (m in seen) return; seen[m] = 1; n = split(deps[m], list, " "); for (i = n; i >= 1; i--) take(list[i]); print m }
			$1 ~ /\.ko$/ { take($1) }' "$mods/modules.dep" -
}
closure firmware/image/modules >"$work/modules"
closure firmware/image/first >"$work/first"
mkdir -p "$work/initramfs"/{proc,sys,dev,run,root,modules}
n=100
while read -r m; do
	n=$((n + 1))
	cp "$mods/$m" "$work/initramfs/modules/$n-$(basename "$m")"
	echo "$n-$(basename "$m")" >>"$work/initramfs/modules/order"
done <"$work/first"
sort -u "$work/modules" "$work/first" >"$work/kept"
(cd "$mods" && find kernel -name '*.ko' | sort | comm -23 - "$work/kept" | xargs -r rm)
find "$mods" -type d -empty -delete
depmod -b "$root" "$kernel"
mv "$root/boot/vmlinuz-$kernel" "$work/vmlinuz"
mv "$root/usr/lib/systemd/boot/efi" "$work/efi"
stub=$work/efi/linux$efi.efi.stub
rm -rf "$root"/boot/*

go build -trimpath -o "$work/disk" ./firmware/image
go build -trimpath -o "$work/sbom" ./firmware/sbom
go build -trimpath -o "$work/bundle" ./firmware/bundle
mkdir -p "$root/usr/lib/simtrap"
# What an update must find before it may stay: a gateway, in two minutes of its calls.
go run ./cmd/simtrap-lab make goip-line --duration "$SAMPLE" -o "$root/usr/lib/simtrap/sample.pcap" >/dev/null 2>"$work/lab" || fail "no sample: $(cat "$work/lab")"
[ -z "${UPDATE_KEYS:-}" ] || cp "$UPDATE_KEYS" "$root/usr/lib/simtrap/update-keys"
export GOARCH=$arch
# Go would record a clone's commit, and nothing where a worktree is: the version says it.
program() {
	go build -trimpath -buildvcs=false -ldflags "-s -w -X simtrap/cmd/internal/command.built=$VERSION" -o "$1" "$2"
}
program "$root/usr/bin/simtrapd" ./cmd/simtrapd
program "$root/usr/bin/simtrap-appliance" ./firmware/appliance
program "$work/initramfs/init" ./firmware/init
unset GOARCH
cp sensor/systemd/simtrapd.service "$root/usr/lib/systemd/system/"
cp -r firmware/image/files/. "$root/"
ln -s "../appliance-console@.service" "$root/etc/systemd/system/multi-user.target.wants/appliance-console@$console.service"
# Nothing may be missing that a program needs to start.
libraries() {
	find "$root/usr" -type f \( -perm -u+x -o -name '*.so*' \) -exec readelf -d {} + 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u
}
while read -r lib; do
	[ -n "$(find "$root/usr/lib" "$root/usr/lib64" -name "$lib" -print -quit)" ] || echo "$lib"
done < <(libraries) >"$work/missing"
[ ! -s "$work/missing" ] || fail "libraries are missing: $(tr '\n' ' ' <"$work/missing")"
for shell in sh bash dash apt dpkg perl python3 gcc; do
	[ ! -e "$root/usr/bin/$shell" ] || fail "$shell is in the image"
done

find "$work/initramfs" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$work/initramfs" && find . | sort | cpio -o -H newc --quiet --reproducible -R 0:0 | zstd -q "-$LEVEL" -T1) >"$work/initrd"

# system makes of the tree a system with its hash tree, and sets root to what its kernel
# is told of it.
system() { # system FILE VERSION SEQUENCE LEVEL
	local size blocks hash
	cat >"$root/usr/lib/os-release" <<-END
		NAME="simtrap appliance"
		ID=simtrap
		ID_LIKE=debian
		PRETTY_NAME="simtrap appliance $2"
		VERSION_ID=$2
		IMAGE_VERSION=$2
	END
	ln -sf ../usr/lib/os-release "$root/etc/os-release"
	printf '{"version":"%s","arch":"%s","sequence":%d,"floor":%d}\n' "$2" "$arch" "$3" "$FLOOR" >"$root/usr/lib/simtrap/release.json"
	find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	rm -f "$1"
	mksquashfs "$root" "$1" -all-root -noappend -comp zstd -Xcompression-level "$4" -no-progress -quiet -processors 1
	size=$(stat -c %s "$1")
	blocks=$(((size + 4095) / 4096))
	truncate -s $((blocks * 4096)) "$1"
	hash=$(veritysetup format --salt=- --uuid=5d3f7a60-0000-4000-8000-0000000000ff --data-blocks=$blocks --hash-offset=$((blocks * 4096)) "$1" "$1" | awk '/^Root hash:/ { print $3 }')
	[ ${#hash} = 64 ] || fail "no hash tree"
	root_of=$hash:$blocks
}

# kernel puts kernel, first program and the hash of the system into one file, which the
# firmware starts. The version in it is the same for all: the boot loader goes by names.
printf 'NAME="simtrap appliance"\nID=simtrap\nPRETTY_NAME="simtrap appliance"\nVERSION_ID=1\n' >"$work/osrel"
kernel() { # kernel FILE [WORDS]
	echo -n "simtrap.root=$root_of console=tty0 console=$console quiet panic=10 systemd.gpt_auto=0 systemd.getty_auto=0 systemd.show_status=false ${CMDLINE:-}${2:-}" >"$work/cmdline"
	"$objcopy" --add-section .osrel="$work/osrel" --change-section-vma .osrel=0x20000 \
		--add-section .cmdline="$work/cmdline" --change-section-vma .cmdline=0x30000 \
		--add-section .linux="$work/vmlinuz" --change-section-vma .linux=0x2000000 \
		--add-section .initrd="$work/initrd" --change-section-vma .initrd=0x6000000 \
		"$stub" "$1"
	# It writes the time of day and what sums up to (PE/COFF: time stamp and checksum of
	# the headers), which nobody reads: the same inputs are to give the same bytes.
	local head
	head=$(od -An -tu4 -j60 -N4 "$1")
	zero "$1" $((head + 8))
	zero "$1" $((head + 24 + 64))
}
zero() { # zero FILE OFFSET
	printf '\0\0\0\0' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
system "$work/slot" "$VERSION" "$SEQUENCE" "$LEVEL"
kernel "$work/simtrap.efi"

truncate -s 128M "$work/esp"
mkfs.vfat --invariant -i 51ab1e51 -n ESP -F 32 "$work/esp" >/dev/null
printf 'timeout 0\neditor no\nauto-firmware no\n' >"$work/loader.conf"
touch -d "@$SOURCE_DATE_EPOCH" "$work"/{loader.conf,simtrap.efi}
export MTOOLS_SKIP_CHECK=1
mmd -i "$work/esp" ::EFI ::EFI/BOOT ::EFI/Linux ::loader
mcopy -m -i "$work/esp" "${stub%/*}/systemd-boot$efi.efi" "::EFI/BOOT/BOOT$EFI.EFI"
mcopy -m -i "$work/esp" "$work/loader.conf" ::loader/loader.conf
mcopy -m -i "$work/esp" "$work/simtrap.efi" ::EFI/Linux/simtrap_00000001.efi

name=simtrap-appliance_${VERSION}_$arch
"$work/disk" "$out/$name.img" "$work/esp" "$work/slot"
cp "$work/slot" "$out/$name.slot"
cp "$work/simtrap.efi" "$out/$name.efi"
cp "$root/usr/lib/simtrap/release.json" "$out/$name.release.json"
[ -z "${SIGN:-}" ] || "$work/bundle" sign "$SIGN" "$out/$name.release.json" "$out/$name.efi" "$out/$name.slot" "$out/$name.update"
"$work/sbom" --name simtrap-appliance --version "$VERSION" --arch "$arch" --debs "firmware/image/packages.$arch" \
	"$root/usr/bin/simtrapd" "$root/usr/bin/simtrap-appliance" "$work/initramfs/init" >"$out/$name.spdx.json"
zstd -q -f -3 -T1 "$out/$name.img" -o "$out/$name.img.zst"
(cd "$out" && sha256sum "$name".{img,slot,efi,spdx.json} >"$name.sha256")
all=$(($(stat -c %s "$out/$name.slot") + $(stat -c %s "$out/$name.efi")))
printf '%s: system %d MB, kernel and first program %d MB, drivers %d MB before compression; to be written %d MB\n' "$name" \
	$(($(stat -c %s "$out/$name.slot") / 1000000)) $(($(stat -c %s "$out/$name.efi") / 1000000)) $(($(du -sb "$mods" | cut -f1) / 1000000)) $((all / 1000000))
[ $all -le 250000000 ] || fail "that is more than 250 MB"

if [ -n "${AGAIN:-}" ]; then
	: "${SIGN:?}"
	system "$work/next" "$VERSION.next" $((SEQUENCE + AGAIN)) 1
	kernel "$work/next.efi"
	"$work/bundle" sign "$SIGN" "$root/usr/lib/simtrap/release.json" "$work/next.efi" "$work/next" "$out/next.update"
	# One in which simtrapd never starts.
	kernel "$work/broken.efi" " systemd.mask=simtrapd.service"
	printf '{"version":"%s.broken","arch":"%s","sequence":%d,"floor":%d}\n' "$VERSION" "$arch" $((SEQUENCE + 2 * AGAIN)) "$FLOOR" >"$work/release"
	"$work/bundle" sign "$SIGN" "$work/release" "$work/broken.efi" "$work/next" "$out/broken.update"
	# One below the floor, and one that is damaged behind its signature.
	printf '{"version":"%s.old","arch":"%s","sequence":1,"floor":0}\n' "$VERSION" "$arch" >"$work/release"
	"$work/bundle" sign "$SIGN" "$work/release" "$work/next.efi" "$work/next" "$out/old.update"
fi
