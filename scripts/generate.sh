#!/usr/bin/env bash
# Builds the kernel programs of bpf/kernel into bpf/ with Debian's clang-19 and
# llvm-19 (others make other bytes). With --check nothing is kept: what comes out
# must be what is committed, byte for byte.
set -euo pipefail
cd "$(dirname "$0")/.."

version=19
for tool in clang-$version llvm-strip-$version; do
	command -v $tool >/dev/null || { echo "$tool is missing: apt-get install clang-$version llvm-$version"; exit 1; }
done

generate() { # generate FOLDER
	# The file prefix map keeps this folder's name out of the objects.
	GOFLAGS= GOPACKAGE=bpf go tool -modfile=tools/go.mod bpf2go \
		-cc clang-$version -strip llvm-strip-$version -target bpfel,bpfeb -tags linux \
		-output-dir "$1" -go-package bpf \
		-type frame -type interval -type flow -type key -type reading -type counters \
		kernel bpf/kernel/simtrap.c -- \
		-mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-const-variable \
		-nostdinc -ffile-prefix-map="$PWD"=. >/dev/null
}

if [ "${1:-}" != --check ]; then
	generate bpf
	exit
fi
if command -v clang-format-$version >/dev/null; then
	clang-format-$version --dry-run -Werror bpf/kernel/*.[ch]
fi
mkdir -p tmp
fresh=$(mktemp -d tmp/generate.XXXXXX)
trap 'rm -rf "$fresh"' EXIT
generate "$fresh"
status=0
for f in kernel_bpfel.o kernel_bpfel.go kernel_bpfeb.o kernel_bpfeb.go; do
	cmp "$fresh/$f" "bpf/$f" || status=1
done
[ $status -eq 0 ] || echo "the committed objects are not those of the sources: make generate"
exit $status
