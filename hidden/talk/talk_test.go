package talk

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"simtrap/ident"
	"simtrap/rtp"
)

const second = int64(1e9)

// stream is one of the tests: up or down on a port, from one second to another.
func stream(id uint64, up bool, port uint16, from, to float64, packets uint64) *rtp.Stream {
	f := rtp.Flow{Src: addr("203.0.113.7"), Dst: addr("198.18.0.9"), SrcPort: port, DstPort: 4000}
	if !up {
		f = f.Reverse()
	}
	return &rtp.Stream{ID: id, Flow: f, Start: int64(from * 1e9), End: int64(to * 1e9), Packets: packets, Ptime: 20e6}
}

func addr(s string) ident.Addr { return ident.AddrFromNetip(netip.MustParseAddr(s)) }

func TestCalls(t *testing.T) {
	type step struct {
		up    bool
		s     *rtp.Stream
		ended bool
	}
	up1, down1 := stream(1, true, 9000, 10, 40, 1501), stream(2, false, 9000, 18, 40, 550)
	up2, down2 := stream(3, true, 9000, 44, 60, 800), stream(4, false, 9000, 44.1, 60, 800)
	tests := []struct {
		name  string
		steps []step
		want  []Call
	}{
		{"sound before the answer, half of it pauses", []step{{true, up1, false}, {false, down1, false}, {true, up1, true}, {false, down1, true}},
			[]Call{{Start: 10 * second, Answer: 18 * second, End: 40 * second, Direction: Inbound, Spoke: [2]float64{1, 0.5}, Sources: [2]int{1, 1}, Led: true}}},
		{"the next call on the same ports before the first is told to be over", []step{{true, up1, false}, {false, down1, false}, {true, up2, false}, {true, up1, true}, {false, down1, true}, {false, down2, false}, {true, up2, true}, {false, down2, true}},
			[]Call{
				{Start: 10 * second, Answer: 18 * second, End: 40 * second, Direction: Inbound, Spoke: [2]float64{1, 0.5}, Sources: [2]int{1, 1}, Led: true},
				{Start: 44 * second, Answer: 441 * second / 10, End: 60 * second, Spoke: [2]float64{1, 1}, Sources: [2]int{1, 1}, Led: true, Even: true},
			}},
		{"nobody answered", []step{{true, up1, false}, {true, up1, true}}, []Call{{Start: 10 * second, End: 40 * second, Spoke: [2]float64{1, 0}, Sources: [2]int{1, 0}}}},
		{"a conference", []step{{true, up1, false}, {false, down1, false}, {false, stream(9, false, 9000, 20, 40, 9), false}, {true, up1, true}, {false, down1, true}},
			[]Call{{Start: 10 * second, Answer: 18 * second, End: 40 * second, Direction: Inbound, Sources: [2]int{1, 2}, Led: true}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []Call
			c := New(8, func(k *Call) {
				k.Flow = rtp.Flow{}
				for i := range k.Spoke {
					k.Spoke[i] = float64(int(k.Spoke[i]*100+0.5)) / 100
				}
				if k.Sources[1] > 1 {
					k.Spoke = [2]float64{}
				}
				got = append(got, *k)
			})
			for _, s := range test.steps {
				c.Stream(s.up, s.s, s.ended)
			}
			c.Flush()
			if !slices.Equal(test.want, got) { // addresses are not for go-cmp
				t.Errorf("calls %+v\nwant  %+v", got, test.want)
			}
		})
	}
}

