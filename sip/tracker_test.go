package sip

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"simtrap/ident"
	"simtrap/packet"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRequests(t *testing.T) {
	r, tr := play(t, Config{}, `
		1    A>B OPTIONS
		20   B>A 200/OPTIONS   tt=t
		40   B>A 200/OPTIONS   tt=t
		100  A>B MESSAGE       id=m1
		150  B>A 401/MESSAGE   id=m1 tt=x
		200  A>B MESSAGE       id=m1 cseq=2
		250  B>A 100/MESSAGE   id=m1 cseq=2
		900  B>A 202/MESSAGE   id=m1 cseq=2
		1000 A>B SUBSCRIBE     id=s1
		1500 A>B SUBSCRIBE     id=s1
		2000 B>A 489/NOTIFY    id=n1 tt=t
		2100 A>B INFO          id=i1
		2200 B>A 501/INFO      id=i1 tt=t
		+ 32999
		+ 33000`)
	want := []string{
		fmt.Sprintf("request %d from A status 200 at 1", OPTIONS),
		fmt.Sprintf("request %d from A status 401 at 100", MESSAGE),
		fmt.Sprintf("request %d from A status 202 at 200", MESSAGE),
		fmt.Sprintf("request %d from A status 489 at 2000", NOTIFY),
		fmt.Sprintf("request %d from A status 501 at 2100", INFO),
		fmt.Sprintf("request %d from A status 0 at 1000", SUBSCRIBE),
	}
	if d := cmp.Diff(want, r.events); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	tr.Advance(at(100_000))
	if n := tr.requests.len(); n != 0 {
		t.Errorf("%d requests kept", n)
	}
}

func TestRequestsInsideCalls(t *testing.T) {
	r, tr := play(t, Config{}, `
		1    A>B INVITE
		900  B>A 200/INVITE  tt=t
		950  A>B OPTIONS     tt=t cseq=2 br=b2
		960  B>A 200/OPTIONS tt=t cseq=2 br=b2
		970  A>B INFO        tt=t cseq=3 br=b3
		980  B>A 200/INFO    tt=t cseq=3 br=b3`)
	want := []string{"1 started", "1 answered", "1 verified"}
	if d := cmp.Diff(want, r.events); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if n := tr.requests.len(); n != 0 {
		t.Errorf("%d requests kept", n)
	}
}

func TestTimeBackwardsAndNoCallID(t *testing.T) {
	r, tr := play(t, Config{}, `
		1000 A>B INVITE
		500  B>A 180/INVITE tt=t
		2000 A>B INVITE     id=`)
	if c := tr.Counters(); c.Backwards != 1 || c.NoCallID != 1 || c.Messages != 3 {
		t.Errorf("%+v", c)
	}
	if got := r.calls[1].Ringing; got != at(1000) {
		t.Errorf("ringing at %d, want it clamped", got)
	}
}

// What is told does not depend on how often time is told.
func TestAdvanceOften(t *testing.T) {
	script := `
		1     A>B INVITE
		100   A>B OPTIONS  id=o
		200   C>B REGISTER id=r contact=1001@10.0.0.5:5060
		300   C>B BYE      id=z tt=t
		400   A>B INVITE   id=y
		500   A>B CANCEL   id=y`
	run := func(step int64) []string {
		r, tr := play(t, Config{}, script)
		for ms := int64(500); ms <= 400_000; ms += step {
			tr.Advance(at(ms))
		}
		return r.events
	}
	if d := cmp.Diff(run(100), run(399_500)); d != "" {
		t.Errorf("(-often +once):\n%s", d)
	}
}

