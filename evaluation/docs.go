package evaluation

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
)

// Docs is what the documentation shows of figures. What is nil is left out, and
// said to be.
type Docs struct {
	Report     *Report
	Population *Population
	Promise    *PromiseReport
}

// DocFile is one file of the documentation.
type DocFile struct {
	Name    string
	Content []byte
}

// DocTables is the name of the file that links all others.
const DocTables = "tables.md"

// Files makes the tables and, behind them, the pictures that they link. The same
// figures give the same bytes.
func (d *Docs) Files() ([]DocFile, error) {
	if d.Report == nil {
		return nil, fmt.Errorf("figures: none of eval")
	}
	shown := d.pictures()
	var b bytes.Buffer
	m := &markdown{w: bufio.NewWriter(&b)}
	for _, s := range shown {
		m.pictures = append(m.pictures, s.name)
	}
	m.docs(d)
	if err := m.w.Flush(); err != nil {
		return nil, err
	}
	out := []DocFile{{DocTables, b.Bytes()}}
	for _, s := range shown {
		content, err := s.file()
		if err != nil {
			return nil, err
		}
		out = append(out, DocFile{s.name, content})
	}
	return out, nil
}

// shot is a picture that becomes a file.
type shot struct {
	name string
	draw func(*page)
}

func (s shot) file() ([]byte, error) {
	var b bytes.Buffer
	p := &page{w: bufio.NewWriter(&b), alone: true}
	s.draw(p)
	err := p.w.Flush()
	return b.Bytes(), err
}

// pictures lists those that there is anything to draw of.
func (d *Docs) pictures() (out []shot) {
	r := d.Report
	add := func(any bool, name string, draw func(*page)) {
		if any {
			out = append(out, shot{name, draw})
		}
	}
	rows := boxRows(&r.Variants[0])
	add(len(rows) > 0, "recall.svg", func(p *page) { p.rows("", recallTitle, rows, 1) })
	add(len(r.Curves) > 0, "minutes.svg", func(p *page) { p.panels(r.Curves, "minutes", "") })
	add(len(r.Curves) > 0, "calls.svg", func(p *page) { p.panels(r.Curves, "calls", "") })
	add(len(r.Margins) > 0, "margins.svg", func(p *page) { p.strips(r.Margins) })
	add(len(r.Reliability) > 0, "reliability.svg", func(p *page) { p.boundPictures(r.Reliability) })
	for i := range r.Ablations {
		a := &r.Ablations[i]
		add(len(a.Rows) > 0 && len(a.Classes) > 0, ablationName(i), func(p *page) { p.heat(a, "Families left out, bar of "+barName(a)) })
	}
	return out
}

func ablationName(i int) string { return fmt.Sprintf("ablation-%d.svg", i+1) }

// barName writes the bar of an ablation.
func barName(a *Ablation) string {
	for _, v := range verdicts() {
		if b := bar(v); b.s == a.Score && b.m == a.Margin {
			return fmt.Sprintf("%s: S ≥ %g, M ≥ %g", v, a.Score, a.Margin)
		}
	}
	return strings.TrimSpace(fmt.Sprintf("S ≥ %g, M ≥ %g", a.Score, a.Margin))
}
