package pipeline

import (
	"testing"

	"simtrap/hidden/talk"
	"simtrap/ident"
	"simtrap/rtp"
)

// TestTalks follows streams of one line: what belongs to a call seen, from the
// beginning or found late, or is fax, is no call without signalling.
func TestTalks(t *testing.T) {
	line := ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, 113, 7})}
	far := ident.AddrFrom4([]byte{198, 51, 100, 9})
	pair := func(port uint16) (up, down *rtp.Stream) {
		f := rtp.Flow{Src: line.Addr, Dst: far, SrcPort: port, DstPort: 4000}
		return &rtp.Stream{ID: uint64(port), Flow: f, Start: 1e9, End: 60e9}, &rtp.Stream{ID: uint64(port) + 1, Flow: f.Reverse(), Start: 5e9, End: 60e9}
	}
	for name, tt := range map[string]struct {
		early, late func(up, down *rtp.Stream)
		want        int
	}{
		"nobody's":                 {nil, nil, 1},
		"of a call":                {func(up, down *rtp.Stream) { up.Call, down.Call = 3, 3 }, nil, 0},
		"one way of a call":        {func(up, _ *rtp.Stream) { up.Call = 3 }, nil, 1}, // not answered: see Telephone
		"whose call is found late": {nil, func(up, down *rtp.Stream) { up.Call, down.Call = 3, 3 }, 0},
		"fax":                      {func(up, down *rtp.Stream) { up.Fax, down.Fax = true, true }, nil, 0},
	} {
		var told []talk.Call
		c := newTalks(func(l ident.Line, k *talk.Call) {
			if l != line {
				t.Errorf("%s: told of %v", name, l)
			}
			told = append(told, *k)
		})
		up, down := pair(9000)
		if tt.early != nil {
			tt.early(up, down)
		}
		c.stream(line, true, up, false)
		c.stream(line, false, down, false)
		if tt.late != nil {
			tt.late(up, down)
		}
		c.stream(line, true, up, true)
		c.stream(line, false, down, true)
		if len(told) != tt.want || len(c.lines) != 0 {
			t.Errorf("%s: %d calls, %d lines held: %+v", name, len(told), len(c.lines), told)
		}
		if name == "nobody's" {
			want := talk.Call{Flow: up.Flow, Start: 1e9, Answer: 5e9, End: 60e9, Direction: talk.Inbound, Sources: [2]int{1, 1}, Led: true, Even: true}
			if told[0] != want {
				t.Errorf("%+v, want %+v", told[0], want)
			}
		}
	}
}

// A line that is flooded with conversations holds so many and no more, and what
// was told early is counted.
func TestTalksAreBounded(t *testing.T) {
	line := ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, 113, 7})}
	c := newTalks(func(ident.Line, *talk.Call) {})
	var all []*rtp.Stream
	for i := range maxTalks + 100 {
		s := &rtp.Stream{ID: uint64(i), Flow: rtp.Flow{Src: line.Addr, Dst: ident.AddrFrom4([]byte{198, 51, byte(i >> 8), byte(i)}), SrcPort: 9000, DstPort: 4000}, Start: int64(i + 1), End: int64(i + 2)}
		all = append(all, s)
		c.stream(line, true, s, false)
	}
	if got := c.lines[line].Open(); got != maxTalks || c.early != 100 {
		t.Errorf("%d conversations held, %d told early", got, c.early)
	}
	for _, s := range all {
		c.stream(line, true, s, true)
	}
	if len(c.lines) != 0 {
		t.Errorf("%d lines held after their last stream", len(c.lines))
	}
}
