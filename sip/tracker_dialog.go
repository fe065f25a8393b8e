package sip

import (
	"simtrap/ident"
	"simtrap/packet"
)

// Where a message belongs. A call is found by Call-ID, From tag of the caller,
// and the addresses of caller and callee, in this order: another From tag is
// another dialog (RFC 3261 section 12), and a request that spirals back has the
// two addresses the other way round.
//
// Inside a dialog a request goes to where Contact and Record-Route say, so that
// one end may be at another address than that of the INVITE: a proxy that does
// not record its route, a pool of session border controllers. Such a message is
// found by Call-ID and both tags, and it must come from or go to an address of
// the INVITE on its own side. Who does not know both tags finds nothing.

// hops is the calls that one message belongs to. It is one, except that proxies
// leave Call-ID and tags as they are: then all the hops that are in sight are of
// one dialog, and what passes them by concerns each.
type hops struct {
	n     int32
	calls [4]int32
}

// add puts call i in and says whether there was room.
func (h *hops) add(i int32) bool {
	if int(h.n) == len(h.calls) {
		return false
	}
	h.calls[h.n] = i
	h.n++
	return true
}

// drop takes call i out, leaving the others in their order.
func (h *hops) drop(i int32) {
	kept := hops{}
	for _, j := range h.calls[:h.n] {
		if j != i {
			kept.add(j)
		}
	}
	*h = kept
}

// filter remembers tags in 256 bits, two for each. It never forgets one, however
// many there are, so that no number of guesses makes room for an echo; and it
// takes a tag for one that it was given only by chance: 1 in 16000 after one
// tag, 1 in 160 after ten. Then a call stays unverified, which accuses nobody.
type filter [4]uint64

func (f *filter) add(tag uint64) {
	f[tag>>6&3] |= 1 << (tag & 63)
	f[tag>>14&3] |= 1 << (tag >> 8 & 63)
}

func (f *filter) has(tag uint64) bool {
	return f[tag>>6&3]&(1<<(tag&63)) != 0 && f[tag>>14&3]&(1<<(tag>>8&63)) != 0
}

// ends gives the addresses of who sent the request, and of who received it,
// where m is the request or a response to it.
func ends(p *packet.Packet, m *Message) (requester, other ident.Addr) {
	if m.Status != 0 {
		return p.Dst, p.Src
	}
	return p.Src, p.Dst
}

// place is the key of a call.
func place(id uint64, caller, callee ident.Addr, callerTag uint64) uint64 {
	return callee.Hash(caller.Hash(id ^ callerTag))
}

// dialogKey is the key in Tracker.dialogs; the order of the tags matters.
func dialogKey(id, callerTag, calleeTag uint64) uint64 {
	h := (id ^ callerTag) * 0x9fb21c651e98df25
	return (h ^ h>>32 ^ calleeTag) * 0x9fb21c651e98df25
}

// findCalls gives the calls that m belongs to.
func (t *Tracker) findCalls(p *packet.Packet, m *Message) (found hops) {
	id, from, to := t.id, t.text(m.From.Tag), t.text(m.To.Tag)
	requester, other := ends(p, m)
	if m.Status == 0 && from != 0 && to != 0 {
		t.guessed(id, p, from, to)
	}
	i := t.calls.find(place(id, requester, other, from))
	if i == none {
		i = t.calls.find(place(id, other, requester, to)) // of the callee's requests
	}
	if i == none {
		i = t.findChallenged(p, m)
	}
	if i != none {
		found.add(i)
		return found
	}
	if from == 0 || to == 0 {
		return found
	}
	known, _ := t.dialogs.Get(dialogKey(id, from, to))
	for _, i := range known.calls[:known.n] {
		if c := t.calls.at(i); requester == c.Caller.Addr || other == c.Callee.Addr {
			found.add(i)
		}
	}
	if found.n > 0 {
		return found
	}
	known, _ = t.dialogs.Get(dialogKey(id, to, from))
	for _, i := range known.calls[:known.n] {
		if c := t.calls.at(i); requester == c.Callee.Addr || other == c.Caller.Addr {
			found.add(i)
		}
	}
	return found
}

// atCallee stands in the place of a tag where guessed looks for call c.
func (c *call) atCallee() uint64 { return c.Callee.Addr.Hash(c.id) }

