package heuristics

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/hidden/talk"
	"simtrap/ident"
	"simtrap/rtp"
	"simtrap/sip"
)

// voice plays a call without signalling of a minute on a port of the line. edit
// sets what the case is about.
func (p *play) voice(port uint16, edit func(*talk.Call)) {
	t := p.now
	c := &talk.Call{Flow: rtp.Flow{Src: p.line.Addr, Dst: p.far, SrcPort: port, DstPort: 4000},
		Start: t, Answer: t + 5*second, End: t + 60*second, Direction: talk.Inbound, Sources: [2]int{1, 1}, Clear: true}
	edit(c)
	p.id++
	s := &rtp.Stream{ID: p.id, Flow: c.Flow, Start: c.Start, End: c.End, Readable: true}
	p.l.Stream(p.line, true, s, false)
	p.l.Stream(p.line, true, s, true)
	p.l.Talk(p.line, c, c.End+10*second)
	if p.sealed {
		p.l.Sealed(p.line, p.far, c.End)
	}
	p.now = t + 100*second
}

func plain(*talk.Call) {}

// looking has the tap see something else first.
func looking(p *play) *play {
	p.l.Packet(ident.Line{Addr: addr("203.0.113.200")}, true, p.now, 63)
	p.now += minute
	return p
}

