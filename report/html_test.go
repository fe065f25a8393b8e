package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/report/show"
)

// activity is what a gateway of four channels did, n calls of it.
func activity(n int) *Activity {
	a := &Activity{MoreStreams: 3}
	t := start.UnixNano()
	for i := range n {
		c := Call{Inbound: i%5 != 0, First: t, Ringing: t + 4e9, Answer: t + 9e9, End: t + 60e9, Cause: 200, Peer: addr("198.51.100.9"), Number: ident.NewNumber([]byte("13800138000"))}
		if i%7 == 6 {
			c.Answer, c.Cause, c.End = 0, 486, t+7e9
		}
		c.Account = ident.NewAccount([]byte("1001@sip.example"))
		a.Calls = append(a.Calls, c)
		s := Stream{Peer: c.Peer, SSRC: uint32(i), Start: c.First + 9e9, End: c.End, Packets: 2500, Lost: 2, Codec: "PCMA", MOS: 4.23, PPM: 17.2, PPMError: 0.4, ClockOK: true}
		for k := range int64(25) {
			s.Points = append(s.Points, Point{s.Start + k*2e9, -k * 34_000})
		}
		a.Streams = append(a.Streams, s)
		t += 17e9
	}
	return a
}

func writePage(t testing.TB, p *Page, o Options) string {
	t.Helper()
	if p.Summary == nil {
		p.Summary = &Summary{}
	}
	var b bytes.Buffer
	if err := WriteHTML(&b, p, o); err != nil {
		t.Fatal(err)
	}
	checkPage(t, b.Bytes())
	return b.String()
}

var (
	tagPattern  = regexp.MustCompile(`<(/?)([A-Za-z][A-Za-z0-9]*)((?:\s+[A-Za-z][-A-Za-z0-9]*(?:="[^"<>]*")?)*)\s*(/?)>`)
	attrPattern = regexp.MustCompile(`([A-Za-z][-A-Za-z0-9]*)(?:="([^"]*)")?`)
	void        = []string{"meta", "rect", "line", "path"}
	numberAttrs = []string{"x", "y", "x1", "x2", "y1", "y2", "width", "height", "d", "viewBox"}
	numberValue = regexp.MustCompile(`^[-0-9.%MHVhvz ]*$`)
)

