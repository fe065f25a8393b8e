package heuristics

const (
	placeCalls = 5
	placeAfter = 10 * minute
)

// Categories of controller-place.
const (
	placeHome = iota
	placeHire
	placeAbroad
	placeHireAbroad
)

// controllerPlace reads where the far end is that most of the line's calls go
// over or its accounts live at, or its tunnel leads to, once a list of networks tells.
func controllerPlace() signal {
	return signal{
		id: "controller-place",
		static: func(p *profile, now int64) int {
			if p.tap.places == nil || p.counted < placeCalls && (len(p.accounts) == 0 || now-p.firstUp < placeAfter) {
				return none
			}
			w, _, ok := p.placeOf(roleTrunkPeer, roleRegistrar)
			if !ok {
				return none
			}
			return w.category()
		},
		detail: func(p *profile, _ []uint32) string {
			w, x, _ := p.placeOf(roleTrunkPeer, roleRegistrar)
			return "controller " + x.addr.String() + " is" + w.says()
		},
		unseen: func(p *profile) string {
			if p.tap.places == nil || p.counted < placeCalls {
				return ""
			}
			return "no list of networks names the line's controller: whether it is abroad or on a server for hire is not known"
		},
	}
}

// category is that of controller-place and talk-place.
func (w Place) category() int {
	switch {
	case w.Foreign && w.Hosting:
		return placeHireAbroad
	case w.Foreign:
		return placeAbroad
	case w.Hosting:
		return placeHire
	}
	return placeHome
}

// says puts it in words.
func (w Place) says() string {
	s := " in the country"
	if w.Foreign {
		s = " abroad"
		if w.Country != "" {
			s += " (" + w.Country + ")"
		}
	}
	if w.Hosting {
		s += ", among servers for hire"
	}
	return s
}

// placeOf tells where the far end is that most often has the roles given.
func (p *profile) placeOf(roles ...role) (w Place, most *peer, ok bool) {
	var n uint32
	for i := range p.peers {
		x := &p.peers[i]
		k := uint32(0)
		for _, r := range roles {
			k += x.roles[r]
		}
		if k > n || k == n && k > 0 && x.addr.Compare(most.addr) < 0 {
			n, most = k, x
		}
	}
	if most == nil || p.tap.places == nil {
		return w, most, false
	}
	w = p.tap.places.Of(most.addr)
	return w, most, w.Known
}
