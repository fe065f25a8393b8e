package pages

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"simtrap/hub/query"
)

// Bounds of a graph; what is left out is counted beside it, and stands in lists.
const (
	maxGraphBoxes       = 24
	maxGraphLines       = 60
	maxGraphControllers = 16
	maxGraphCards       = 40
	maxGraphLinks       = 120 // between lines
	maxLabels           = 12  // links whose reason is written, not only shown on them
)

// kind is what a node of a graph stands for; its number is the column it is drawn in.
type kind uint8

const (
	aController kind = iota
	aBox
	aLine
	aCard
	kinds
)

func (k kind) class() string { return [...]string{"controller", "box", "line", "card"}[k] }

// node is one of a graph.
type node struct {
	Kind    kind
	ID      string
	Name    string // plain
	Role    string // of a controller, as it is reported
	Address string // of its page

	row int
	at  float64 // where its neighbours would have it
}

// edge joins two nodes, for a reason.
type edge struct {
	From, To int // of nodes
	Reason   string
	Nats     float64 // 0 where it has none
	Hand     bool    // for one hand, not for one box
}

// graph is lines, boxes, controllers and cards, and what joins them.
type graph struct {
	nodes []node
	edges []edge
	index map[string]int
	Left  map[string]int // what there was no room for, by name
}

func newGraph() *graph { return &graph{index: make(map[string]int), Left: make(map[string]int)} }

var most = [kinds]int{maxGraphControllers, maxGraphBoxes, maxGraphLines, maxGraphCards}

// add gives a node, new or there already; -1 when there is no room.
func (g *graph) add(k kind, id, name, address string) int {
	key := strconv.Itoa(int(k)) + id
	if i, ok := g.index[key]; ok {
		return i
	}
	n := 0
	for _, x := range g.nodes {
		if x.Kind == k {
			n++
		}
	}
	if n >= most[k] {
		g.index[key] = -1
		g.Left[[...]string{"controllers", "boxes", "lines", "cards"}[k]]++
		return -1
	}
	g.nodes = append(g.nodes, node{Kind: k, ID: id, Name: name, Address: address})
	g.index[key] = len(g.nodes) - 1
	return len(g.nodes) - 1
}

// join adds an edge; one that is there already is left.
func (g *graph) join(e edge) {
	from, to, reason := e.From, e.To, e.Reason
	if from < 0 || to < 0 || from == to {
		return
	}
	if slices.ContainsFunc(g.edges, func(e edge) bool {
		return e.Reason == reason && (e.From == from && e.To == to || e.From == to && e.To == from)
	}) {
		return
	}
	g.edges = append(g.edges, e)
}

// layout gives each node its row, the same for the same graph: columns by kind, and in
// each the order that its neighbours have, so that few edges cross.
func (g *graph) layout() (rows int) {
	columns := [kinds][]int{}
	order := make([]int, len(g.nodes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(g.nodes[a].ID, g.nodes[b].ID) })
	for _, i := range order {
		columns[g.nodes[i].Kind] = append(columns[g.nodes[i].Kind], i)
	}
	for _, c := range columns {
		for row, i := range c {
			g.nodes[i].row = row
		}
		rows = max(rows, len(c))
	}
	beside := make([][]int, len(g.nodes))
	for _, e := range g.edges {
		if g.nodes[e.From].Kind != g.nodes[e.To].Kind {
			beside[e.From] = append(beside[e.From], e.To)
			beside[e.To] = append(beside[e.To], e.From)
		}
	}
	for range 6 {
		for _, c := range columns {
			for _, i := range c {
				n := &g.nodes[i]
				n.at = float64(n.row)
				if len(beside[i]) == 0 {
					continue
				}
				sum := 0.0
				for _, j := range beside[i] {
					// In shares of the column: columns are of several lengths.
					sum += (float64(g.nodes[j].row) + 0.5) / float64(len(columns[g.nodes[j].Kind]))
				}
				n.at = sum / float64(len(beside[i])) * float64(len(c))
			}
			slices.SortStableFunc(c, func(a, b int) int { return cmp.Compare(g.nodes[a].at, g.nodes[b].at) })
			for row, i := range c {
				g.nodes[i].row = row
			}
		}
	}
	return rows
}

