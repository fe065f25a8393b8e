#!/usr/bin/env bash
# Looks at the page of `replay --html` in a headless Chromium: in both languages,
# light and dark, 360 pixels wide and on paper, with hostile User-Agent text in the
# capture. Fails when the page asks for anything, or says anything on the console.
# The pictures stay in tmp/. Skips where there is no Chromium and none can be
# installed.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p tmp
tmp=$PWD/tmp

browser=
for name in ${CHROMIUM:-} chromium chromium-browser google-chrome; do
	if command -v "$name" >/dev/null; then browser=$name; break; fi
done
if [ -z "$browser" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	(apt-get update && apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends chromium fonts-noto-cjk) >"$tmp/chromium-install.log" 2>&1 || true
	browser=$(command -v chromium || true)
fi
if [ -z "$browser" ]; then
	echo "screenshot skipped: no chromium, and it cannot be installed"
	[ -z "${CI:-}" ] && exit 0
	exit 1 # CI is to look
fi

profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT

# chrome ARGUMENT... runs the browser on its own, with nothing to resolve names
# by and a log of everything that its network part did.
chrome() {
	timeout 120 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-sync \
		--disable-background-networking --disable-component-update --disable-default-apps --disable-extensions \
		--user-data-dir="$profile" --host-resolver-rules='MAP * ~NOTFOUND' --force-device-scale-factor=1 \
		--log-net-log="$tmp/net.json" --enable-logging=stderr "$@" >/dev/null 2>"$tmp/chromium.log"
}

# What the browser asks for itself, whatever it shows.
own='^"url":"https?://((accounts|clients[0-9]|www)\.google|(update|optimizationguide-pa)\.googleapis|(redirector|edgedl\.me)\.gvt1)\.com/'

# quiet says what a page asked for or complained of in the run before, and
# fails if there is anything. Pages are the only files that may be read.
quiet() {
	local bad=0
	if grep -a 'CONSOLE' "$tmp/chromium.log"; then bad=1; fi
	if grep -aoE '"url":"[^"]*"' "$tmp/net.json" |
		grep -vE '^"url":"(file:///|data:|chrome:|about:)' | grep -vE "$own" | sort -u | grep .; then bad=1; fi
	return $bad
}

shot() { # shot NAME FILE WIDTH HEIGHT ARGUMENT...
	local name=$1 file=$2 width=$3 height=$4
	shift 4
	rm -f "$tmp/$name.png"
	chrome --screenshot="$tmp/$name.png" --window-size="$width,$height" "$@" "file://$file"
	[ -s "$tmp/$name.png" ] || { echo "no picture of $name"; cat "$tmp/chromium.log"; exit 1; }
	quiet || { echo "$name: the page is not quiet"; exit 1; }
	echo "tmp/$name.png"
}

[ -x bin/simtrap ] && [ -x bin/simtrap-lab ] || { echo "build first: make build"; exit 1; }
bin/simtrap-lab make demo -o "$tmp/demo-page.pcap" 2>/dev/null
# Texts of the same length in the place of User-Agents, one of them a maker's.
LC_ALL=C sed -e 's/Grandstream GXP2135 1\.0\.11\.48/<script>alert(1)<\/script>DBL;/g' \
	-e 's/kamailio (5\.6\.2 (x86_64/"><img src=http:\/\/x.tst/g' \
	-e 's/User-Agent: DBL\r/User-Agent: <b>\r/g' "$tmp/demo-page.pcap" >"$tmp/hostile-page.pcap"
rm "$tmp/demo-page.pcap"
for lang in en zh; do
	bin/simtrap replay --all --quiet --lang $lang --force --html "$tmp/page-$lang.html" "$tmp/hostile-page.pcap" >/dev/null
	grep -q '&lt;script&gt;' "$tmp/page-$lang.html" || { echo "the hostile text is not on the page"; exit 1; }
done
rm "$tmp/hostile-page.pcap"

# What looks for requests and complaints must find them.
cat >"$tmp/loud.html" <<'LOUD'
<!DOCTYPE html><img src="http://loud.test/x.png"><script>console.error("loud")</script>
LOUD
chrome --screenshot="$tmp/loud.png" --window-size=100,100 "file://$tmp/loud.html"
if found=$(quiet); then
	echo "a page that asks for a picture and complains was taken for quiet"
	exit 1
fi
for want in loud.test CONSOLE; do
	grep -q "$want" <<<"$found" || { echo "a loud page: no $want in what was found: $found"; exit 1; }
done
rm -f "$tmp/loud.html" "$tmp/loud.png"

shot page-en "$tmp/page-en.html" 1200 2600
shot page-zh "$tmp/page-zh.html" 1200 2600
shot page-dark "$tmp/page-en.html" 1200 2600 --blink-settings=preferredColorScheme=0
for lang in en zh; do
	echo "<!DOCTYPE html><body style=\"margin:0\"><iframe src=\"page-$lang.html\" style=\"width:360px;height:3200px;border:0\"></iframe>" >"$tmp/narrow.html"
	shot page-narrow-$lang "$tmp/narrow.html" 500 3200
done
rm -f "$tmp/narrow.html"
chrome --no-pdf-header-footer --print-to-pdf="$tmp/page.pdf" "file://$tmp/page-en.html"
[ -s "$tmp/page.pdf" ] || { echo "no paper"; exit 1; }
quiet || { echo "paper: the page is not quiet"; exit 1; }
echo "tmp/page.pdf"
rm -f "$tmp/net.json" "$tmp/chromium.log"