// A flood of spoofed requests stays within the tables, is counted, and does not
// push out the calls and registrations that both sides took part in.
func TestFlood(t *testing.T) {
	const limit = 4096
	r := newRecorder()
	tr := NewTracker(Config{Calls: limit, Registrations: limit, Requests: limit}, r)
	for _, s := range readScript(t, `
		1    A>B INVITE       id=honest
		100  B>A 200/INVITE   id=honest tt=t
		150  A>B ACK          id=honest tt=t br=b2
		200  A>B REGISTER     id=honest-r to=1001 contact=1001@10.0.0.5:5060
		250  B>A 200/REGISTER id=honest-r to=1001 contact=1001@10.0.0.5:5060`) {
		feed(t, tr, s)
	}
	invite, register := readScript(t, `1000 A>B INVITE id=x0000000`)[0], readScript(t, `1000 A>B REGISTER id=x0000000 to=0000000 contact=x@y`)[0]
	options := readScript(t, `1000 A>B OPTIONS id=x0000000`)[0]
	const n = 100_000
	for k := range n {
		name := fmt.Sprintf("x%07d", k)
		for _, s := range []scripted{invite, register, options} {
			s.text = strings.Replace(s.text, "x0000000", name, 1)
			s.text = strings.Replace(s.text, "sip:0000000@", "sip:"+name[1:]+"@", 1)
			s.packet.Time += int64(k) * 1e5
			feed(t, tr, s)
		}
		if tr.calls.len() > limit || tr.regs.len() > limit || tr.requests.len() > limit {
			t.Fatal("a table outgrew its limit")
		}
	}
	c := tr.Counters()
	if c.CallsEvicted != n+1-limit || c.RegistrationsEvicted != n+1-limit || c.RequestsEvicted != n-limit {
		t.Errorf("evicted: %d calls, %d registrations, %d requests", c.CallsEvicted, c.RegistrationsEvicted, c.RequestsEvicted)
	}
	if r.ended[1] != 0 {
		t.Error("the flood pushed out a verified call")
	}
	if len(tr.calls.slots) > limit+slotChunk || len(tr.names) > maxNames {
		t.Errorf("%d slots, %d names", len(tr.calls.slots), len(tr.names))
	}
	for _, s := range readScript(t, `
		20000 A>B BYE     id=honest tt=t br=b3 cseq=2
		20010 B>A 200/BYE id=honest tt=t br=b3 cseq=2`) {
		feed(t, tr, s)
	}
	if r.ended[1] != 1 || r.calls[1].End != at(20000) {
		t.Error("the honest call was not followed to its end")
	}
	tr.Flush()
	checkEmpty(t, tr)
	if len(r.bad) > 0 {
		t.Error(r.bad[:min(len(r.bad), 10)])
	}
}

// When both sides took part in everything, the longest unused gives way, and
// newcomers still find room.
func TestEvictionOfProvedCalls(t *testing.T) {
	r := newRecorder()
	tr := NewTracker(Config{Calls: 8}, r)
	for k := range 20 {
		for _, s := range readScript(t, fmt.Sprintf(`
			%[1]d A>B INVITE     id=c%[1]d
			%[1]d B>A 200/INVITE id=c%[1]d tt=t`, k+1)) {
			feed(t, tr, s)
		}
	}
	if c := tr.Counters(); c.CallsEvicted != 12 {
		t.Errorf("%d evicted, want 12", c.CallsEvicted)
	}
	for id := uint64(1); id <= 20; id++ {
		if want := map[bool]int{true: 1}[id <= 12]; r.ended[id] != want {
			t.Errorf("call %d ended %d times, want %d", id, r.ended[id], want)
		}
	}
}

