// Package talk makes calls of voice streams whose signalling nobody can read:
// when each began, when it was answered, when it ended, which side was called,
// and how much of the time each side spoke. It builds on rtp.Streams, which finds
// streams by clear headers (SRTP leaves them clear) or by shape.
package talk

import (
	"cmp"
	"slices"

	"simtrap/rtp"
)

// Direction says who was called.
type Direction uint8

// Unknown is a call whose sides began to send together: as a rule one whose
// answer was the first sound.
const (
	Unknown  Direction = iota
	Inbound            // to the line: it sent sound before it got any
	Outbound           // from the line: it got sound before it sent any
)

func (d Direction) String() string { return [...]string{"unknown", "inbound", "outbound"}[d] }

// Call is what the streams of one conversation say of a call.
type Call struct {
	Flow rtp.Flow // from the line's side; no tap port
	// Start is the first packet, Answer the first of the later side, 0 where one
	// side sent alone, End the last. Nanoseconds since the Unix epoch.
	Start, Answer, End int64
	Direction          Direction
	// Spoke is the share of its own time in which each side sent: 1 where silence
	// is sent too, 0 where its packet time is not known. Up first.
	Spoke [2]float64
	// Sources are the most streams at once each way. More than one is no
	// telephone call: a conference's server sends many to one socket.
	Sources [2]int
	// Others is how many other calls of the line talked when this one was
	// answered, or began where it never was. Those that prove nothing of the line
	// are left out: see Vouched.
	Others int
	// Clear is set where both sides sent RTP with a clear header.
	Clear bool
	// Echo is set where the line may send back what it is sent: a source was heard
	// from both sides, or packets came that were of no stream of the call, a quarter
	// of what went or more.
	Echo bool
	// Led is set where the line's sound was the first of the conversation.
	Led bool
	// Even is set where as many packets came as went: one side may have answered
	// the other's packets, one for one.
	Even bool
	// Doubtful is set where something other than telephony may have opened the
	// flow (Calls.Doubtful).
	Doubtful bool
}

// Vouched says whether the line itself spoke. What has the shape of voice alone
// may be a service of the line that answers whoever asks it: then the far end
// sent first, or as many packets went as came. A page in a visitor's browser
// speaks too, but not before it has looked for its paths.
func (c *Call) Vouched() bool {
	return !c.Doubtful && !c.Echo && (c.Clear || c.Led && !service(&c.Flow) && (c.Direction == Inbound || !c.Even))
}

// service says whether a flow is of a service that answers packet by packet.
func service(f *rtp.Flow) bool { return Answers(f.SrcPort) || Answers(f.DstPort) }

// Answers says whether a port is one of services that answer whoever asks them by
// UDP, with one packet or several: the well-known ones (DNS, NTP, SNMP) but for
// those of IPsec and HTTP, MS-SQL's browser, SSDP, STUN, DNS on the link, distributed
// tables, memcached and games' queries (the list of CISA's alert TA14-017A, and what
// homes forward ports for).
func Answers(port uint16) bool {
	switch {
	case port == 500, port == 443:
		return false
	case port > 0 && port < 1024, port >= 6881 && port <= 6889, port >= 27000 && port <= 27050:
		return true
	}
	switch port {
	case 1434, 1900, 3478, 3702, 5349, 5353, 5683, 7777, 11211, 25565:
		return true
	}
	return false
}

// even says whether two counts of packets are those of question and answer, but
// for loss and for what one side sent sooner.
func even(a, b uint64) bool {
	const lead = 35 // packets in less than early
	return 100*max(a, b) <= 103*min(a, b)+100*lead
}

// Telephone says whether the call looks like one of two telephones: one stream
// each way.
func (c *Call) Telephone() bool { return c.Answer != 0 && c.Sources == [2]int{1, 1} }

const (
	// early is how much sooner one side must send for that to be sound before the
	// answer: more than a round trip and the packets that a NAT eats, less than
	// the shortest ringing, ns.
	early = int64(700e6)
	// apart is a silence of both sides behind which a stream is the next call on
	// the same sockets: boxes use them again within seconds, ns.
	apart = int64(1500e6)
	// maxHeard bounds the sources of a side that are told apart.
	maxHeard = 16
	// foreignShare: one packet that is of no stream for so many of the line's is too
	// many. Reports and keep-alives are far fewer.
	foreignShare = 4
)

// Counters says what a Calls did.
type Counters struct {
	Calls   uint64 // told of
	Alone   uint64 // of these, one side sent alone
	Evicted uint64 // of these, told early for want of room
}

// Calls puts the streams of one line together. It is not for use by several
// goroutines at once.
type Calls struct {
	// Doubtful says whether something other than telephony may have opened a
	// flow, given from the line's side; nil where nobody knows.
	Doubtful func(*rtp.Flow) bool

	cap  int
	tell func(*Call)
	open conversations
	both []talker // the conversations of which both sides have sent
	c    Counters
}

// talker is what talking asks of a conversation, side by side with those of the
// others: a server has a thousand, and each that begins asks all of them.
type talker struct {
	o       *open
	last    int64 // of o, or earlier: it only grows
	since   int64 // when the later side of o began
	vouched bool  // as of o
	doubt   bool  // as of o
}

