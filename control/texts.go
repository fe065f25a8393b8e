package control

import "simtrap/ident"

// Short messages that a server hands to a gateway one by one. The number stands
// in what hands a message over, and what became of it in an answer that names
// the message alone: so that only those are counted which the gateway says it
// sent, the number is kept until then.

// textStep is what a record says of a short message.
type textStep uint8

const (
	textHanded textStep = iota + 1 // the server hands it over
	textWaits                      // the gateway asks for time
	textSent                       // the gateway has sent it
	textFailed                     // the gateway could not
)

const (
	maxTexts   = 4096
	textWithin = int64(90_000_000_000) // a session lasts this long, by the maker's document
)

// textKey is a message by its number on a flow, and the end that hands it over.
type textKey struct {
	flow flowKey
	from end
	text uint64
}

type handed struct {
	to   ident.Number
	time int64
}

// follow notes what r says of a short message, and fills in whom it was for
// where r says that it was sent. A message counts once, however often it is
// handed over or said to be sent.
func (s *Sessions) follow(r *Record, key flowKey, from end) {
	k := textKey{key, 1 - from, r.text}
	switch r.step {
	case textHanded:
		k.from = from
		s.texts.remove(k)
		if _, full := s.texts.put(k, handed{r.Recipient, r.Time}); full {
			s.stats.Texts++
		}
	case textWaits:
		if h, ok := s.texts.remove(k); ok && r.Time-h.time <= textWithin {
			s.texts.put(k, handed{h.to, r.Time})
		}
	case textSent:
		if h, ok := s.texts.remove(k); ok && r.Time-h.time <= textWithin {
			r.Sent = h.to
		}
	case textFailed:
		s.texts.remove(k)
	}
}