// dialog gives the messages of one whole call.
func dialog(t *rapid.T, k int) []string {
	id := fmt.Sprintf("id=c%d ft=f%d tt=", k, k)
	ends := rapid.SampledFrom([]string{"A>B", "A>C", "C>A", "B>A", "A>A:5080"}).Draw(t, "ends")
	from, to, _ := strings.Cut(ends, ">")
	back := to + ">" + from
	out := []string{ends + " INVITE sdp=10.0.0.1:4000 " + id}
	if rapid.IntRange(0, 3).Draw(t, "forged") == 0 {
		// A stranger makes up a tag, and the callee copies it into its answer.
		m := rapid.SampledFrom([]string{"INVITE", "UPDATE", "BYE", "INFO"}).Draw(t, "method")
		n := rapid.IntRange(1, 2).Draw(t, "forged cseq")
		guess := fmt.Sprintf(" cseq=%d br=g %sguess", n, id)
		out = append(out, ends+" "+m+guess, back+" 481/"+m+guess, ends+" ACK"+guess)
	}
	tag := fmt.Sprintf("t%d", k)
	cseq := "cseq=1 "
	if rapid.Bool().Draw(t, "challenged") {
		out = append(out, back+" 401/INVITE "+id+"x", ends+" ACK "+id+"x", ends+" INVITE cseq=2 br=b2 "+id)
		cseq = "cseq=2 br=b2 "
	}
	out = append(out, back+" 100/INVITE "+cseq+id)
	if rapid.Bool().Draw(t, "rings") {
		out = append(out, back+" 183/INVITE sdp=10.0.0.2:5000 "+cseq+id+tag)
	}
	first, ack := ends, ends+" ACK "
	if rapid.Bool().Draw(t, "bypassed") {
		// A proxy keeps out of the dialog: one end is at another address.
		away := rapid.SampledFrom([]string{from + ">D", "D>" + to}).Draw(t, "away")
		ends = away
		from, to, _ = strings.Cut(ends, ">")
	}
	far := to + ">" + from
	bye := []string{ends + " BYE cseq=9 br=b9 " + id + tag, far + " 200/BYE cseq=9 br=b9 " + id + tag}
	switch rapid.IntRange(0, 7).Draw(t, "outcome") {
	case 0:
		out = append(out, back+" 486/INVITE "+cseq+id+tag, ack+cseq+id+tag)
	case 1:
		out = append(out, strings.Replace(ack, "ACK", "CANCEL", 1)+cseq+id, back+" 200/CANCEL "+cseq+id+tag, back+" 487/INVITE "+cseq+id+tag, ack+cseq+id+tag)
	case 2:
		out = append(out, back+" 200/INVITE "+cseq+id+tag, ends+" ACK "+cseq[:7]+"br=b3 "+id+tag)
		out = append(out, ends+" INVITE cseq=3 br=b4 sdp=10.0.0.1:4002 "+id+tag, far+" 200/INVITE cseq=3 br=b4 "+id+tag, ends+" ACK cseq=3 br=b5 "+id+tag)
		out = append(out, bye...)
	case 3:
		out = append(out, back+" 200/INVITE "+cseq+id+tag, ends+" ACK "+cseq[:7]+"br=b3 "+id+tag)
		rev := fmt.Sprintf("id=c%d ft=%s tt=f%d br=y", k, tag, k)
		out = append(out, far+" BYE "+rev, ends+" 200/BYE "+rev)
	case 4: // never answered
	case 5:
		out = append(out, back+" 302/INVITE "+cseq+id+"x", ack+cseq+id+"x", first+" INVITE cseq=5 br=b6 "+id, back+" 200/INVITE cseq=5 br=b6 "+id+tag)
		out = append(out, bye...)
	case 6:
		// Two answer; one is let go.
		out = append(out, back+" 200/INVITE "+cseq+id+tag, back+" 200/INVITE "+cseq+id+"u")
		out = append(out, ends+" BYE cseq=8 br=b8 "+id+"u", far+" 200/BYE cseq=8 br=b8 "+id+"u")
		out = append(out, bye...)
	case 7:
		out = append(out, back+" 200/INVITE sdp=10.0.0.2:5000 "+cseq+id+tag)
		for n := range rapid.IntRange(1, 4).Draw(t, "offers") {
			m := rapid.SampledFrom([]string{"INVITE", "UPDATE"}).Draw(t, "offer by")
			offer := rapid.SampledFrom([]string{"sdp=10.0.0.1:4000", "sdp=10.0.0.1:4000 more=a=sendonly", "sdp=0.0.0.0:4000", ""}).Draw(t, "offer")
			status := rapid.SampledFrom([]int{200, 488, 491, 407}).Draw(t, "answer")
			q := fmt.Sprintf(" cseq=%d br=o%d %s%s ", 20+n, n, id, tag)
			out = append(out, ends+" "+m+q+offer, fmt.Sprintf("%s %d/%s%ssdp=10.0.0.2:5000", far, status, m, q))
		}
		out = append(out, bye...)
	}
	if k > 0 && rapid.IntRange(0, 2).Draw(t, "replaces") == 0 {
		what := fmt.Sprintf("c%d;from-tag=f%d;to-tag=t%d", k-1, k-1, k-1)
		out[0] += fmt.Sprint(" head=Replaces:_", what)
		out = append(out, fmt.Sprintf("%s INVITE id=z%d ft=z head=Replaces:_%s", ends, k, what))
	}
	if rapid.Bool().Draw(t, "others") {
		out = append(out, fmt.Sprintf("%s REGISTER to=u%d contact=v%d@10.0.0.5:5060 id=r%d", ends, k, k, k), fmt.Sprintf("%s 200/REGISTER to=u%d contact=v%d@10.0.0.5:5060 id=r%d", far, k, k, k))
		out = append(out, fmt.Sprintf("%s OPTIONS id=o%d", ends, k), fmt.Sprintf("%s 200/OPTIONS id=o%d tt=t", far, k))
	}
	return out
}

