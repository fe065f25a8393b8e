#!/usr/bin/env bash
# Tries the kernel programs on other kernels than this machine's: boots Debian's in
# qemu, without acceleration, two at a time, and runs in each what its plan says (see
# scripts/kernels/init). Time passes in them as instructions do, and what sleeps is
# not waited for: a minute of calls takes some ten seconds.
#
# Kernels come as packages through apt, from the archive of Debian's security
# updates that this machine uses, with lists of their own in tmp/kernels; what is
# there already is not fetched again. Needs no root. Arguments choose among the rows.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$PWD/tmp/kernels
limit=${LIMIT:-420} # seconds for one machine
mkdir -p "$cache"

# Name, architecture, release, package; the slowest first.
rows() {
	cat <<-'END'
		6.12-amd64 amd64 bookworm ^linux-image-6\.12\.[0-9.]+(\+deb12)?-cloud-amd64$
		6.1-amd64 amd64 bookworm ^linux-image-6\.1\.0-[0-9]+-cloud-amd64$
		6.1-arm64 arm64 bookworm ^linux-image-6\.1\.0-[0-9]+-cloud-arm64$
		5.10-amd64 amd64 bullseye ^linux-image-5\.10\.0-[0-9]+-cloud-amd64$
	END
}
modules=(veth cls_bpf sch_ingress) # the rest is built in

# What is run there, words between tabs. TestWays tries every way of attaching with
# programs that do nothing; to load ours takes seconds, and twice as many on 6.12, which
# has only those that are not tried elsewhere, and the first choice.
plan() { # plan NAME
	local ways=xdp-native,xdp-generic,clsact,af_packet
	[[ $1 != 6.12-* ]] || ways=xdp-native,tcx,af_packet
	printf 'test\t/\t/bin/call.test\t-paced\t-ways=%s\t-simtrapd=/bin/simtrapd\tTestWays\tTestCall\tTestDaemon\n' $ways
	case $1 in
	5.* | 6.1-*) printf 'skips\tTestWays/tcx\tLinux 6.6 has it\n' ;;
	esac
}

fail() {
	echo "$1"
	exit 1
}

