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
// over or its accounts live at, once a list of networks tells.
func controllerPlace() signal {
	return signal{
		id: "controller-place",
		static: func(p *profile, now int64) int {
			if p.tap.places == nil || p.counted < placeCalls && (len(p.accounts) == 0 || now-p.firstUp < placeAfter) {
				return none
			}
			w, _, ok := p.place()
			switch {
			case !ok:
				return none
			case w.Foreign && w.Hosting:
				return placeHireAbroad
			case w.Foreign:
				return placeAbroad
			case w.Hosting:
				return placeHire
			}
			return placeHome
		},
		detail: func(p *profile, _ []uint32) string {
			w, x, _ := p.place()
			s := "controller " + x.addr.String()
			switch {
			case w.Foreign:
				s += " is abroad"
				if w.Country != "" {
					s += " (" + w.Country + ")"
				}
			default:
				s += " is in the country"
			}
			if w.Hosting {
				s += ", among servers for hire"
			}
			return s
		},
		unseen: func(p *profile) string {
			if p.tap.places == nil || p.counted < placeCalls {
				return ""
			}
			return "no list of networks names the line's controller: whether it is abroad or on a server for hire is not known"
		},
	}
}

// place tells where the far end is that most calls and accounts are with.
func (p *profile) place() (w Place, most *peer, ok bool) {
	var n uint32
	for _, x := range p.peers {
		k := x.roles[roleTrunkPeer] + x.roles[roleRegistrar]
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