// TestTrackerInvariants mixes, loses, repeats and swaps the messages of many
// calls and checks what holds whatever happens.
func TestTrackerInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var queues [][]string
		for k := range rapid.IntRange(1, 6).Draw(rt, "calls") {
			queues = append(queues, dialog(rt, k))
		}
		loss := rapid.IntRange(0, 40).Draw(rt, "loss percent")
		limit := rapid.SampledFrom([]int{1, 2, 3, 64}).Draw(rt, "limit")
		var lines []string
		for len(queues) > 0 {
			k := rapid.IntRange(0, len(queues)-1).Draw(rt, "which")
			lines = append(lines, queues[k][0])
			if queues[k] = queues[k][1:]; len(queues[k]) == 0 {
				queues = append(queues[:k], queues[k+1:]...)
			}
		}
		r := newRecorder()
		tr := NewTracker(Config{Calls: limit, Registrations: limit, Requests: limit, Seed: 7}, r)
		o := newTagWitness()
		ms := int64(1)
		for len(lines) > 0 {
			k := 0
			if len(lines) > 1 && rapid.IntRange(0, 9).Draw(rt, "swap") == 0 {
				k = 1
			}
			line := lines[k]
			lines = append(lines[:k:k], lines[k+1:]...)
			if rapid.IntRange(0, 99).Draw(rt, "lost") < loss {
				continue
			}
			ms += rapid.SampledFrom([]int64{0, 1, 30, 60, 900, 33_000, 200_000}).Draw(rt, "gap")
			for range rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(rt, "copies") {
				s := readScript(rt, fmt.Sprintf("%d %s", ms, line))[0]
				o.see(s)
				feed(rt, tr, s)
				ms += rapid.SampledFrom([]int64{0, 500}).Draw(rt, "again")
			}
			if tr.calls.len() > limit || tr.regs.len() > limit || tr.requests.len() > limit {
				rt.Fatal("a table outgrew its limit")
			}
			if tr.pairs.Len() > tr.calls.len() || tr.dialogs.Len() > 5*tr.calls.len() {
				rt.Fatal("dialogs outlive calls")
			}
			if tr.contacts.Len() > tr.regs.len() {
				rt.Fatal("contacts outlive registrations")
			}
		}
		tr.Flush()
		checkEmpty(rt, tr)
		if len(r.bad) > 0 {
			rt.Fatal(r.bad)
		}
		over := map[uint64]bool{}
		for id, c := range r.calls {
			if o := c.Replaces; o != 0 {
				if over[o] || o == id || r.ended[o] == 0 || r.calls[o].Replaces != 0 {
					rt.Fatalf("call %d replaces %d, which another does too, or which is none", id, o)
				}
				over[o] = true
			}
			if r.ended[id] != 1 {
				rt.Fatalf("call %d ended %d times", id, r.ended[id])
			}
			// A call that was driven out takes along what its caller guessed.
			if c.Verified && !o.proved[c.Caller.Addr] && tr.Counters().CallsEvicted == 0 {
				rt.Fatalf("call %d is verified, but nothing that %v sent carried a tag it had read", id, c.Caller.Addr)
			}
			if c.Verified && c.Midway {
				rt.Fatalf("call %d is verified in mid-call", id)
			}
		}
	})
}

