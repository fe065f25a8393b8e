package heuristics

import (
	"cmp"
	"math"

	"simtrap/hidden/talk"
	"simtrap/hidden/tunnel"
	"simtrap/ident"
	"simtrap/rtp"
)

// tunnelled is what calls in flows of which nothing can be read have told of a
// line.
type tunnelled struct {
	windows int   // with watchTunnelCalls or more at once, tunnelApart from one another
	last    int64 // start of the newest of them, 0 for none
	counted int64 // start of the newest window that counted, 0 for none
	told    int64 // and of the newest that told whose sound came first
	talk    int64 // ns of all calls together, by the lower bound
	peak    int   // most calls at once in any flow, as counted
	whole   int   // windows that told whose sound came first
	// flows are those taken for tunnels, and the start of the newest window with
	// calls in each.
	flows map[tunnelFlow]int64
}

// tunnelFlow is a flow from the line's side.
type tunnelFlow struct {
	far           ident.Addr
	port, farPort uint16
}

// maxTunnelFlows bounds those of a line; the one without calls for longest makes
// room.
const maxTunnelFlows = 16

// note keeps in mind that a flow is a tunnel.
func (t *tunnelled) note(f tunnelFlow, at int64) {
	if t.flows == nil {
		t.flows = make(map[tunnelFlow]int64)
	}
	if _, ok := t.flows[f]; !ok && len(t.flows) >= maxTunnelFlows {
		var oldest tunnelFlow
		least := int64(math.MaxInt64)
		for x, last := range t.flows {
			if cmp.Or(cmp.Compare(last, least), x.compare(oldest)) < 0 {
				oldest, least = x, last
			}
		}
		delete(t.flows, oldest)
	}
	t.flows[f] = max(t.flows[f], at)
}

func (x tunnelFlow) compare(o tunnelFlow) int {
	return cmp.Or(x.far.Compare(o.far), cmp.Compare(x.port, o.port), cmp.Compare(x.farPort, o.farPort))
}

const (
	// tunnelApart is how far, ns, windows must lie apart to count as several: a
	// call lasts for a minute or so.
	tunnelApart = minute
	// watchTunnelCalls, at once in each of watchFlows such windows, and
	// watchTunnelTalk of all calls together: eight calls of two and a half minutes.
	watchTunnelCalls = 3
	watchTunnelTalk  = 20 * minute
	// tunnelRest is how far, ns, windows lie apart that count in the score: those of
	// one call say the same thing again, and urns take what they count for
	// independent.
	tunnelRest = 2 * minute
)

// enough says whether tunnels have shown as many calls as a watch asks for.
func (t *tunnelled) enough() bool { return t.windows >= watchFlows && t.talk >= watchTunnelTalk }

// Tunnel takes what was counted of calls in one window of a flow of which nothing
// can be read, given from the line's side; proto is the flow's of IP. Only calls
// count, and not those over TCP, whose number is not known (docs/hidden.md), nor
// those of a flow in which the line has sent nothing of its own accord or answers
// on a service's port: whoever asks a service has as many packets go up as he
// sends down, or more where answers come in several.
func (l *Lines) Tunnel(line ident.Line, f rtp.Flow, proto uint8, c *tunnel.Count) {
	const tcp = 6
	if c.Kind != tunnel.Calls || proto == tcp || !c.Own || talk.Answers(f.SrcPort) {
		return
	}
	p := l.evident(line, c.End)
	if c.Start < p.tenantSince {
		return // it began in other hands
	}
	l.tap.twoWay = true // calls go both ways, or they are none
	if p.firstUp == 0 {
		p.firstUp = c.Start
	}
	t := &p.tunnel
	if t.counted == 0 || c.Start-t.counted >= tunnelRest {
		t.counted = c.Start
		l.count(p, "tunnel-calls", tunnelBin(c))
	}
	if category := tunnelEarly(c); category != none && (t.told == 0 || c.Start-t.told >= tunnelRest) {
		t.told = c.Start
		l.count(p, "tunnel-early", category)
		t.whole++
	}
	t.talk += int64(c.Low * float64(c.End-c.Start))
	t.peak = max(t.peak, int(math.Round(min(c.Peak, maxOpen))))
	if atOnce(c) >= watchTunnelCalls && (t.last == 0 || c.Start-t.last >= tunnelApart) {
		t.windows++
		t.last = c.Start
		p.saw(f.Dst, roleVPNPeer)
		t.note(tunnelFlow{f.Dst, f.SrcPort, f.DstPort}, c.Start)
	}
	p.activate(c.End)
	l.judgeIfDue(p)
}

// atOnce is how many calls were up at once at least, at the window's fullest.
func atOnce(c *tunnel.Count) float64 {
	if c.Mean == 0 {
		return 0
	}
	return c.Peak * c.Low / c.Mean
}
