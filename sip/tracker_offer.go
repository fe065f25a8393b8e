package sip

import "simtrap/ident"

// offers is what a call remembers of offers and answers (RFC 3264), by side:
// 0 of the caller, 1 of the callee.
type offers struct {
	known   [2]bool   // it has described its media
	held    [2]bool   // its last description puts the other end on hold
	video   [2]bool   // its last description has a video line
	offered [2]uint32 // CSeq of its last request with a description
	bare    [2]uint32 // and of its last one without: the response brings the offer
	undo    *[2]undo  // nil until one changes what was agreed
}

// undo is how things stood before an offer inside the dialog, for the case that
// the other end refuses it (RFC 3261 section 14.1), or knows no such dialog.
type undo struct {
	cseq  uint32 // of the request with the offer, 0 none
	held  bool
	hold  bool // the offer was counted in Holds
	media Media
	fax   Socket
}

func (c *call) mediaOf(s Side) *Media {
	if s == SideCallee {
		return &c.CalleeMedia
	}
	return &c.CallerMedia
}

// describe keeps offer and answer: what the sender wants to receive.
func (c *call) describe(m *Message, sender Side) {
	k := sender - SideCaller
	o := &c.offers
	changes := m.Method == INVITE || m.Method == UPDATE
	if changes && m.Status >= 300 {
		c.refused(m, other(sender))
		return
	}
	if !m.SDP.Present {
		if changes && m.Status == 0 {
			o.bare[k] = m.CSeq
		}
		return
	}
	inside := c.Answer != 0 || c.Midway
	offer := changes && m.Status == 0 || m.Status != 0 && o.bare[1-k] == m.CSeq && o.offered[1-k] != m.CSeq
	if changes && m.Status == 0 {
		if len(m.To.Tag) > 0 && (o.undo == nil || o.undo[k].cseq != m.CSeq) {
			if o.undo == nil {
				o.undo = new([2]undo)
			}
			o.undo[k] = undo{cseq: m.CSeq, held: o.held[k], media: *c.mediaOf(sender), fax: c.Fax[k]}
		}
		o.offered[k] = m.CSeq
	}
	if m.SDP.Image.Port != 0 && c.Fax[k] != m.SDP.Image {
		c.Fax[k] = m.SDP.Image
		c.tell(CallMedia)
	}
	o.video[k] = m.SDP.Video
	c.Video = c.Video || o.video[0] && o.video[1]
	if m.SDP.N <= 0 {
		return
	}
	told := &m.SDP.Audio[0]
	if told.Port == 0 && m.SDP.N > 1 && m.SDP.Audio[1].Port != 0 {
		told = &m.SDP.Audio[1]
	}
	if offer {
		held := told.holds(m.SDP.ICE)
		if held && !o.held[k] && o.known[k] && inside {
			c.Holds, c.HoldsBy[k] = increased(c.Holds), increased(c.HoldsBy[k])
			if m.Status == 0 && o.undo != nil && o.undo[k].cseq == m.CSeq {
				o.undo[k].hold = true
			}
		}
		o.held[k] = held
	}
	o.known[k] = true
	c.keepMedia(told, sender)
}

// keepMedia takes what a side told.
func (c *call) keepMedia(told *Media, s Side) {
	kept := c.mediaOf(s)
	next := *told
	if next.Addr == unspecified {
		// On hold as of old, or told by candidates: it says where nothing is to
		// go, and the end listens where it did.
		next.Addr = kept.Addr
	}
	if kept.Addr != next.Addr || kept.Port != next.Port || kept.Secure != next.Secure || kept.ICE != next.ICE || kept.Formats != next.Formats {
		c.tell(CallMedia)
	}
	*kept = next
}

// refused takes back what the request that m refuses offered.
func (c *call) refused(m *Message, offerer Side) {
	if c.offers.undo == nil {
		return
	}
	u := &c.offers.undo[offerer-SideCaller]
	if u.cseq != m.CSeq || u.cseq == 0 {
		return
	}
	if k := offerer - SideCaller; u.hold && c.HoldsBy[k] > 0 && c.Holds > 0 {
		c.Holds--
		c.HoldsBy[k]--
	}
	c.offers.held[offerer-SideCaller] = u.held
	if fax := &c.Fax[offerer-SideCaller]; *fax != u.fax {
		*fax = u.fax
		c.tell(CallMedia)
	}
	c.keepMedia(&u.media, offerer)
	u.cseq = 0
}

// unspecified is 0.0.0.0.
var unspecified = ident.AddrFrom4(make([]byte, 4))

// holds says whether a description puts the other end on hold: it is not to
// send (RFC 3264 section 8.4), or nowhere (RFC 2543 section B.5). Where ICE is
// used, 0.0.0.0 only says that candidates tell the address.
func (m *Media) holds(ice bool) bool {
	return m.Port != 0 && (m.Direction == SendOnly || m.Direction == Inactive || m.Addr == unspecified && !ice)
}