// tagWitness knows, without any state of calls, which address was told a To tag
// before it was used between the two, so that a request with it, from there or to
// who told it, proves that the tag was read.
type tagWitness struct {
	told   map[string]told // by Call-ID and tag
	used   map[string]bool // by Call-ID, tag and pair of addresses
	proved map[ident.Addr]bool
	asked  map[string]bool // by Call-ID: a message without a tag was seen
}

type told struct {
	reader, writer ident.Addr
	guessed        bool // used before it was told
}

// pairOf is the two addresses of s in either order.
func pairOf(s scripted) [2]ident.Addr {
	a, b := s.packet.Src, s.packet.Dst
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	return [2]ident.Addr{a, b}
}

func newTagWitness() *tagWitness {
	return &tagWitness{map[string]told{}, map[string]bool{}, map[ident.Addr]bool{}, map[string]bool{}}
}

func (o *tagWitness) see(s scripted) {
	var m Message
	if Parse([]byte(s.text), &m) != nil {
		return
	}
	if len(m.To.Tag) == 0 {
		o.asked[string(m.CallID)] = true
		return
	}
	k := fmt.Sprint(string(m.CallID), " ", string(m.To.Tag))
	w, known := o.told[k]
	used := fmt.Sprint(k, pairOf(s))
	switch {
	case !known && m.Status != 0:
		o.told[k] = told{reader: s.packet.Dst, writer: s.packet.Src, guessed: o.used[used]}
	case !known && o.asked[string(m.CallID)]:
		// Before anything was asked it belongs to no call, and is a guess at
		// what nobody has chosen yet.
		o.used[used] = true
	case !known:
	case m.Status == 0 && !w.guessed && (s.packet.Src == w.reader || s.packet.Dst == w.writer):
		o.proved[w.reader] = true
	}
}