// open is a conversation that streams belong to.
type open struct {
	flow    rtp.Flow
	start   int64
	ends    int64
	first   [2]int64
	live    [2][]*rtp.Stream
	sources [2]int
	sent    [2]float64 // ns of sound in streams that are over
	lasted  [2]float64
	others  int
	both    bool
	at      int       // in Calls.both, where both is set
	place   int       // in Calls.open
	packets [2]uint64 // in streams that are over
	doubt   bool
	all     [2]uint64   // packets in the flow since the conversation is known
	heard   [2][]uint32 // sources with clear headers, maxHeard at most
	echo    bool        // one of them was heard from both sides, or there were more
}

// conversations are those of one line by their flow. Most lines have one at a time,
// and a map of one takes more room than the conversation.
type conversations struct {
	list  []*open
	index map[rtp.Flow]*open // nil while there are few
}

// few is how many are looked through rather than looked up.
const few = 8

func (s *conversations) get(f rtp.Flow) *open {
	if s.index != nil {
		return s.index[f]
	}
	for _, o := range s.list {
		if o.flow == f {
			return o
		}
	}
	return nil
}

// add takes a conversation that is not there.
func (s *conversations) add(o *open) {
	o.place = len(s.list)
	s.list = append(s.list, o)
	switch {
	case s.index != nil:
		s.index[o.flow] = o
	case len(s.list) > few:
		s.index = make(map[rtp.Flow]*open)
		for _, o := range s.list {
			s.index[o.flow] = o
		}
	}
}

func (s *conversations) remove(o *open) {
	last := len(s.list) - 1
	s.list[o.place] = s.list[last]
	s.list[o.place].place = o.place
	s.list[last] = nil
	s.list = s.list[:last]
	delete(s.index, o.flow)
}

// vouched says whether the conversation, as far as it went, shows that the line
// speaks.
func (o *open) vouched() bool {
	return !o.echoes() && (o.readable() || o.first[1]-o.first[0] >= early && !service(&o.flow))
}

// doubts says whether a page in a browser may have opened the conversation. What
// was known of it once holds to its end: whoever is asked may forget.
func (c *Calls) doubts(o *open) bool {
	o.doubt = o.doubt || c.Doubtful != nil && c.Doubtful(&o.flow)
	return o.doubt
}

// readable says whether both sides have clear headers.
func (o *open) readable() bool { return len(o.heard[0]) > 0 && len(o.heard[1]) > 0 }

// hears notes a source with a clear header.
func (o *open) hears(way int, ssrc uint32) {
	switch {
	case slices.Contains(o.heard[way], ssrc):
	case slices.Contains(o.heard[1-way], ssrc), len(o.heard[way]) >= maxHeard:
		o.echo = true
	default:
		o.heard[way] = append(o.heard[way], ssrc)
	}
}

// echoes says whether the line may send back what it is sent: then it has a source of
// the other side, whatever else is sent to it. Its questions can be drowned on their
// way among packets that end behind the tap, so that no stream of them is seen; but
// then so many came.
func (o *open) echoes() bool {
	var own [2]uint64
	for way := range own {
		own[way] = o.packets[way]
		for _, s := range o.live[way] {
			own[way] += s.Packets
		}
	}
	return o.echo || o.all[1] > own[1] && foreignShare*(o.all[1]-own[1]) >= own[0]
}

// Heard takes packets of a flow, be they of a stream or not, after Stream.
func (c *Calls) Heard(up bool, f rtp.Flow, packets uint64) {
	way := 0
	if f.TapPort = 0; !up {
		f, way = f.Reverse(), 1
	}
	if o := c.open.get(f); o != nil {
		o.all[way] += packets
		c.renew(o)
	}
}

// New makes a Calls that holds at most n conversations, one at least, and gives
// each call when it is over; the Call is valid until tell returns.
func New(n int, tell func(*Call)) *Calls {
	return &Calls{cap: max(n, 1), tell: tell}
}

// Open is how many conversations are held.
func (c *Calls) Open() int { return len(c.open.list) }

// Forget leaves out the conversation that a stream belongs to, as when its
// signalling was found after all.
func (c *Calls) Forget(up bool, s *rtp.Stream) {
	key, way := s.Flow, 0
	key.TapPort = 0
	if !up {
		key, way = key.Reverse(), 1
	}
	if o := c.open.get(key); o != nil && slices.Contains(o.live[way], s) {
		c.remove(o)
	}
}

// Counters gives a copy of the counters.
func (c *Calls) Counters() Counters { return c.c }

