package heuristics

import (
	"fmt"
	"slices"
	"strings"

	"simtrap/control"
	"simtrap/ident"
)

// Categories of message-fanout, in the order of its table.
const (
	textInMobile = iota
	textInKnown
	textInOther
	textOutNew
	textOutKnown
)

// messageFanout counts for whom short messages are: handed to the line by its
// server, as to a box that sends them by its cards, or sent by the line. See
// Lines.Request for which count.
func messageFanout() signal {
	return signal{
		id: "message-fanout",
		detail: func(_ *profile, n []uint32) string {
			var parts []string
			for i, what := range []string{"handed to the line for ever-new mobiles", "handed to it for numbers known before", "for other new numbers", "sent by it to new numbers", "sent by it to known ones"} {
				if n[i] > 0 {
					parts = append(parts, fmt.Sprintf("%d %s", n[i], what))
				}
			}
			return plural(sum(n), "short message") + ": " + strings.Join(parts, ", ")
		},
		unseen: func(*profile) string { return "" },
	}
}

// ControlText takes a short message that a gateway says, in its own protocol, to
// have sent. It counts where evidence of that protocol holds: then both ends
// are shown to take part.
func (l *Lines) ControlText(line ident.Line, server ident.Addr, target uint64, class ident.NumberClass, t int64) {
	p := l.find(line)
	if p == nil || !slices.ContainsFunc(p.control, func(e *control.Evidence) bool { return e.Peer == server && p.tap.counts(e) }) {
		return
	}
	p = l.evident(line, t)
	l.keep(p)
	p.traits.ownTexts++
	l.text(p, false, target, class)
	p.activate(t)
	l.touch(p)
	l.judgeIfDue(p)
}

// text counts a short message between the line and its server.
func (l *Lines) text(p *profile, up bool, target uint64, class ident.NumberClass) {
	t := p.traits
	if up {
		t.ownTexts++
	}
	// What is handed to a line proves nothing until the line has sent messages
	// that its server took: telephones say 200 to whatever comes.
	if target == 0 || !up && t.ownTexts == 0 {
		return
	}
	fresh := p.own[target] == 0 && t.texts.add(target, maxCalled)
	category := textOutKnown
	switch {
	case up && fresh:
		category = textOutNew
	case up:
	case !fresh:
		category = textInKnown
	case class == ident.NumberMobile:
		category = textInMobile
	default:
		category = textInOther
	}
	t.textsSeen++
	l.count(p, "message-fanout", category)
}
