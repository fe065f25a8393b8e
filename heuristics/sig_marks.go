package heuristics

import (
	"fmt"

	"simtrap/control"
)

// controlMarks is the first of the lesser signs that only gateways' makers are
// known to give: a prefix that never changes, names asked for in a row, SIP in Base64. It is
// asked only of lines that have shown no sound record, so it adds to
// control-record what that leaves open. It is never proof, and the makers'
// honest adapters run the same software.
func controlMarks() signal {
	return signal{
		id: "control-marks",
		seen: func(p *profile) (since, first int64, ok bool) {
			if p.firstControl() != 0 {
				return 0, 0, false
			}
			if first, _ = p.firstMark(); first == 0 && p.sealed() {
				return 0, 0, false
			}
			return p.firstUp, first, first != 0
		},
		detail: func(p *profile, _ []uint32) string {
			if first, what := p.firstMark(); first != 0 {
				return "a mark of a gateway's maker: " + what
			}
			return fmt.Sprintf("no mark of a gateway's maker in %s", duration(p.last-p.firstUp))
		},
		unseen: func(*profile) string { return "" },
	}
}

// marks says whether evidence of marks holds: both ends took part, or one
// cannot be seen.
func (t *tap) marks(e *control.Evidence) bool {
	return e.MarksAnswered > 0 || e.Marks > 0 && e.OneWay && !t.twoWay
}

// firstMark is when a mark that holds was first sent, and what it was; 0 for
// never.
func (p *profile) firstMark() (first int64, what string) {
	for _, e := range p.control {
		if t := p.tap.marked(e); t != 0 && (first == 0 || t < first) {
			first, what = t, e.Mark
		}
	}
	return first, what
}

// marked is when evidence of marks that holds began, 0 for evidence that does not.
func (t *tap) marked(e *control.Evidence) int64 {
	switch {
	case !t.marks(e):
		return 0
	case e.MarksAnswered > 0:
		return e.FirstMarkAnswered
	}
	return e.FirstMark
}