// Sizes of a graph, in units of its viewBox.
const (
	graphWidth  = 1240
	graphMargin = 24
	graphRow    = 44
)

// draw gives the picture. The table of its edges says the same.
func (k *look) draw(g *graph) template.HTML {
	if len(g.nodes) == 0 {
		return ""
	}
	rows := g.layout()
	height := rows*graphRow + 2*graphMargin + 20
	used := [kinds]int{}
	for _, n := range g.nodes {
		used[n.Kind]++
	}
	x := func(k kind) int { return [...]int{210, 470, 740, 1060}[k] }
	y := func(n node) int {
		return graphMargin + 30 + int((float64(n.row)+0.5)/float64(used[n.Kind])*float64(rows*graphRow))
	}
	e := template.HTMLEscapeString
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="graph" viewBox="0 0 %d %d" aria-labelledby="g1 g2"><title id="g1">%s</title><desc id="g2">%s</desc>`, graphWidth, height, e(k.parts.Text("Graph")),
		e(k.parts.Text(fmt.Sprintf("%s, %s, %s, %s", counted(used[aController], "controller"), counted(used[aBox], "box node"), counted(used[aLine], "line"), counted(used[aCard], "card")))))
	for kd, name := range []string{"Controllers", "Boxes", "Lines", "Cards"} {
		if used[kd] > 0 {
			fmt.Fprintf(&b, `<text x="%d" y="20" text-anchor="middle">%s</text>`, x(kind(kd)), e(k.parts.Text(name)))
		}
	}
	// Edges of one column are links between lines: their words are written, those of
	// one pair beside each other, and all others show where the pointer rests.
	type label struct {
		x, y int
		text string
	}
	var labels []label
	type pair struct {
		from, to int
		hand     bool
	}
	pairs := make(map[pair][]string)
	var order []pair
	for _, ed := range g.edges {
		words := k.tell(ed.Reason)
		if ed.Nats != 0 {
			words += fmt.Sprintf(" (%+.1f)", ed.Nats)
		}
		key := pair{ed.From, ed.To, ed.Hand}
		if a, z := g.nodes[ed.From], g.nodes[ed.To]; a.Kind > z.Kind || a.Kind == z.Kind && a.row > z.row {
			key = pair{ed.To, ed.From, ed.Hand}
		}
		if pairs[key] == nil {
			order = append(order, key)
		}
		pairs[key] = append(pairs[key], words)
	}
	for _, key := range order {
		from, to, words := g.nodes[key.from], g.nodes[key.to], strings.Join(pairs[key], "; ")
		x1, y1, x2, y2 := x(from.Kind), y(from), x(to.Kind), y(to)
		if from.Kind != to.Kind {
			class := "edge"
			if from.Kind == aBox && to.Kind == aLine {
				class = "edge weak" // that it was seen there
			}
			fmt.Fprintf(&b, `<path class="%s" d="M%d %dC%d %d %d %d %d %d"><title>%s</title></path>`, class, x1, y1, (x1+x2)/2, y1, (x1+x2)/2, y2, x2, y2, e(words))
			continue
		}
		// An arc to the right of the column.
		bend, class := 40+min((y2-y1)/4, 120), "edge link"
		if key.hand {
			bend, class = bend+30, "edge hand"
		}
		fmt.Fprintf(&b, `<path class="%s" d="M%d %dC%d %d %d %d %d %d"><title>%s</title></path>`, class, x1, y1, x1+bend, y1, x2+bend, y2, x2, y2, e(words))
		if len(labels) < maxLabels {
			labels = append(labels, label{x1 + bend*3/4 + 6, (y1+y2)/2 + 4, cut(words, 60)})
		}
	}
	for _, n := range g.nodes {
		name := cut(k.node(n), 26)
		anchor, dx := "middle", 0
		switch n.Kind {
		case aController:
			anchor, dx = "end", -14
		case aCard:
			anchor, dx = "start", 14
		}
		dy := 4
		switch n.Kind {
		case aBox:
			dy = -11
		case aLine: // its links lie to the right
			anchor, dx, dy = "end", -4, -10
		}
		fmt.Fprintf(&b, `<a href="%s"><circle class="node %s" cx="%d" cy="%d" r="8"/><text x="%d" y="%d" text-anchor="%s">%s</text></a>`,
			e(n.Address), n.Kind.class(), x(n.Kind), y(n), x(n.Kind)+dx, y(n)+dy, anchor, e(name))
	}
	slices.SortStableFunc(labels, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	for i := range labels {
		l := &labels[i]
		if i > 0 {
			l.y = max(l.y, labels[i-1].y+15) // not on the one above
		}
		fmt.Fprintf(&b, `<text class="reason" x="%d" y="%d">%s</text>`, l.x, l.y, e(l.text))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// node is what stands beside a node.
func (k *look) node(n node) string {
	switch {
	case n.Kind == aBox:
		return k.tell("box " + n.Name)
	case n.Role != "":
		return plain(n.Name) + " " + k.tell(n.Role)
	}
	return plain(n.Name)
}

// cut shortens a text to n characters.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// edgeRow is an edge as the table has it.
type edgeRow struct {
	From, To node
	edge
}

func (g *graph) table() []edgeRow {
	var out []edgeRow
	for _, e := range g.edges {
		out = append(out, edgeRow{g.nodes[e.From], g.nodes[e.To], e})
	}
	return out
}

// KindName is what a node stands for.
func (n node) KindName() string { return [...]string{"controller", "box", "line", "card"}[n.Kind] }

// graphOf makes the graph of boxes, of findings in them, and of what links lines.
func graphOf(boxes []string, findings []findingRow, links []query.Link) *graph {
	g := newGraph()
	boxNode := func(id string) int { return g.add(aBox, id, short(id), "/boxes/"+id) }
	lineNode := func(id, name string) int {
		if name != "" {
			name += " "
		}
		return g.add(aLine, id, name+short(id), "/lines/"+id)
	}
	for _, id := range boxes {
		boxNode(id)
	}
	// How many lines each card and controller is on: those of several tell most.
	on := make(map[string]map[string]bool)
	count := func(key, line string) {
		if on[key] == nil {
			on[key] = make(map[string]bool)
		}
		on[key][line] = true
	}
	type seen struct{ key, name, box, reason string }
	var cards, controllers []seen
	for _, f := range findings {
		told, box := f.GetFinding(), f.GetBoxId()
		if f.LineID == "" || box == "" {
			continue
		}
		g.join(edge{From: boxNode(box), To: lineNode(f.LineID, told.GetLine()), Reason: "seen on"})
		for _, c := range told.GetCards() {
			name := cmp.Or(c.GetImsi(), c.GetIccid())
			if name == "" {
				continue
			}
			count(name, f.LineID)
			cards = append(cards, seen{name, name, f.LineID, "the card was seen there"})
		}
		for _, c := range told.GetControllers() {
			key := c.GetAddr() + "/" + c.GetRole()
			count(key, f.LineID)
			controllers = append(controllers, seen{key, c.GetAddr(), box, c.GetRole()})
		}
	}
	busiest := func(a, b seen) int { return cmp.Compare(len(on[b.key]), len(on[a.key])) }
	slices.SortStableFunc(controllers, busiest)
	slices.SortStableFunc(cards, busiest)
	for _, c := range controllers {
		addr, role, _ := strings.Cut(c.key, "/")
		from := g.add(aController, c.key, c.name, controllerPath(addr, role))
		if from >= 0 {
			g.nodes[from].Role = role
		}
		g.join(edge{From: from, To: boxNode(c.box), Reason: c.reason})
	}
	for _, c := range cards {
		g.join(edge{From: lineNode(c.box, ""), To: g.add(aCard, c.key, c.name, "/findings?card="+template.URLQueryEscaper(c.name)), Reason: c.reason})
	}
	slices.SortStableFunc(links, func(a, b query.Link) int { return cmp.Compare(b.Nats, a.Nats) })
	for i, l := range links {
		if i >= maxGraphLinks {
			g.Left["links"] = len(links) - maxGraphLinks
			break
		}
		g.join(edge{lineNode(l.From, ""), lineNode(l.To, ""), cmp.Or(l.Reason, linkName(l.Kind)), l.Nats, l.Hand})
	}
	return g
}