// guessed notes the To tag of a request with the calls to the same callee whose
// caller has its From tag, wherever it comes from: where the answer with the same
// tag goes is for the sender to say, in Via.
func (t *Tracker) guessed(id uint64, p *packet.Packet, from, to uint64) {
	known, _ := t.dialogs.Get(dialogKey(id, from, p.Dst.Hash(id)))
	for _, i := range known.calls[:known.n] {
		if c := t.calls.at(i); c.tag(to) < 0 {
			c.guesses.add(to)
		}
	}
}

// findChallenged gives the call that was challenged and goes on under another
// From tag with m: some change it together with the credentials.
func (t *Tracker) findChallenged(p *packet.Packet, m *Message) int32 {
	if m.Method != INVITE || m.Status == 0 && len(m.To.Tag) > 0 {
		return none
	}
	i, ok := t.pairs.Get(t.exchange(p))
	if !ok {
		return none
	}
	c := t.calls.at(i)
	requester, other := ends(p, m)
	if c.phase != phaseChallenged || m.CSeq <= c.cseq || requester != c.Caller.Addr || other != c.Callee.Addr {
		return none
	}
	t.unlistDialogs(i)
	c.callerTag = t.text(m.From.Tag)
	c.tags, c.ntags, c.proofs, c.opened, c.lives = [4]uint64{}, 0, 0, 0, 0
	t.calls.rekey(i, place(c.id, requester, other, c.callerTag))
	c.crowded = !t.list(i, c.atCallee())
	return i
}

// tag gives the number of a tag of the callee's, -1 when it is none.
func (c *call) tag(tag uint64) int {
	for k, known := range c.tags[:c.ntags] {
		if known == tag {
			return k
		}
	}
	return -1
}

// fits says whether the tags of m are those of the dialog, as far as they are
// known. A response to a request with a made-up tag has that tag.
func (c *call) fits(t *Tracker, m *Message) bool {
	from, to := t.text(m.From.Tag), t.text(m.To.Tag)
	return c.ntags == 0 || from == c.callerTag && c.tag(to) >= 0 || to == c.callerTag && c.tag(from) >= 0
}

// keepTag notes a tag of the callee's in call i and gives its number, -1 when
// there is no room. status is that of the response that brought it.
func (t *Tracker) keepTag(i int32, tag uint64, status uint16) int {
	c := t.calls.at(i)
	k := c.tag(tag)
	switch {
	case k >= 0:
		return k
	case int(c.ntags) < len(c.tags):
		k = int(c.ntags)
		c.ntags++
	case status >= 200:
		k = len(c.tags) - 1 // of many forks, the one that answers
		t.unlistDialog(i, c.tags[k])
		c.proofs &^= 1 << k
		c.opened &^= 1 << k
		c.lives &^= 1 << k
	default:
		return -1
	}
	c.tags[k] = tag
	t.list(i, tag)
	return k
}

// list puts call i where findCalls looks for the callee's tag, or where guessed
// looks for atCallee, and says whether there was room.
func (t *Tracker) list(i int32, tag uint64) bool {
	c := t.calls.at(i)
	key := dialogKey(c.id, c.callerTag, tag)
	known, _ := t.dialogs.Ensure(key)
	if !known.add(i) {
		t.count.DialogsCrowded++
		return false
	}
	return true
}

// unlist takes call i out of everything that finds it.
func (t *Tracker) unlist(i int32) {
	t.unlistDialogs(i)
	pair := t.calls.at(i).pair
	if last, ok := t.pairs.Get(pair); ok && last == i {
		t.pairs.Delete(pair)
	}
}

func (t *Tracker) unlistDialogs(i int32) {
	c := t.calls.at(i)
	t.unlistDialog(i, c.atCallee())
	for _, tag := range c.tags[:c.ntags] {
		t.unlistDialog(i, tag)
	}
}

func (t *Tracker) unlistDialog(i int32, tag uint64) {
	c := t.calls.at(i)
	key := dialogKey(c.id, c.callerTag, tag)
	known := t.dialogs.At(key)
	if known == nil {
		return
	}
	if known.drop(i); known.n == 0 {
		t.dialogs.Delete(key)
	}
}