need() {
	local missing=()
	command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
	command -v qemu-system-aarch64 >/dev/null || missing+=(qemu-system-arm)
	command -v cpio >/dev/null || missing+=(cpio)
	command -v xz >/dev/null || missing+=(xz-utils)
	command -v dpkg-deb >/dev/null || missing+=(dpkg)
	[ ${#missing[@]} -eq 0 ] || fail "kernels cannot be tried: apt-get install --no-install-recommends ${missing[*]}"
}

# apt with sources and lists of its own; how it fetches is as the machine has it.
own_apt() {
	local apt=$cache/apt keyring=/usr/share/keyrings/debian-archive-keyring.gpg site
	# shellcheck disable=SC2016 # apt fills these in
	site=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null | awk '$1 ~ /-security$/ { print $2; exit }') || true
	[ -n "$site" ] || fail "no packages of kernels: apt knows no archive of Debian's security updates (see sources.list(5))"
	[ -e $keyring ] || fail "no packages of kernels: apt-get install debian-archive-keyring"
	mkdir -p "$apt"/{lists,cache/archives}/partial
	: >"$apt/status"
	cat >"$apt/sources.list" <<-END
		deb [arch=amd64,arm64 signed-by=$keyring] $site bookworm-security main
		deb [arch=amd64 signed-by=$keyring] $site bullseye-security main
	END
	cat >"$apt/apt.conf" <<-END
		Dir::State::lists "$apt/lists";
		Dir::State::status "$apt/status";
		Dir::Cache "$apt/cache";
		Dir::Etc::sourcelist "$apt/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		APT::Architectures { "amd64"; "arm64"; };
		APT::Update::Post-Invoke-Success "";
		APT::Update::Error-Mode "any";
		Acquire::Retries "2";
		APT::Sandbox::User "";
	END
	export APT_CONFIG=$apt/apt.conf
	apt-get -qq update || fail "no lists of kernels: can apt reach $site, and has it bookworm-security and bullseye-security?"
}

# fetch makes tmp/kernels/NAME with the kernel and its modules.
fetch() { # fetch NAME ARCH RELEASE PATTERN
	local dir=$cache/$1 new=$cache/$1.new package wanted=() m
	rm -rf "$new"
	mkdir -p "$new/modules"
	package=$(apt-cache pkgnames linux-image- | grep -E "$4" | sort -V | tail -n 1)
	[ -n "$package" ] || fail "no package like $4 in $3-security"
	(cd "$new" && apt-get -qq download "$package:$2") || fail "$package cannot be fetched: remove $cache/apt and try again"
	for m in "${modules[@]}"; do wanted+=("*/$m.ko" "*/$m.ko.xz"); done
	# Names that one compression does not have are no fault here.
	dpkg-deb --fsys-tarfile "$new"/*.deb | tar -x -C "$new" --wildcards './boot/vmlinuz-*' "${wanted[@]}" 2>/dev/null || true
	rm "$new"/*.deb
	find "$new/lib" -name '*.ko.xz' -exec xz -d {} +
	find "$new/lib" -name '*.ko' -exec mv -t "$new/modules" {} +
	mv "$new"/boot/vmlinuz-* "$new/vmlinuz"
	for m in "${modules[@]}"; do
		[ -s "$new/modules/$m.ko" ] || fail "$package has no module $m"
	done
	rm -r "${new:?}/lib" "${new:?}/boot"
	echo "$package" >"$new/package"
	rm -rf "$dir"
	mv "$new" "$dir"
}

build() { # build ARCH
	local out=$cache/bin/$1
	rm -rf "$out"
	mkdir -p "$out"
	GOOS=linux GOARCH=$1 CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$out/init" ./scripts/kernels/init
	GOOS=linux GOARCH=$1 CGO_ENABLED=0 go test -c -trimpath -ldflags '-s -w' -o "$out/call.test" ./scripts/kernels/call
	GOOS=linux GOARCH=$1 CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$out/simtrapd" ./cmd/simtrapd
}

# pack makes the initramfs, not compressed: unpacking it would take longer.
pack() { # pack NAME ARCH
	local root=$cache/$1/root
	rm -rf "$root"
	mkdir -p "$root/bin" "$root/modules"
	cp "$cache/bin/$2/"* "$root/bin/"
	mv "$root/bin/init" "$root/init"
	ln -s /init "$root/bin/ip"
	cp "$cache/$1/modules/"*.ko "$root/modules/"
	plan "$1" >"$root/plan"
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$cache/$1/initramfs"
	rm -r "$root"
}

# boot runs one machine to its end; log and seconds are left in tmp/kernels/NAME.
boot() { # boot NAME ARCH
	local dir=$cache/$1 began=${EPOCHREALTIME/./} line console machine
	case $2 in
	# Linux 6.12 wants a plain processor from qemu 7.2.
	amd64) console=ttyS0 machine=(qemu-system-x86_64 -M pc -cpu qemu64) ;;
	arm64) console=ttyAMA0 machine=(qemu-system-aarch64 -M virt -cpu cortex-a72) ;;
	esac
	rm -f "$dir/up"
	{
		echo "$BASHPID" >"$dir/pid"
		exec timeout "$limit" "${machine[@]}" -accel tcg -icount shift=0,sleep=off -smp 1 -m 768 \
			-nodefaults -display none -no-reboot -serial stdio \
			-kernel "$dir/vmlinuz" -initrd "$dir/initramfs" \
			-append "console=$console quiet panic=-1" </dev/null 2>&1
	} |
		while IFS= read -r line; do
			line=${line%$'\r'}
			[ "$line" != @up ] || echo $(((${EPOCHREALTIME/./} - began) / 100000)) >"$dir/up"
			printf '%s\n' "$line"
		done >"$dir/log" || true
	rm "$dir/pid"
	echo $(((${EPOCHREALTIME/./} - began) / 100000)) >"$dir/over"
}

tenths() { sed 's/.$/.&/; s/^\./0./' "$1" 2>/dev/null || echo -; }

status=0
tell() { # tell NAME ARCH: one line of the table, and what went wrong
	local dir=$cache/$1 passed='-' failed='-' skipped='-' counts
	counts=$(sed -n 's/^@done //p' "$dir/log")
	[ -z "$counts" ] || read -r passed failed skipped <<<"$counts"
	printf '%-44s %-6s %6s %7s %7s %7s %8s\n' "$(cat "$dir/package")" "$2" "$(tenths "$dir/up")" "$(tenths "$dir/over")" "$passed" "$failed" "$skipped"
	sed -n 's/^@skip /    skipped /p; s/^@fail /    FAILED /p' "$dir/log"
	if [ -z "$counts" ] || [ "$failed" != 0 ] || [ "$passed" = 0 ]; then
		status=1
		[ -n "$counts" ] || echo "    did not come to its end within $limit s"
		echo "    the end of $dir/log:"
		tail -n 40 "$dir/log" | sed 's/^/    | /'
	fi
}

need
chosen=()
while read -r name arch release pattern; do
	if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
	chosen+=("$name $arch")
	if [ ! -s "$cache/$name/package" ]; then
		[ -n "${APT_CONFIG:-}" ] || own_apt
		fetch "$name" "$arch" "$release" "$pattern"
	fi
done < <(rows)
[ ${#chosen[@]} -gt 0 ] || fail "no kernel of that name: $(rows | awk '{ printf "%s ", $1 }')"
for arch in amd64 arm64; do
	[[ "${chosen[*]}" != *" $arch"* ]] || build $arch
done

# shellcheck disable=SC2317 # the trap's
stop() {
	local c
	for c in "${chosen[@]}"; do
		[ ! -s "$cache/${c% *}/pid" ] || kill "$(cat "$cache/${c% *}/pid")" || true
	done
	exit 1
}
for c in "${chosen[@]}"; do rm -f "$cache/${c% *}/pid"; done
trap stop INT TERM
for c in "${chosen[@]}"; do
	read -r name arch <<<"$c"
	pack "$name" "$arch"
	[ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n
	boot "$name" "$arch" &
done
wait
printf '%-44s %-6s %6s %7s %7s %7s %8s\n' kernel arch "boot s" "total s" passed failed skipped
for c in "${chosen[@]}"; do
	# shellcheck disable=SC2086 # name and architecture
	tell $c
done
exit $status