// Stream takes a stream of the line when it is confirmed, and again, with ended
// set, when it is over, in the order of an rtp.StreamHandler. up is set when the
// line sends it.
func (c *Calls) Stream(up bool, s *rtp.Stream, ended bool) {
	key, way := s.Flow, 0
	key.TapPort = 0
	if !up {
		key, way = key.Reverse(), 1
	}
	o := c.open.get(key)
	if ended {
		if o != nil {
			c.ended(o, way, s)
		}
		return
	}
	if o != nil && s.Start > o.last()+apart {
		c.close(o)
		o = nil
	}
	if o == nil {
		if c.Open() >= c.cap {
			c.evict()
		}
		o = &open{flow: key, start: s.Start}
		c.doubts(o)
		c.open.add(o)
	}
	if slices.Contains(o.live[way], s) {
		return
	}
	o.live[way] = append(o.live[way], s)
	o.sources[way] = max(o.sources[way], o.together(way, s.Start))
	o.start = min(o.start, s.Start)
	if s.Readable {
		o.hears(way, s.SSRC)
	}
	if o.first[way] == 0 || s.Start < o.first[way] {
		o.first[way] = s.Start
	}
	if both := o.first[0] != 0 && o.first[1] != 0; both && !o.both {
		o.others = c.talking(max(o.first[0], o.first[1]))
		o.both, o.at = true, len(c.both)
		c.both = append(c.both, talker{o: o})
	} else if !both && len(o.live[way]) == 1 {
		o.others = c.talking(s.Start)
	}
	c.renew(o)
}

// renew brings up to date what talking asks of o.
func (c *Calls) renew(o *open) {
	if o.both {
		k := &c.both[o.at]
		k.since, k.vouched, k.doubt = max(o.first[0], o.first[1]), o.vouched(), o.doubt
	}
}

// remove takes o from the conversations.
func (c *Calls) remove(o *open) {
	c.open.remove(o)
	if !o.both {
		return
	}
	n := len(c.both) - 1
	c.both[o.at] = c.both[n]
	c.both[o.at].o.at = o.at
	c.both[n] = talker{}
	c.both = c.both[:n]
}

// talking counts the conversations of which both sides have sent by t, and one still
// does then.
func (c *Calls) talking(t int64) (n int) {
	for i := range c.both {
		k := &c.both[i]
		if !k.vouched || k.since > t {
			continue
		}
		if k.last+apart <= t {
			if k.last = k.o.last(); k.last+apart <= t {
				continue
			}
		}
		if !k.doubt {
			if k.doubt = c.Doubtful != nil && c.Doubtful(&k.o.flow); k.doubt {
				k.o.doubt = true
				continue
			}
			n++
		}
	}
	return n
}

// together counts the streams one way that are still sent at t.
func (o *open) together(way int, t int64) (n int) {
	for _, s := range o.live[way] {
		if s.End >= t {
			n++
		}
	}
	return n
}

// last is when the newest packet of the conversation came.
func (o *open) last() int64 {
	t := o.ends
	for _, list := range o.live {
		for _, s := range list {
			t = max(t, s.End)
		}
	}
	return t
}

func (c *Calls) ended(o *open, way int, s *rtp.Stream) {
	i := slices.Index(o.live[way], s)
	if i < 0 {
		return // of the call before
	}
	o.live[way] = slices.Delete(o.live[way], i, i+1)
	o.account(way, s)
	if len(o.live[0])+len(o.live[1]) == 0 {
		c.close(o)
	}
}

func (o *open) account(way int, s *rtp.Stream) {
	o.ends = max(o.ends, s.End)
	o.packets[way] += s.Packets
	if s.Ptime > 0 && s.End > s.Start {
		o.sent[way] += float64(s.Packets) * float64(s.Ptime)
		o.lasted[way] += float64(s.End - s.Start + s.Ptime)
	}
}

// close tells of a call with what is known of it.
func (c *Calls) close(o *open) {
	for way, list := range o.live {
		for _, s := range list {
			o.account(way, s)
		}
	}
	c.remove(o)
	out := Call{Flow: o.flow, Start: o.start, End: o.ends, Sources: o.sources, Others: o.others, Doubtful: c.doubts(o)}
	o.live = [2][]*rtp.Stream{} // accounted
	out.Echo = o.echoes()
	if o.both {
		out.Answer = max(o.first[0], o.first[1])
		out.Led, out.Clear, out.Even = o.first[0] < o.first[1], o.readable(), even(o.packets[0], o.packets[1])
		switch lead := o.first[1] - o.first[0]; {
		case lead >= early:
			out.Direction = Inbound
		case lead <= -early:
			out.Direction = Outbound
		}
	} else {
		c.c.Alone++
	}
	for way := range out.Spoke {
		if o.lasted[way] > 0 {
			out.Spoke[way] = min(1, o.sent[way]/o.lasted[way])
		}
	}
	c.c.Calls++
	c.tell(&out)
}

// evict tells of the conversation that has been silent for longest.
func (c *Calls) evict() {
	var oldest *open
	for _, o := range c.open.list {
		if oldest == nil || cmp.Or(cmp.Compare(o.last(), oldest.last()), o.flow.Compare(&oldest.flow)) < 0 {
			oldest = o
		}
	}
	c.c.Evicted++
	c.close(oldest)
}

// Flush tells of all that is open, in order of flow.
func (c *Calls) Flush() {
	list := slices.Clone(c.open.list)
	slices.SortFunc(list, func(a, b *open) int { return a.flow.Compare(&b.flow) })
	for _, o := range list {
		c.close(o)
	}
}