// FuzzTracker feeds whatever Parse makes of pieces of text, with jumps in time.
func FuzzTracker(f *testing.F) {
	var all []string
	for _, s := range readScript(f, `
		1    A>B INVITE      sdp=10.0.0.1:4000
		100  B>A 183/INVITE  tt=t sdp=10.0.0.2:5000
		200  B>A 200/INVITE  tt=t
		210  A>B ACK         tt=t br=b2
		300  A>B BYE         tt=t br=b3
		310  B>A 200/BYE     tt=t br=b3
		320  A>B INVITE      tt=t br=b4 cseq=2 sdp=10.0.0.1:4000 more=a=sendonly
		330  B>A 491/INVITE  tt=t br=b4 cseq=2
		340  C>B INVITE      id=r ft=g head=Replaces:_call-1;to-tag=t;from-tag=f|x:90
		350  B>A 302/INVITE  tt=u
		400  A>B REGISTER    contact=*
		405  A>B REGISTER    contact=a@10.0.0.1;expires=0|b@10.0.0.2;expires=9 cseq=2
		406  B>A 200/REGISTER contact=c@d;expires=1|b@10.0.0.2;expires=9 cseq=2
		407  A>B SUBSCRIBE   id=s head=Event:_dialog
		410  A>B MESSAGE     id=m
		420  A>B CANCEL`) {
		all = append(all, s.text)
	}
	f.Add([]byte(strings.Join(all, "\x00")), uint64(1))
	f.Add([]byte("SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nCall-ID: x\r\nVia: \r\nFrom: \r\nTo: ;tag=\r\n\r\n\x00garbage"), uint64(2))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		r := newRecorder()
		tr := NewTracker(Config{Calls: 3, Registrations: 2, Requests: 2, Seed: seed}, r)
		rng := rand.New(rand.NewPCG(seed, 0))
		now := at(0)
		a, b, c := hosts("A"), hosts("B"), hosts("C")
		for _, piece := range strings.Split(string(data), "\x00") {
			var m Message
			if Parse([]byte(piece), &m) != nil {
				continue
			}
			now += int64(rng.ExpFloat64() * 10 * float64(second))
			p := packet.Packet{Time: now, Src: a.Addr, SrcPort: a.Port, Dst: b.Addr, DstPort: b.Port, Proto: packet.UDP}
			if (m.Status != 0) != (rng.IntN(10) == 0) {
				p.Src, p.Dst = p.Dst, p.Src
			}
			switch rng.IntN(8) {
			case 0:
				p.Src = c.Addr
			case 1:
				p.Dst = c.Addr
			}
			tr.Message(&p, &m)
			if tr.calls.len() > 3 || tr.regs.len() > 2 || tr.requests.len() > 2 || tr.pairs.Len() > 3 || tr.dialogs.Len() > 15 {
				t.Fatal("a table outgrew its limit")
			}
		}
		tr.Flush()
		checkEmpty(t, tr)
		if len(r.bad) > 0 {
			t.Fatal(r.bad)
		}
	})
}

type deaf struct{}

func (deaf) Call(*Call, CallEvent)      {}
func (deaf) Registration(*Registration) {}
func (deaf) Request(*Request)           {}

// BenchmarkTracker measures parsing and tracking of whole calls of eight
// messages, with new Call-IDs and numbers for each.
func BenchmarkTracker(b *testing.B) {
	script := readScript(b, `
		1    A>B INVITE      id=call-00000000 sdp=10.0.0.1:4000 ua=softswitch/1.0 contact=1001@192.0.2.65
		20   B>A 100/INVITE  id=call-00000000
		100  B>A 183/INVITE  id=call-00000000 tt=t sdp=10.0.0.2:5000 ua=gateway
		3000 B>A 200/INVITE  id=call-00000000 tt=t sdp=10.0.0.2:5000 ua=gateway
		3050 A>B ACK         id=call-00000000 tt=t br=b2
		9000 A>B BYE         id=call-00000000 tt=t br=b3 cseq=2
		9050 B>A 200/BYE     id=call-00000000 tt=t br=b3 cseq=2
		9060 A>B OPTIONS     id=opts-00000000`)
	var raw [][]byte
	var ids [][]byte
	for _, s := range script {
		t := []byte(s.text)
		raw = append(raw, t)
		k := strings.Index(s.text, "-00000000") + 1
		ids = append(ids, t[k:k+8])
	}
	tr := NewTracker(Config{}, deaf{})
	var m Message
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n++ {
		k := n % len(script)
		for x, j := n/len(script), 7; j >= 0; x, j = x/10, j-1 {
			ids[k][j] = byte('0' + x%10)
		}
		if err := Parse(raw[k], &m); err != nil {
			b.Fatal(err)
		}
		p := script[k].packet
		p.Time += int64(n) * 1e6
		tr.Message(&p, &m)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e3, "kmsg/s")
}
