package sip

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// frames pushes the pieces and collects copies of the messages.
func frames(f *Framer, pieces ...[]byte) (out []string) {
	for _, p := range pieces {
		f.Push(p, func(msg []byte) { out = append(out, string(msg)) })
	}
	return out
}

func short(name string, body string) string {
	return fmt.Sprintf("MESSAGE sip:a@b SIP/2.0\r\nCall-ID: %s\r\nContent-Length: %d\r\n\r\n%s", name, len(body), body)
}

func TestFramer(t *testing.T) {
	a, b, c := short("a", ""), short("b", "hello"), short("c", "SIP/2.0 200 OK\r\n\r\n")
	bare := "SIP/2.0 200 OK\r\ni: d\r\n\r\n"
	folded := "SIP/2.0 200 OK\r\nl :\r\n 3\r\n\r\nxyz"
	unix := "SIP/2.0 200 OK\nl: 2\n\nxy"
	// The 64 KiB of aligned end with a line.
	aligned := "SIP/2.0 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("y", 11)+"\r\n", maxMessage/16-1)
	long := "SIP/2.0 200 OK\r\nl: 70000\r\n\r\n"
	endless := "SIP/2.0 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("y", 97)+"\r\n", 700)
	for _, x := range []struct {
		name, in string
		want     []string
		stats    FramerStats
	}{
		{"one", a, []string{a}, FramerStats{Messages: 1}},
		{"three in one", a + b + c, []string{a, b, c}, FramerStats{Messages: 3}},
		{"keep-alives", "\r\n\r\n" + a + "\r\n\r\n" + b + "\r\n", []string{a, b}, FramerStats{Messages: 2, KeepAlive: 5}},
		{"no length", bare + a, []string{bare, a}, FramerStats{Messages: 2, NoLength: 1}},
		{"folded length", folded + a, []string{folded, a}, FramerStats{Messages: 2}},
		{"LF alone", unix + a, []string{unix, a}, FramerStats{Messages: 2}},
		{"unfinished", a + b[:len(b)-1], []string{a}, FramerStats{Messages: 1}},
		{"junk", "rubbish\r\n" + a, []string{a}, FramerStats{Messages: 1, Resyncs: 1, Skipped: 9}},
		{"binary junk", "\x16\x03\x01\n" + a, []string{a}, FramerStats{Messages: 1, Resyncs: 1, Skipped: 4}},
		{"junk between", a + "xyz: 1\r\nfoo\r\n" + b, []string{a, b}, FramerStats{Messages: 2, Resyncs: 1, Skipped: 13}},
		{"length too large", long + a, []string{a}, FramerStats{Messages: 1, TooLong: 1, Skipped: uint64(len(long))}},
		{"headers without end", endless + "\r\n" + a, []string{a}, FramerStats{Messages: 1, TooLong: 1, Skipped: uint64(len(endless)), KeepAlive: 1}},
		{"headers without end, cut between lines", aligned + a, []string{a}, FramerStats{Messages: 1, TooLong: 1, Skipped: maxMessage}},
		{"no headers", "SIP/2.0 200 OK\r\n\r\n" + a + "a b SIP/2.0\n\n" + b, []string{"SIP/2.0 200 OK\r\n\r\n", a, "a b SIP/2.0\n\n", b}, FramerStats{Messages: 4, NoLength: 2}},
		{"negative length", "SIP/2.0 200 OK\r\nl: -4\r\n\r\n" + a, []string{"SIP/2.0 200 OK\r\nl: -4\r\n\r\n", a}, FramerStats{Messages: 2, NoLength: 1}},
		{"long first line", strings.Repeat("x", 5000) + "\n" + a, []string{a}, FramerStats{Messages: 1, Resyncs: 1, Skipped: 5001}},
	} {
		for _, size := range []int{1 << 20, 1, 2, 3, 7, 64, 1460} {
			var f Framer
			var pieces [][]byte
			for in := []byte(x.in); len(in) > 0; {
				n := min(size, len(in))
				pieces, in = append(pieces, in[:n]), in[n:]
			}
			got := frames(&f, pieces...)
			if d := cmp.Diff(x.want, got); d != "" {
				t.Errorf("%s by %d: -want +got\n%s", x.name, size, d)
			}
			f.Stats.Joined = 0
			if d := cmp.Diff(x.stats, f.Stats); d != "" {
				t.Errorf("%s by %d: -want +got\n%s", x.name, size, d)
			}
		}
	}
}

// TestFramerCopiesOnlyWhatIsCut: a message within one piece is a view into it.
func TestFramerCopiesOnlyWhatIsCut(t *testing.T) {
	a, b := short("a", ""), short("b", "hello")
	piece := []byte(a + b + b[:20])
	var f Framer
	n := 0
	f.Push(piece, func(msg []byte) {
		n++
		if !within(piece, msg) {
			t.Error("a whole message was copied")
		}
	})
	rest := []byte(b[20:] + a)
	f.Push(rest, func(msg []byte) {
		n++
		if want := string(msg) == a; within(rest, msg) != want {
			t.Errorf("%q: view into the piece %v", msg, !want)
		}
	})
	if n != 4 || f.Stats.Joined != 1 {
		t.Errorf("%d messages, %d joined", n, f.Stats.Joined)
	}
	if avg := testing.AllocsPerRun(50, func() { f.Push(piece[:len(a)+len(b)], func([]byte) {}) }); avg != 0 {
		t.Errorf("%v allocations for whole messages", avg)
	}
}