// TestOthers: conversations at once are counted, but not those that a stranger
// or a page in a browser may have had the line answer.
func TestOthers(t *testing.T) {
	type edit func(up, down *rtp.Stream)
	read := func(up, down *rtp.Stream) { up.Readable, down.Readable, up.SSRC, down.SSRC = true, true, 1, 2 }
	for name, tt := range map[string]struct {
		edit     edit
		doubtful bool
		want     []int
	}{
		"read":             {read, false, []int{0, 1, 2}},
		"an echo":          {func(up, down *rtp.Stream) { read(up, down); down.SSRC = up.SSRC }, false, []int{0, 0, 0}},
		"by shape":         {func(_, down *rtp.Stream) { down.Start -= second }, false, []int{0, 0, 0}},
		"by shape, it led": {func(up, _ *rtp.Stream) { up.Start -= second }, false, []int{0, 1, 2}},
		"a page":           {read, true, []int{0, 0, 0}},
	} {
		var others []int
		c := New(8, func(k *Call) {
			others = append(others, k.Others)
			if k.Doubtful != tt.doubtful || tt.doubtful && k.Vouched() {
				t.Errorf("%s: doubtful %v, vouched %v", name, k.Doubtful, k.Vouched())
			}
		})
		c.Doubtful = func(*rtp.Flow) bool { return tt.doubtful }
		for i := range 3 {
			up, down := stream(uint64(i), true, uint16(9000+i), float64(2*i+2), 100, 1), stream(uint64(i+9), false, uint16(9000+i), float64(2*i)+2.1, 100, 1)
			tt.edit(up, down)
			c.Stream(true, up, false)
			c.Stream(false, down, false)
		}
		c.Flush()
		if d := cmp.Diff(tt.want, others); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestOthersLater: what was answered later than a call, or began later, was not up when
// it was answered, though it is known by then: streams are told of out of order.
func TestOthersLater(t *testing.T) {
	for name, tt := range map[string]struct {
		start float64 // of the other's far side
		want  int
	}{"before": {3, 1}, "later": {30, 0}} {
		var got []int
		c := New(8, func(k *Call) { got = append(got, k.Others) })
		for i, at := range []float64{tt.start, 20} {
			up, down := stream(uint64(2*i+1), true, uint16(9000+i), 1, 100, 1), stream(uint64(2*i+2), false, uint16(9000+i), at, 100, 1)
			up.Readable, down.Readable, up.SSRC, down.SSRC = true, true, 1, 2
			c.Stream(true, up, false)
			c.Stream(false, down, false)
		}
		c.Flush()
		if len(got) != 2 || got[1] != tt.want {
			t.Errorf("%s: %v others, want %d", name, got, tt.want)
		}
	}
}

// TestEcho: whatever else is sent to a service that sends back what it is sent, it has
// a source that came; and what came beside the streams may be what it answers.
func TestEcho(t *testing.T) {
	for name, tt := range map[string]struct {
		down  []uint32 // sources, one after the other
		all   uint64   // packets that came
		vouch bool
	}{
		"a call":                {[]uint32{2}, 1000, true},
		"handed over":           {[]uint32{2, 3}, 1000, true},
		"an echo":               {[]uint32{1}, 1000, false},
		"an echo, another then": {[]uint32{1, 2}, 1000, false},
		"another, an echo then": {[]uint32{2, 1}, 1000, false},
		"reports":               {[]uint32{2}, 1100, true},
		"drowned":               {[]uint32{2}, 1250, false},
	} {
		var got []Call
		c := New(8, func(k *Call) { got = append(got, *k) })
		up := stream(1, true, 9000, 1, 100, 1000)
		up.Readable, up.SSRC = true, 1
		c.Stream(true, up, false)
		for i, ssrc := range tt.down {
			s := stream(uint64(i+2), false, 9000, float64(20+20*i), float64(39+20*i), uint64(1000/len(tt.down)))
			s.Readable, s.SSRC = true, ssrc
			c.Stream(false, s, false)
			c.Heard(false, s.Flow, tt.all/uint64(len(tt.down)))
		}
		c.Flush()
		if len(got) != 1 || got[0].Vouched() != tt.vouch {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestDoubtStays: what was known of a flow when its conversation began holds, though
// whoever was asked has forgotten it by the end.
func TestDoubtStays(t *testing.T) {
	var got []Call
	c := New(8, func(k *Call) { got = append(got, *k) })
	known := true
	c.Doubtful = func(*rtp.Flow) bool { return known }
	up, down := stream(1, true, 9000, 1, 60, 900), stream(2, false, 9000, 3, 60, 900)
	c.Stream(true, up, false)
	known = false
	c.Stream(false, down, false)
	c.Flush()
	if len(got) != 1 || !got[0].Doubtful || got[0].Vouched() {
		t.Errorf("%+v", got)
	}
}

func TestAnswers(t *testing.T) {
	for port, want := range map[uint16]bool{0: false, 53: true, 123: true, 443: false, 500: false, 1194: false, 1701: false, 1900: true, 3478: true, 4500: false, 6881: true, 9000: false, 27015: true, 51820: false} {
		if Answers(port) != want {
			t.Errorf("port %d: %v", port, !want)
		}
	}
}

// TestAny holds what is true of any order of streams: bounded, one call for each
// conversation that opened, times in order.
func TestAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(3, func(k *Call) {
			if k.Start > k.End || k.Answer != 0 && (k.Answer < k.Start || k.Answer > k.End) || k.Sources == [2]int{} {
				t.Fatalf("%+v", *k)
			}
			if k.Spoke[0] > 1 || k.Spoke[1] > 1 {
				t.Fatalf("spoke %v", k.Spoke)
			}
		})
		type sent struct {
			up bool
			s  *rtp.Stream
		}
		var live []sent
		now := 1.0
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.Float64Range(0, 6).Draw(t, "wait")
			if len(live) > 0 && rapid.Bool().Draw(t, "ends") {
				k := rapid.IntRange(0, len(live)-1).Draw(t, "which")
				c.Stream(live[k].up, live[k].s, true)
				live = append(live[:k], live[k+1:]...)
				continue
			}
			up := rapid.Bool().Draw(t, "up")
			s := stream(uint64(i), up, uint16(9000+rapid.IntRange(0, 5).Draw(t, "port")), now, now+rapid.Float64Range(0, 30).Draw(t, "long"), uint64(rapid.IntRange(1, 3000).Draw(t, "packets")))
			live = append(live, sent{up, s})
			c.Stream(up, s, false)
			if c.Open() > 3 {
				t.Fatalf("%d conversations", c.Open())
			}
		}
		c.Flush()
		if c.Open() != 0 {
			t.Fatal("something is left")
		}
	})
}

// TestTalking holds the count of conversations that talk to its definition, while
// streams begin, go on and end in any order.
func TestTalking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(16, func(*Call) {})
		c.Doubtful = func(f *rtp.Flow) bool { return f.SrcPort == 9003 }
		type sent struct {
			up bool
			s  *rtp.Stream
		}
		var live []sent
		now := 1.0
		for i := range rapid.IntRange(1, 80).Draw(t, "steps") {
			now += rapid.Float64Range(0, 1).Draw(t, "wait")
			for _, x := range live {
				if rapid.IntRange(0, 3).Draw(t, "goes on") > 0 {
					x.s.End = max(x.s.End, int64(now*1e9))
				}
			}
			k := rapid.IntRange(0, 3*len(live)).Draw(t, "which")
			switch {
			case k >= len(live):
				up := rapid.Bool().Draw(t, "up")
				s := stream(uint64(i), up, uint16(9000+rapid.IntRange(0, 8).Draw(t, "port")), now, now, 100)
				s.Readable, s.SSRC = rapid.Bool().Draw(t, "readable"), uint32(i/3)
				live = append(live, sent{up, s})
				c.Stream(up, s, false)
			case rapid.IntRange(0, 4).Draw(t, "forget") == 0:
				c.Forget(live[k].up, live[k].s)
			default:
				c.Stream(live[k].up, live[k].s, true)
				live = append(live[:k], live[k+1:]...)
			}
			want, at := 0, int64(now*1e9)
			for _, o := range c.open.list {
				if o.first[0] != 0 && o.first[1] != 0 && max(o.first[0], o.first[1]) <= at && o.last()+apart > at && o.vouched() && o.flow.SrcPort != 9003 {
					want++
				}
			}
			if got := c.talking(at); got != want {
				t.Fatalf("%d talk, want %d", got, want)
			}
		}
	})
}

// TestManyConversations: more than are looked through are found, and gone when they go.
func TestManyConversations(t *testing.T) {
	var s conversations
	flow := func(i int) rtp.Flow { return rtp.Flow{SrcPort: uint16(i)} }
	for i := range 3 * few {
		s.add(&open{flow: flow(i)})
	}
	for i := 0; i < 3*few; i += 2 {
		s.remove(s.get(flow(i)))
	}
	for i := range 3 * few {
		if o := s.get(flow(i)); (o == nil) != (i%2 == 0) || o != nil && s.list[o.place] != o {
			t.Errorf("conversation %d: %v", i, o)
		}
	}
	if n := len(s.list); n != 3*few/2 || len(s.index) != n {
		t.Errorf("%d conversations, %d in the index", n, len(s.index))
	}
}
