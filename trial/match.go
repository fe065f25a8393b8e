package trial

import (
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
)

// Match counts what a finding names of what there is to name.
type Match struct {
	Found int `json:"found"` // named by the finding
	Right int `json:"right"` // of these, true
	True  int `json:"true"`  // there were
	Seen  int `json:"seen"`  // of these, named
}

// Add puts two counts together.
func (m Match) Add(n Match) Match {
	return Match{m.Found + n.Found, m.Right + n.Right, m.True + n.True, m.Seen + n.Seen}
}

// Controllers sets the far ends that the finding names beside the true ones, by
// address. One address counts once, whatever its roles.
func (l *Line) Controllers() Match {
	named := make(map[string]bool)
	if l.Finding != nil {
		for _, c := range l.Finding.Controllers {
			named[c.Addr.String()] = true
		}
	}
	known := make(map[string]bool)
	for _, c := range l.Truth.Controllers {
		known[c.Addr] = true
	}
	m := Match{Found: len(named), True: len(known)}
	for a := range known {
		if named[a] {
			m.Right++
		}
	}
	m.Seen = m.Right
	return m
}

// identities are those of one card by which it is told; what is not known is
// zero. Two are compared, never printed.
type identities struct {
	imsi  ident.IMSI
	imei  ident.IMEI
	iccid ident.ICCID
}

func trueIdentities(c lab.Card) (out identities) {
	out.imsi, _ = ident.NewIMSI([]byte(c.IMSI))
	out.imei, _ = ident.NewIMEI([]byte(c.IMEI))
	out.iccid, _ = ident.NewICCID([]byte(c.ICCID))
	return out
}

// of says whether all that was seen together is of the card t.
func (seen identities) of(t identities) bool {
	return (seen.imsi.IsZero() || seen.imsi == t.imsi) && (seen.imei.IsZero() || seen.imei == t.imei) && (seen.iccid.IsZero() || seen.iccid == t.iccid)
}

// Cards sets the cards of the finding beside the true ones. One is right when
// all its identities belong to one true card: identities of two cards put
// together are wrong. An IMEI alone is a modem, perhaps an empty one, and claims
// no card.
func (l *Line) Cards() Match {
	truths := make([]identities, len(l.Truth.Cards))
	for i, c := range l.Truth.Cards {
		truths[i] = trueIdentities(c)
	}
	m := Match{True: len(truths)}
	var cards []heuristics.Card
	if l.Finding != nil {
		cards = l.Finding.Cards
	}
	seen := make([]bool, len(truths))
	for _, c := range cards {
		got := identities{c.IMSI, c.IMEI, c.ICCID}
		if got.imsi.IsZero() && got.iccid.IsZero() {
			continue
		}
		m.Found++
		right := false
		for i, t := range truths {
			if got.of(t) {
				right, seen[i] = true, true
			}
		}
		if right {
			m.Right++
		}
	}
	for _, s := range seen {
		if s {
			m.Seen++
		}
	}
	return m
}
