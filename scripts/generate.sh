#!/usr/bin/env bash
# Builds what is generated and committed:
#   bpf     the kernel programs of bpf/kernel, into bpf/, with Debian's clang-19
#           and llvm-19 (others make other bytes)
#   proto   Go of the messages and services of report/proto, into report/
# scripts/generate.sh [--check] [bpf|proto]: both unless one is named. With
# --check nothing is kept: what comes out must be what is committed, byte for
# byte, and the schema must be clean and break nothing that was released.
# scripts/generate.sh --release writes down the schema that a release ships, which
# is what later ones may not break.
set -euo pipefail
cd "$(dirname "$0")/.."

version=19
kernel() { # kernel FOLDER
	for tool in clang-$version llvm-strip-$version; do
		command -v $tool >/dev/null || { echo "$tool is missing: apt-get install clang-$version llvm-$version"; return 1; }
	done
	# The file prefix map keeps this folder's name out of the objects.
	GOFLAGS= GOPACKAGE=bpf go tool -modfile=tools/go.mod bpf2go \
		-cc clang-$version -strip llvm-strip-$version -target bpfel,bpfeb -tags linux \
		-output-dir "$1" -go-package bpf \
		-type frame -type interval -type flow -type key -type reading -type counters -type prefix -type way -type way_key -type gate \
		kernel bpf/kernel/simtrap.c -- \
		-mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-const-variable \
		-nostdinc -ffile-prefix-map="$PWD"=. >/dev/null
}

check_kernel() {
	if command -v clang-format-$version >/dev/null; then
		clang-format-$version --dry-run -Werror bpf/kernel/*.[ch] || return 1
	fi
	kernel "$fresh" || return 1
	local f status=0
	for f in kernel_bpfel.o kernel_bpfel.go kernel_bpfeb.o kernel_bpfeb.go; do
		cmp "$fresh/$f" "bpf/$f" || status=1
	done
	[ $status -eq 0 ] || echo "the committed objects are not those of the sources: make generate"
	return $status
}

# It asks nobody and keeps its cache here.
buf() { BUF_CACHE_DIR="$PWD/tmp/buf" go tool -modfile=tools/go.mod buf "$@"; }

released=report/proto/released.txtpb

proto() { # proto FOLDER
	buf generate report/proto --template report/proto/buf.gen.yaml -o "$1"
}

check_proto() {
	local name status=0
	buf lint report/proto || status=1
	buf format --diff --exit-code report/proto || status=1
	buf breaking report/proto --against $released || status=1
	proto "$fresh/proto" || return 1
	for name in reportpb fleetpb querypb adminpb; do
		diff -r -q "$fresh/proto/report/$name" report/$name || status=1
	done
	[ $status -eq 0 ] || echo "the schema is not clean, or the committed Go is not that of it: make generate"
	return $status
}

check=
parts=()
for arg in "$@"; do
	case $arg in
	--check) check=yes ;;
	--release)
		buf build report/proto --exclude-source-info -o $released
		exit
		;;
	bpf | proto) parts+=("$arg") ;;
	*)
		echo "usage: scripts/generate.sh [--check] [bpf|proto]..., or --release"
		exit 2
		;;
	esac
done
[ ${#parts[@]} -gt 0 ] || parts=(bpf proto)

mkdir -p tmp
fresh=$(mktemp -d tmp/generate.XXXXXX)
trap 'rm -rf "$fresh"' EXIT
status=0
for part in "${parts[@]}"; do
	case $check$part in
	bpf) kernel bpf ;;
	proto) proto . ;;
	yesbpf) check_kernel || status=1 ;;
	yesproto) check_proto || status=1 ;;
	esac
done
exit $status
