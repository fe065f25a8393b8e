package pipeline

import (
	"simtrap/hidden/talk"
	"simtrap/ident"
	"simtrap/rtp"
)

// maxTalks bounds the conversations without signalling of one line at once. A
// line is forgotten with its last stream, so that lines need no bound beside
// that of streams.
const maxTalks = 1024

// talks makes calls of the voice that belongs to no call seen, line by line.
type talks struct {
	lines map[ident.Line]*talk.Calls
	tell  func(ident.Line, *talk.Call)
	paths paths
	early uint64 // calls told before they were over, for want of room
}

func newTalks(tell func(ident.Line, *talk.Call)) *talks {
	return &talks{lines: make(map[ident.Line]*talk.Calls), tell: tell}
}

// interval takes what a flow did at one of its ends, whether it is a stream or not.
func (t *talks) interval(line ident.Line, up bool, iv *rtp.Interval) {
	if c := t.lines[line]; c != nil {
		c.Heard(up, iv.Flow, uint64(iv.Packets))
	}
}

// stream follows a stream at one of its ends. One whose call was found after all
// takes its conversation along: signalling tells more of it.
func (t *talks) stream(line ident.Line, up bool, s *rtp.Stream, ended bool) {
	c := t.lines[line]
	switch {
	case s.Call != 0 || s.Fax:
		if c != nil {
			c.Forget(up, s)
		}
	case c == nil && ended:
		return
	case c == nil:
		c = talk.New(maxTalks, func(k *talk.Call) {
			if k.Doubtful { // so is the next on the same sockets
				t.paths.see(k.Flow)
			}
			t.tell(line, k)
		})
		c.Doubtful = t.paths.has
		t.lines[line] = c
		fallthrough
	default:
		before := c.Counters().Evicted
		c.Stream(up, s, ended)
		t.early += c.Counters().Evicted - before
	}
	if c != nil && c.Open() == 0 {
		delete(t.lines, line)
	}
}