// A description without a length: what its lines say.
func TestFramerDescriptionWithoutLength(t *testing.T) {
	const head, sdp = "INVITE sip:a@b SIP/2.0\r\ni: x\r\nc: application/sdp\r\n\r\n", "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r\n"
	whole, next := head+sdp, short("b", "")
	for _, c := range []struct {
		name   string
		pieces []string
		want   []string
		stats  FramerStats
	}{
		{"alone", []string{whole}, []string{whole}, FramerStats{Messages: 1, NoLength: 1, ByLines: 1}},
		{"another behind it", []string{whole + next}, []string{whole, next}, FramerStats{Messages: 2, NoLength: 1, ByLines: 1}},
		{"a keep-alive behind it", []string{whole + "\r\n\r\n" + next}, []string{whole, next}, FramerStats{Messages: 2, KeepAlive: 2, NoLength: 1, ByLines: 1}},
		{"cut within a line", []string{whole[:90], whole[90:], next}, []string{whole, next}, FramerStats{Messages: 2, Joined: 1, NoLength: 1, ByLines: 1}},
		{"cut behind the headers", []string{head, sdp + next}, []string{whole, next}, FramerStats{Messages: 2, Joined: 1, NoLength: 1, ByLines: 1}},
		{"none after all", []string{head + next}, []string{head, next}, FramerStats{Messages: 2, NoLength: 1}},
		{"a response behind it", []string{whole + "SIP/2.0 200 OK\r\nl: 0\r\n\r\n"}, []string{whole, "SIP/2.0 200 OK\r\nl: 0\r\n\r\n"}, FramerStats{Messages: 2, NoLength: 1, ByLines: 1}},
		{"a length behind the type", []string{"INVITE sip:a@b SIP/2.0\r\nc: application/sdp\r\nl: 5\r\n\r\nv=0\r\n" + next}, []string{"INVITE sip:a@b SIP/2.0\r\nc: application/sdp\r\nl: 5\r\n\r\nv=0\r\n", next}, FramerStats{Messages: 2}},
		{"endless", []string{head + strings.Repeat("a=x", 30000), "\r\n" + next}, []string{next}, FramerStats{Messages: 1, NoLength: 1, TooLong: 1, Skipped: uint64(len(head)) + 90000 + 2}},
	} {
		var f Framer
		var pieces [][]byte
		for _, p := range c.pieces {
			pieces = append(pieces, []byte(p))
		}
		if d := cmp.Diff(c.want, frames(&f, pieces...)); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
		if d := cmp.Diff(c.stats, f.Stats); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
	}
}

func TestFramerGap(t *testing.T) {
	a, b := short("a", "hello"), short("b", "")
	var f Framer
	got := frames(&f, []byte(a[:30]))
	f.Gap()
	// The next segment begins within a body, or with a message.
	got = append(got, frames(&f, []byte("llo\r\n"+b))...)
	f.Gap()
	got = append(got, frames(&f, []byte(a))...)
	if d := cmp.Diff([]string{b, a}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if want := (FramerStats{Messages: 2, Gaps: 2, Skipped: 35}); f.Stats != want {
		t.Errorf("stats %+v, want %+v", f.Stats, want)
	}
}

// TestFramerIsBounded: whatever a stranger sends, no more than one message of
// memory is kept.
func TestFramerIsBounded(t *testing.T) {
	for _, unit := range []string{"INVITE sip:a@b SIP/2.0\r\n", "x", "A: b\r\n", "SIP/2.0 200 OK\r\nl: 65000\r\n\r\n", "SIP/2.0 200 OK\r\nX: "} {
		var f Framer
		piece := []byte(strings.Repeat(unit, 2000))
		for range 20 {
			for in := piece; len(in) > 0; {
				n := min(777, len(in))
				f.Push(in[:n], func([]byte) {})
				in = in[n:]
				if cap(f.buf) > 2*maxMessage {
					t.Fatalf("%q: %d bytes kept", unit, cap(f.buf))
				}
			}
		}
	}
}

func FuzzFramer(f *testing.F) {
	f.Add([]byte(short("a", "hello")+short("b", "")), []byte{3, 50, 1})
	f.Add([]byte("\r\n\r\nSIP/2.0 200 OK\r\nl:\r\n 1\r\n\r\nxjunk\nSIP/2.0 100 \n\n"), []byte{1})
	f.Add([]byte(strings.Repeat("a b SIP/2.0\n", 200)), []byte{255, 0})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		// A stream long enough to meet the bounds.
		if len(stream) > 0 && len(cuts) > 2 && cuts[0] == 255 {
			stream = bytes.Repeat(stream, min(200, 200000/len(stream)+1))
		}
		var whole, split Framer
		want := frames(&whole, stream)
		var pieces [][]byte
		for i, rest := 0, stream; len(rest) > 0; i++ {
			n := len(rest)
			if len(cuts) > 0 {
				n = min(n, 1+int(cuts[i%len(cuts)]))
			}
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		got := frames(&split, pieces...)
		if d := cmp.Diff(want, got); d != "" && whole.Stats.ByLines+split.Stats.ByLines == 0 {
			t.Fatalf("-whole +split\n%s", d)
		}
		if whole.Stats.ByLines+split.Stats.ByLines > 0 {
			return // it ends with its piece
		}
		split.Stats.Joined = whole.Stats.Joined
		// What is unfinished at the end was counted or not, alike.
		if whole.Stats != split.Stats {
			t.Fatalf("whole %+v, split %+v", whole.Stats, split.Stats)
		}
		total := 0
		for _, s := range got {
			total += len(s)
			if len(s) > maxMessage || !Looks([]byte(s)) {
				t.Fatalf("a message of %d bytes that does not look like one", len(s))
			}
		}
		if total > len(stream) {
			t.Fatal("more came out than went in")
		}
	})
}