func TestTalk(t *testing.T) {
	type counts map[string][]uint32
	nothing := counts{"talk-outbound": {0, 0}, "talk-ringing": {0, 0}, "talk-legs": {0, 0}, "talk-ports": {0, 0}}
	for name, tt := range map[string]struct {
		play func(p *play)
		want counts
	}{
		"called, ringing as sound":    {func(p *play) { p.voice(9000, plain); p.voice(9002, plain) }, counts{"talk-outbound": {2, 0}, "talk-ringing": {0, 2}, "talk-legs": {2, 0}, "talk-ports": {2, 0}}},
		"who calls hears the ringing": {func(p *play) { p.voice(9000, func(c *talk.Call) { c.Direction = talk.Outbound }) }, counts{"talk-outbound": {0, 1}, "talk-ringing": {0, 0}, "talk-legs": {1, 0}, "talk-ports": {1, 0}}},
		"the answer is the first":     {func(p *play) { p.voice(9000, func(c *talk.Call) { c.Direction = talk.Unknown }) }, counts{"talk-outbound": {1, 0}, "talk-ringing": {1, 0}, "talk-legs": {1, 0}, "talk-ports": {1, 0}}},
		"a scanner's INVITE, that nobody vouches for": {func(p *play) {
			c := &sip.Call{ID: 77, Caller: sip.Party{Addr: p.far}, Callee: sip.Party{Addr: p.line.Addr}, Invite: p.now, Last: p.now, Seen: sip.SeenRequest}
			p.l.Call(p.line, true, c, sip.CallStarted)
			p.voice(9000, plain)
		}, counts{"talk-outbound": {1, 0}, "talk-ringing": {0, 1}, "talk-legs": {1, 0}, "talk-ports": {1, 0}}},
		"by shape, the far end first": {func(p *play) {
			p.voice(9000, func(c *talk.Call) { c.Clear, c.Led, c.Direction = false, false, talk.Outbound })
		}, nothing},
		"by shape, packet for packet": {func(p *play) {
			p.voice(9000, func(c *talk.Call) { c.Clear, c.Led, c.Even, c.Direction = false, true, true, talk.Unknown })
		}, nothing},
		"by shape, of a service": {func(p *play) {
			p.voice(123, func(c *talk.Call) { c.Clear, c.Led = false, true })
		}, nothing},
		"by shape, the line first": {func(p *play) {
			p.voice(9000, func(c *talk.Call) { c.Clear, c.Led = false, true })
		}, counts{"talk-outbound": {0, 0}, "talk-ringing": {0, 0}, "talk-legs": {1, 0}, "talk-ports": {1, 0}}},
		"of a page in a browser": {func(p *play) { p.voice(9000, func(c *talk.Call) { c.Doubtful = true }) }, nothing},
		"a port again, and long after": {func(p *play) {
			p.voice(9000, plain)
			p.voice(9000, plain)
			p.now += portRest
			p.voice(9000, plain)
		}, counts{"talk-outbound": {3, 0}, "talk-ringing": {0, 3}, "talk-legs": {3, 0}, "talk-ports": {2, 1}}},
		"two legs": {func(p *play) {
			at := p.now
			p.voice(9000, plain)
			p.now = at + second/2
			p.voice(9002, func(c *talk.Call) { c.Direction = talk.Outbound })
		}, counts{"talk-outbound": {1, 1}, "talk-ringing": {0, 1}, "talk-legs": {0, 2}, "talk-ports": {2, 0}}},
		"one side alone":               {func(p *play) { p.voice(9000, func(c *talk.Call) { c.Answer, c.Sources = 0, [2]int{1, 0} }) }, nothing},
		"a conference":                 {func(p *play) { p.voice(9000, func(c *talk.Call) { c.Sources = [2]int{1, 3} }) }, nothing},
		"a second of talk":             {func(p *play) { p.voice(9000, func(c *talk.Call) { c.End = c.Answer + second }) }, nothing},
		"began before the tap looked":  {func(p *play) { p.voice(9000, func(c *talk.Call) { c.Start -= 2 * minute }) }, nothing},
		"a line that shows signalling": {func(p *play) { p.inbound(callOptions{}); p.voice(9000, plain) }, nothing},
	} {
		p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
		tt.play(p)
		got := counts{}
		for id := range tt.want {
			got[id] = p.counts(t, id)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// How many are up is counted by calls, not by streams.
func TestTalkConcurrency(t *testing.T) {
	p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
	for i := range 3 {
		p.voice(9000+uint16(i), func(c *talk.Call) { c.Others = 5 * i })
	}
	if d := cmp.Diff([]uint32{1, 0, 0, 1, 1, 0}, p.counts(t, "talk-concurrency")); d != "" {
		t.Error(d)
	}
	if got := p.counts(t, "concurrency"); sum(got) != 0 {
		t.Errorf("counted twice: %v", got)
	}
	lookalikes(t, "talk-concurrency", []int{0, 5, 20, 30, 10, 0}, 1, "pstn-breakout", "call-centre")
	if got := nats(t, "home", "talk-concurrency", []int{0, 5, 20, 30, 10, 0}); got < 4 {
		t.Errorf("many calls at once: %.2f nats against home", got)
	}
}

// What a licensed gateway does as well says nothing against it.
func TestTalkOfTheHonest(t *testing.T) {
	lookalikes(t, "talk-ringing", []int{5, 60}, 0.2, "pstn-breakout")
	lookalikes(t, "talk-ports", []int{10, 60}, 0.2, "pstn-breakout", "fxs-adapter")
	lookalikes(t, "talk-legs", []int{80, 1}, 0.5, "pstn-breakout", "call-centre", "mobile-dialler")
	lookalikes(t, "talk-outbound", []int{80, 0}, 1.5, "pstn-breakout")
	lookalikes(t, "talk-place", []int{placeHireAbroad}, 0.7, "mobile-dialler", "carrier-sbc")
	for id, x := range map[string]struct {
		class  string
		counts []int
	}{"talk-outbound": {"hosted-pbx", []int{20, 40}}, "talk-legs": {"carrier-sbc", []int{5, 60}}} {
		if got := nats(t, x.class, id, x.counts); got > -0.5 {
			t.Errorf("%s: %.2f nats against %s for what speaks for it", id, got, x.class)
		}
	}
}

func TestTalkPlace(t *testing.T) {
	far := newPlay(testLines(t, Config{})).far
	for name, tt := range map[string]struct {
		places Places
		want   int
	}{
		"no list":             {nil, none},
		"in the country":      {atlas{far: {Known: true, Country: "CN"}}, placeHome},
		"for hire and abroad": {atlas{far: {Known: true, Country: "US", Foreign: true, Hosting: true}}, placeHireAbroad},
	} {
		p := looking(newPlay(testLines(t, Config{Homes: home(t), Places: tt.places})))
		for i := range 10 {
			p.voice(9000+uint16(i), plain)
		}
		if got := p.read(t, "talk-place"); got != tt.want {
			t.Errorf("%s: category %d, want %d", name, got, tt.want)
		}
		if got := p.read(t, "controller-place"); got != none {
			t.Errorf("%s: the media's place is taken for the controller's", name)
		}
	}
}

// Where nothing can be read, a gateway's own protocol is not absent but unseen.
func TestUnreadSignalling(t *testing.T) {
	p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
	p.sealed = true
	for i := range unreadCalls - 1 {
		p.voice(9000+uint16(i), plain)
	}
	if got := p.read(t, "unread-signalling"); got != none {
		t.Errorf("category %d after seven calls", got)
	}
	if exposure, _ := p.sighting(t, "control-record"); exposure == 0 {
		t.Error("control protocols are unseen before it is known that nothing can be read")
	}
	p.voice(9100, plain)
	if got := p.read(t, "unread-signalling"); got != signallingUnread {
		t.Errorf("category %d", got)
	}
	for _, id := range []string{"control-record", "control-marks", "hidden-sip"} {
		if exposure, seen := p.sighting(t, id); exposure != 0 || seen {
			t.Errorf("%s: looked for in what cannot be read", id)
		}
	}
	if u := strings.Join(p.finding(t).Unseen, "\n"); !strings.Contains(u, "signalling cannot be read") {
		t.Errorf("not told: %s", u)
	}
	q := newPlay(testLines(t, Config{Homes: home(t)}))
	mobiles(q, unreadCalls, callOptions{})
	if got := q.read(t, "unread-signalling"); got != signallingRead {
		t.Errorf("category %d of a line in clear", got)
	}
	lookalikes(t, "unread-signalling", []int{signallingUnread}, 0, "hosted-pbx", "conference-or-game", "mobile-dialler", "vpn-office")
	lookalikes(t, "unread-signalling", []int{signallingUnread}, 1.5, "pstn-breakout", "carrier-sbc", "hacked-pbx")
}

// A flow under a cipher is signalling when the line's calls end with its
// exchanges.
func TestExchanges(t *testing.T) {
	for name, tt := range map[string]struct {
		every int // one call in so many ends with an exchange
		want  bool
	}{
		"all calls": {1, true}, "every other call": {2, false}, "a flow of something else": {1000, false},
	} {
		p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
		p.voice(8000, plain)
		p.l.Exchange(p.line, p.far, p.now)
		for i := range 16 {
			if i%tt.every == tt.every-1 {
				p.l.Exchange(p.line, p.far, p.now+61*second)
			} else {
				p.l.Exchange(p.line, p.far, p.now+40*second)
			}
			p.voice(9000+uint16(i), plain)
		}
		if got := slices.Contains(p.finding(t).Unseen, "messages under a cipher each go to the rhythm of the calls: what they are is not known"); got != tt.want {
			t.Errorf("%s: told %v", name, got)
		}
		if _, seen := p.sighting(t, "hidden-sip"); seen {
			t.Errorf("%s: counts", name)
		}
		if got := p.read(t, "unread-signalling"); got != none {
			t.Errorf("%s: counted twice", name)
		}
	}
	p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
	p.l.Exchange(p.line, p.far, p.now)
	if p.l.table[p.line].traits != nil {
		t.Error("an exchange alone is kept")
	}
	p.voice(9000, plain)
	for range 100_000 {
		p.now += second / 1000
		p.l.Exchange(p.line, p.far, p.now)
	}
	if n := len(p.l.table[p.line].traits.exchanges.far[0].times); n > maxExchanges {
		t.Errorf("%d exchanges are kept", n)
	}
}

// Ports and waiting calls are bounded.
func TestTalkIsBounded(t *testing.T) {
	p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
	for i := range 3 * maxLegs {
		c := &talk.Call{Flow: rtp.Flow{Src: p.line.Addr, Dst: p.far, SrcPort: uint16(i)}, Start: p.now, Answer: p.now + second, End: p.now + 9*second, Sources: [2]int{1, 1}, Clear: true}
		p.now += second / 1000
		p.l.Talk(p.line, c, p.now)
	}
	q := p.l.table[p.line].traits.talked
	if len(q.waiting) > maxLegs || len(q.ports) > maxPorts || p.l.Counters().CallsDropped == 0 {
		t.Errorf("%d calls wait, %d ports, %+v", len(q.waiting), len(q.ports), p.l.Counters())
	}
}

// What was told of hidden calls survives a restart; a call that was up then has
// no beginning.
func TestTalkSurvives(t *testing.T) {
	p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
	p.voice(8000, plain)
	p.l.Exchange(p.line, p.far, p.now)
	p.sealed = true
	for i := range 12 {
		p.voice(9000+uint16(i), plain)
	}
	f := p.l.Freeze()
	header := f.Header(nil)
	block, _ := f.Append(nil)
	l, _ := thawed(t, header, block)
	was, is := p.l.table[p.line], l.table[p.line]
	if is == nil {
		t.Fatal("the line is gone")
	}
	if d := cmp.Diff(was.traits.talked, is.traits.talked, cmp.AllowUnexported(talked{}, voiceCall{}, tunnelFlow{}), cmp.Comparer(func(a, b ident.Addr) bool { return a == b })); d != "" {
		t.Errorf("talked (-was +is):\n%s", d)
	}
	if d := cmp.Diff(was.traits.exchanges, is.traits.exchanges, cmp.AllowUnexported(exchanges{}, exchangesWith{}), cmp.Comparer(func(a, b ident.Addr) bool { return a == b })); d != "" {
		t.Errorf("exchanges (-was +is):\n%s", d)
	}
	if d := cmp.Diff(was.traits.sealed, is.traits.sealed, cmp.AllowUnexported(sealedFlows{}, steps{}), cmp.Comparer(func(a, b ident.Addr) bool { return a == b })); d != "" {
		t.Errorf("sealed (-was +is):\n%s", d)
	}
	q := &play{l: l, line: p.line, far: p.far, id: 100, now: p.now}
	before := sum(q.counts(t, "talk-ringing"))
	q.voice(9500, plain)
	if got := sum(q.counts(t, "talk-ringing")); got != before {
		t.Errorf("%d calls, %d before: one of which the beginning was not seen counts", got, before)
	}
}

// TestSealedInStep: what is sealed is signalling when calls end with it, and not
// when it is sent at all times or at others, nor where nothing sealed is seen.
func TestSealedInStep(t *testing.T) {
	for name, tt := range map[string]struct {
		at   func(p *play, end int64) // exchanges of one call
		want int
	}{
		"voice alone":     {func(*play, int64) {}, none},
		"each call's end": {func(p *play, end int64) { p.l.Sealed(p.line, p.far, end+second/5) }, signallingUnread},
		"at other times":  {func(p *play, end int64) { p.l.Sealed(p.line, p.far, end-20*second) }, none},
		"every two seconds": {func(p *play, end int64) {
			const grid = 1700 * second / 1000 // which calls have nothing to do with
			for at := (end - 60*second) / grid * grid; at < end+30*second; at += grid {
				p.l.Sealed(p.line, p.far, at)
			}
		}, none},
		"many far ends besides": {func(p *play, end int64) {
			for i := range 100 {
				p.l.Sealed(p.line, ident.AddrFrom4([]byte{198, 18, 0, byte(i)}), end-40*second+int64(i)*second/10)
			}
			p.l.Sealed(p.line, p.far, end)
		}, signallingUnread},
	} {
		p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
		for i := range 14 {
			end := p.now + 60*second
			p.voice(9000+uint16(i), plain)
			tt.at(p, end)
		}
		if got := p.read(t, "unread-signalling"); got != tt.want {
			t.Errorf("%s: category %d, want %d", name, got, tt.want)
		}
		if n := len(p.l.table[p.line].traits.sealed.far); n > maxSealed {
			t.Errorf("%s: %d far ends are kept", name, n)
		}
	}
}

// TestTalkYields: whichever is seen first, what signalling tells of a line's
// calls is not counted beside what voice alone tells.
func TestTalkYields(t *testing.T) {
	p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
	p.sealed = true
	for i := range 12 {
		p.voice(9000+uint16(i), plain)
	}
	seen := func(id string) bool {
		_, ok := p.l.model.Seen(p.l.inForce(p.l.table[p.line]), id)
		return ok
	}
	talks := []string{"talk-concurrency", "talk-outbound", "talk-ringing", "talk-ports", "talk-legs"}
	p.finding(t)
	for _, id := range talks {
		if !seen(id) {
			t.Errorf("%s does not count where nothing else does", id)
		}
	}
	if got := p.read(t, "unread-signalling"); got != signallingUnread {
		t.Fatalf("category %d", got)
	}
	p.inbound(callOptions{})
	p.finding(t)
	for _, id := range talks {
		if seen(id) {
			t.Errorf("%s counts beside what signalling tells", id)
		}
	}
	if got := p.read(t, "unread-signalling"); got == signallingUnread {
		t.Error("the signalling that was read counts as unread still")
	}
}

// TestUnheard: where the answer is always the first sound, nobody knows who
// called, and nothing is said of it.
func TestUnheard(t *testing.T) {
	for heard, want := range map[int]bool{0: false, 1: false, 3: true} {
		p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
		for i := range 20 {
			p.voice(9000+uint16(i), func(c *talk.Call) {
				if i >= heard {
					c.Direction = talk.Unknown
				}
			})
		}
		p.finding(t)
		if _, got := p.l.model.Seen(p.l.inForce(p.l.table[p.line]), "talk-outbound"); got != want {
			t.Errorf("%d of 20 heard: counts %v", heard, got)
		}
	}
}

// TestWatchMargin: of a line whose calls are seen as voice alone a watch takes more,
// and signalling under TLS in step with them, which honest offices have, no less;
// of one whose calls were read it does not.
func TestWatchMargin(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
		p.sealed = sealed
		for i := range 14 {
			p.voice(9000+uint16(i), plain)
		}
		p.finding(t)
		x := p.l.table[p.line]
		if got := x.watchMargin(); got != math.Ln10 {
			t.Errorf("sealed %v: margin %v", sealed, got)
		}
		if !x.callsBeside() {
			t.Error("14 calls of its own are not enough to leave those in tunnels out")
		}
		x.accepted = watchCalls
		if got := x.watchMargin(); got != watchMargin {
			t.Errorf("of calls that were read: margin %v", got)
		}
	}
}

// TestStreamsAtOnce: streams without a call are up until their last packet, which
// is long before they are told to be over. A channel's next call is no second
// channel, in whatever order streams are confirmed.
func TestStreamsAtOnce(t *testing.T) {
	type stream struct{ from, to int64 } // s
	for _, tt := range []struct {
		name string
		list []stream
		want int
	}{
		{"one after the other", []stream{{0, 60}, {62, 120}, {123, 180}}, 1},
		{"two channels, three calls", []stream{{0, 60}, {10, 90}, {62, 120}}, 2},
		{"one in the time of two others", []stream{{0, 20}, {30, 50}, {10, 40}}, 2},
		{"confirmed late", []stream{{5, 60}, {6, 60}, {0, 60}}, 3},
		{"all at once", []stream{{0, 60}, {0, 60}, {0, 60}, {0, 60}}, 4},
	} {
		p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
		var all []*rtp.Stream
		for i, x := range tt.list {
			s := &rtp.Stream{ID: uint64(i + 1), Flow: rtp.Flow{Src: p.line.Addr, Dst: p.far, SrcPort: uint16(9000 + i), DstPort: 4000},
				Start: p.now + x.from*second, End: p.now + x.to*second}
			p.l.Stream(p.line, true, s, false)
			all = append(all, s)
		}
		for _, s := range all {
			p.l.Stream(p.line, true, s, true)
		}
		if f := p.finding(t); f.Calls.PeakConcurrent != tt.want || f.Device.Channels != tt.want {
			t.Errorf("%s: %d at once, %d channels, want %d", tt.name, f.Calls.PeakConcurrent, f.Device.Channels, tt.want)
		}
	}
}
