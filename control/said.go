package control

// saidPlaces is how many messages of one end a said tells apart at most.
const saidPlaces = 128

// said remembers what one end of a flow sent during the last echoWithin. Where
// two messages meet in a place it remembers that there were several, and takes
// any other that belongs there for one of them: it never forgets too soon. Its
// zero value is empty.
type said struct{ places *[saidPlaces]saying }

type saying struct {
	time   int64
	digest uint64 // 0: several
	used   bool
}

func (s *said) add(digest uint64, now int64) {
	if s.places == nil {
		s.places = new([saidPlaces]saying)
	}
	p := &s.places[digest%saidPlaces]
	if p.recent(now) && p.digest != digest {
		digest = 0
	}
	*p = saying{max(now, p.time), digest, true}
}

func (s *said) has(digest uint64, now int64) bool {
	if s.places == nil {
		return false
	}
	p := &s.places[digest%saidPlaces]
	return p.recent(now) && (p.digest == 0 || p.digest == digest)
}

func (p *saying) recent(now int64) bool { return p.used && now-p.time <= echoWithin }