// checkPage holds what makes a page safe: it is UTF-8 of visible characters, its
// tags are ours, balanced, and without anything that could ask for something
// else.
func checkPage(t testing.TB, page []byte) {
	t.Helper()
	harmless(t, []byte(strings.ReplaceAll(strings.ReplaceAll(string(page), pageStyle, ""), "\n", "")))
	if !utf8.Valid(page) {
		t.Fatal("no UTF-8")
	}
	text := string(page)
	rest := strings.TrimPrefix(text, "<!DOCTYPE html>\n"+pageMark)
	if rest == text || !IsPage(page[:min(len(page), 64)]) {
		t.Fatal("no mark of simtrap's")
	}
	rest = strings.Replace(rest, pageStyle, "", 1)
	tags := []string{"html", "head", "meta", "title", "style", "body", "main", "header", "section", "h1", "h2", "h3", "p", "dl", "dt", "dd", "ul", "li", "a", "code", "strong",
		"span", "div", "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "details", "summary", "svg", "desc", "g", "rect", "line", "path", "text"}
	attrs := append([]string{"lang", "charset", "http-equiv", "content", "name", "id", "class", "href", "scope", "role", "tabindex", "aria-label", "aria-labelledby", "aria-hidden", "text-anchor", "preserveAspectRatio"}, numberAttrs...)
	var open []string
	ids := make(map[string]bool)
	last := 0
	for _, m := range tagPattern.FindAllStringSubmatchIndex(rest, -1) {
		if between := rest[last:m[0]]; strings.ContainsAny(between, "<>") {
			t.Fatalf("markup that is none of ours: %.200q", between)
		}
		last = m[1]
		name := rest[m[4]:m[5]]
		if !slices.Contains(tags, name) {
			t.Fatalf("a tag %q", name)
		}
		for _, a := range attrPattern.FindAllStringSubmatch(rest[m[6]:m[7]], -1) {
			switch {
			case !slices.Contains(attrs, a[1]):
				t.Fatalf("an attribute %q", a[0])
			case a[1] == "href" && !strings.HasPrefix(a[2], "#"):
				t.Fatalf("a link away: %q", a[0])
			case slices.Contains(numberAttrs, a[1]) && !numberValue.MatchString(a[2]):
				t.Fatalf("a number %q", a[0])
			case a[1] == "id" && ids[a[2]]:
				t.Fatalf("two of %q", a[0])
			case a[1] == "id":
				ids[a[2]] = true
			}
		}
		switch {
		case rest[m[2]:m[3]] == "/":
			if len(open) == 0 || open[len(open)-1] != name {
				t.Fatalf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
		case !slices.Contains(void, name):
			open = append(open, name)
		}
	}
	if strings.ContainsAny(rest[last:], "<>") || len(open) > 0 {
		t.Fatalf("the page ends with %.100q and %v open", rest[last:], open)
	}
	if strings.Contains(rest, "://") && strings.Contains(rest, "src=") || strings.Contains(text, "@import") || strings.Contains(text, "url(") {
		t.Fatal("the page asks for something else")
	}
	for _, ref := range regexp.MustCompile(`(?:href="#|aria-labelledby=")([^"]*)"`).FindAllStringSubmatch(rest, -1) {
		for _, id := range strings.Fields(ref[1]) {
			if !ids[id] {
				t.Fatalf("%s leads nowhere", ref[0])
			}
		}
	}
}

func TestPage(t *testing.T) {
	s := &Summary{Frames: 2017, Bytes: 1 << 20, Calls: 3, First: start.UnixNano(), Last: start.Add(time.Hour).UnixNano(),
		Losses: []Loss{{"decode", "ipv4 header cut", 3}}, Damages: []error{errors.New("a.pcap: offset 3: <cut>")}}
	proven := box()
	proven.Signals = append(proven.Signals, heuristics.Row{ID: proofID, Family: "control", Against: home, Detail: "819 answered records over 1496 s, 8 channels or cards"})
	page := &Page{Inputs: []string{"a.pcap", "<b>.pcap"}, Version: "1.2", Summary: s, Findings: []heuristics.Finding{proven}, Activity: func(ident.Line) *Activity { return activity(20) }}
	got := writePage(t, page, options(""))
	for _, want := range []string{
		`<html lang="en">`, "default-src 'none'", "203.0.113.7", "case by proof", "2026-11-23 10:00:02 to 12:10:44 UTC", "&lt;b&gt;.pcap", "1 kind of loss, 1 damaged input",
		"1,103 of 1,118 inbound calls went to numbers not called before", "against analogue adapter", "against home", "sms-server", "46000~",
		"<dt>Proof</dt><dd>819 answered records over 1496 s", "the SIM side of the calls", "17.2 ± 0.4 ppm", "<td>PCMA</td>", ">4.2</td>", "rang 9 s, talked 51 s", "ipv4 header cut",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"13800138000", "460001234567890", "1001@sip.example", "490154203237518", "case 2026"} {
		if strings.Contains(got, never) {
			t.Errorf("the page tells %q without an authority", never)
		}
	}
	clear := writePage(t, page, options("case 2026-114"))
	for _, want := range []string{"13800138000", "460001234567890", "case 2026-114", "in clear"} {
		if !strings.Contains(clear, want) {
			t.Errorf("under authority the page lacks %q", want)
		}
	}
	o := options("")
	o.Language = Chinese
	zh := writePage(t, page, o)
	for _, want := range []string{`<html lang="zh-CN">`, "可疑线路", "立案（实证）", "短信服务器", "各通道的呼叫", "1 类损失，1 个损坏的输入"} {
		if !strings.Contains(zh, want) {
			t.Errorf("the Chinese page lacks %q", want)
		}
	}
	// Every word that WriteHTML has of its own is known.
	for _, m := range regexp.MustCompile(`<(?:h1|h2[^>]*|h3|dt|th[^>]*|summary|p)>([A-Z][a-z]+[^<]*)<`).FindAllStringSubmatch(zh, -1) {
		if m[1] != "IMSI" {
			t.Errorf("English on the Chinese page: %q", m[1])
		}
	}
	if again := writePage(t, page, options("")); again != got {
		t.Error("the same page is not the same twice")
	}
	sum := sha256.Sum256([]byte(pageStyle))
	if !strings.Contains(got, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || !strings.Contains(got, "<style>"+pageStyle+"</style>") {
		t.Error("the policy does not name the style sheet")
	}
}

// No text of the style sheet is below 12 px.
func TestPageText(t *testing.T) {
	sizes := regexp.MustCompile(`(?:font-size:|font:)([0-9.]+)px`).FindAllStringSubmatch(pageStyle, -1)
	if len(sizes) < 5 {
		t.Fatalf("%d sizes", len(sizes))
	}
	for _, m := range sizes {
		if v, err := strconv.ParseFloat(m[1], 64); err != nil || v < 12 {
			t.Errorf("%s", m[0])
		}
	}
}

func TestPageOfHostileText(t *testing.T) {
	f := hostile()
	f.Verdict = heuristics.Case
	f.Nearest = hostileText
	f.Signals = append(f.Signals, heuristics.Row{ID: "x", Family: hostileText, Nats: math.NaN(), Against: hostileText, Detail: `calls itself "<script>alert(1)</script>"`},
		heuristics.Row{ID: "y", Nats: math.Inf(1), Against: home, Detail: `<img src=x onerror=alert(1)>` + strings.Repeat("A", 1<<20)},
		heuristics.Row{ID: "z", Nats: -1e300, Against: hostileText, Detail: strings.Repeat("\u202e", 1<<16)})
	f.Unseen = append(f.Unseen, `"><svg onload=alert(1)>`, "\xff\xfe\xfd", strings.Repeat("e\u0301\u0302\u0303", 10000))
	for range 1000 {
		f.Unseen = append(f.Unseen, "javascript:alert(1)")
		f.Controllers = append(f.Controllers, heuristics.Controller{Role: hostileText})
		f.Cards = append(f.Cards, heuristics.Card{MSISDN: ident.NewNumber([]byte(hostileText))})
	}
	a := activity(3)
	for i, t := range []int64{math.MinInt64 / 4, -1, 0, 1, math.MaxInt64 / 4} {
		a.Calls = append(a.Calls, Call{First: t, End: t - int64(i), Answer: t + 5, Number: ident.NewNumber([]byte(hostileText)), Account: ident.NewAccount([]byte(hostileText))})
		a.Streams = append(a.Streams, Stream{Start: t, End: t, PPM: math.NaN(), ClockOK: true, Points: []Point{{t, math.MaxInt64 / 4}, {t, math.MinInt64 / 4}}})
	}
	for _, authority := range []string{"", hostileText} {
		for _, lang := range []Language{English, Chinese} {
			o := options(authority)
			o.Language = lang
			p := &Page{Inputs: []string{hostileText, strings.Repeat("x", 1<<16)}, Version: hostileText, Findings: []heuristics.Finding{f}, Activity: func(ident.Line) *Activity { return a },
				Summary: &Summary{Losses: []Loss{{hostileText, hostileText, math.MaxUint64}}, Damages: []error{errors.New(hostileText)}}}
			got := writePage(t, p, o)
			if len(got) > 300_000 {
				t.Errorf("%d bytes for one line", len(got))
			}
			if strings.Contains(got, "<script") || strings.Contains(got, "<img") {
				t.Error("markup of a stranger")
			}
		}
	}
}

// However many suspects there are, the page is bounded and counts the rest.
func TestPageIsBounded(t *testing.T) {
	var list []heuristics.Finding
	for i := range 700 {
		f := box()
		f.Line.Addr = addr(fmt.Sprintf("10.0.%d.%d", i/256, i%256))
		f.Last = start.Add(24 * time.Hour).UnixNano()
		list = append(list, f)
	}
	big := activity(3000)
	for i := range list {
		list[i].First, list[i].Last = big.Calls[0].First, big.Calls[len(big.Calls)-1].End
	}
	got := writePage(t, &Page{Findings: list, Activity: func(ident.Line) *Activity { return big }}, options(""))
	if n := len(got); n > 12<<20 {
		t.Errorf("%d bytes", n)
	}
	for _, want := range []string{"The first 50 are told in full below; the table names 500 of 700, --json has all.", "calls not drawn", "voice streams not drawn"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(got, "<title>") - 1; n > MaxDetailed*(show.MaxTitled+2) {
		t.Errorf("%d titles", n)
	}
	if !strings.Contains(got, `<path class="in talk" d="M`) || !strings.Contains(got, "The first 200 calls tell more") {
		t.Error("calls beyond the first 200 are not drawn")
	}
	if n := strings.Count(got, `<section class="line"`); n != MaxDetailed {
		t.Errorf("%d lines in full", n)
	}
	none := writePage(t, &Page{}, options(""))
	if !strings.Contains(none, "No line at watch or above.") {
		t.Error("an empty page does not say so")
	}
}

// The bars of the waterfall go from 0 to the whole without a hole.
// Where a line changed hands, the page of one tenant draws nothing of another.
func TestActivityOfOneTenant(t *testing.T) {
	const minute = int64(60e9)
	a := &Activity{
		Calls:   []Call{{First: 0, End: 9 * minute}, {First: minute, End: 12 * minute}, {First: 10 * minute, End: 11 * minute}, {First: 20 * minute, End: 21 * minute}},
		Streams: []Stream{{Start: 0, End: 9 * minute}, {Start: 10*minute - int64(5e9), End: 11 * minute}, {Start: 20 * minute, End: 21 * minute}}, MoreCalls: 1,
	}
	for _, tt := range []struct {
		from, to       int64
		calls, streams []int64
	}{
		{0, 9 * minute, []int64{0, minute}, []int64{0}},
		{10 * minute, 15 * minute, []int64{10 * minute}, []int64{10*minute - int64(5e9)}},
		{16 * minute, 30 * minute, []int64{20 * minute}, []int64{20 * minute}},
	} {
		got := a.during(tt.from, tt.to)
		var calls, streams []int64
		for _, c := range got.Calls {
			calls = append(calls, c.First)
		}
		for _, s := range got.Streams {
			streams = append(streams, s.Start)
		}
		if !slices.Equal(calls, tt.calls) || !slices.Equal(streams, tt.streams) || got.MoreCalls != 1 {
			t.Errorf("from %d to %d: %d, %d", tt.from, tt.to, calls, streams)
		}
	}
}

func TestStair(t *testing.T) {
	list := []reason{{nearest: 3, byNearest: true}, {nearest: -1, byNearest: true}, {byHome: true, home: 4}, {nearest: math.NaN(), byNearest: true}, {nearest: 2.5, byNearest: true}}
	steps, rest, lo, hi := stair(list, 3.75, func(r *reason) (float64, bool) { return r.nearest, r.byNearest })
	at := 0.0
	for i, s := range steps {
		if s.from != at {
			t.Errorf("step %d begins at %v, the one before ended at %v", i, s.from, at)
		}
		at = s.to
	}
	if rest.from != at || rest.to != 3.75 || at != 4.5 || lo != 0 || hi != 4.5 || steps[2].known {
		t.Errorf("rest %v, lo %v, hi %v", rest, lo, hi)
	}
}

func TestPageTellsOfErrors(t *testing.T) {
	p := &Page{Summary: &Summary{}, Findings: []heuristics.Finding{box()}}
	r, w := io.Pipe()
	r.CloseWithError(errors.New("full"))
	if err := WriteHTML(w, p, options("")); err == nil || err.Error() != "full" {
		t.Errorf("%v", err)
	}
}

func FuzzPage(f *testing.F) {
	f.Add(hostileText, 1.5, int64(5))
	f.Add(`" onload="x`, math.Inf(-1), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, s string, v float64, at int64) {
		x := box()
		x.Nearest, x.Device.Vendor, x.Unseen, x.Score, x.Margin, x.AgainstHome, x.First = s, s, []string{s}, v, -v, v, at
		x.Signals = []heuristics.Row{{ID: s, Family: s, Nats: v, Against: s, Detail: s}, {ID: "k", Nats: -v, Against: home, Detail: s}}
		a := &Activity{Calls: []Call{{First: at, End: at / 2, Answer: at / 3, Number: ident.NewNumber([]byte(s))}, {First: 5, End: 6}},
			Streams: []Stream{{Start: at, End: -at, Points: []Point{{at, at}, {at / 2, -at}, {5, 6}}}}}
		o := options("")
		o.Language = Chinese
		writePage(t, &Page{Inputs: []string{s}, Findings: []heuristics.Finding{x}, Activity: func(ident.Line) *Activity { return a }}, o)
	})
}

// Two tenants of one address have each their own calls, on the page and in the
// table each their name.
func TestTenantsApart(t *testing.T) {
	var list []heuristics.Finding
	for i, name := range []string{"contract-1", "contract-2"} {
		f := box()
		f.Subscriber = ident.NewSubscriber([]byte(name))
		f.First, f.Last = int64(i+1)*1000e9, int64(i+1)*1000e9+900e9
		list = append(list, f)
	}
	a := &Activity{
		Calls:   []Call{{First: 1000e9, End: 1010e9, Cause: 486}, {First: 1100e9, End: 2010e9, Cause: 487}, {First: 2001e9, End: 2050e9, Cause: 480}, {First: 3500e9, End: 3501e9, Cause: 404}},
		Streams: []Stream{{Start: 1200e9, End: 1300e9}, {Start: 2200e9, End: 2300e9}},
	}
	o := options("case 7")
	got := writePage(t, &Page{Findings: list, Activity: func(ident.Line) *Activity { return a }}, o)
	parts := strings.Split(got, `<section class="line"`)
	if len(parts) != 3 {
		t.Fatalf("%d sections", len(parts)-1)
	}
	for i, want := range [][]string{{"contract-1", "486", "487"}, {"contract-2", "480"}} {
		for _, s := range want {
			if !strings.Contains(parts[i+1], s) {
				t.Errorf("no %s in section %d", s, i+1)
			}
		}
		for _, s := range []string{"contract-1", "contract-2", ">480<", ">486<", ">487<", ">404<"} {
			if !slices.Contains(want, strings.Trim(s, "<>")) && strings.Contains(parts[i+1], s) {
				t.Errorf("%s in section %d", s, i+1)
			}
		}
	}
	if len(a.Calls) != 4 || a.Calls[3].Cause != 404 {
		t.Errorf("the activity was changed: %+v", a.Calls)
	}
	var b strings.Builder
	if err := WriteText(&b, list, o); err != nil {
		t.Fatal(err)
	}
	if strings.Count(b.String(), "  subscriber  contract-1") != 1 || strings.Count(b.String(), "  subscriber  contract-2") != 1 {
		t.Errorf("subscribers in\n%s", b.String())
	}
}
