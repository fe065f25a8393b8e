// Package show holds what a line and its finding look like on a page: its ledger as a
// waterfall, its calls by channel, its clocks, stacks, controllers and cards. The page
// of a replay, the report of a bundle and the pages of a hub are made with the same
// templates, each from what it has.
//
// Numbers are those of this package. Every text goes through the templates, which
// escape it.
package show

import (
	"embed"
	"fmt"
	"html/template"
	"strings"
)

//go:embed templates/*.html
var files embed.FS

// Words is how pages speak. All must be set.
type Words struct {
	// Text translates English words or a sentence.
	Text func(string) string
	// Mark gives the language's own for ", ", ": " and ". ".
	Mark func(string) string
	// Plain takes out of a text what has no shape.
	Plain func(string) string
	// Count writes a number.
	Count func(int) string
}

// maxText is how many characters of a text that others chose are shown.
const maxText = 400

// Cut makes any text fit for one line of a page; a template escapes it besides.
func (w Words) Cut(s string) string {
	if len(s) > 4*maxText {
		s = strings.ToValidUTF8(s[:4*maxText], "")
	}
	s = w.Plain(s)
	n := 0
	for i := range s {
		if n++; n > maxText {
			return s[:i] + "…"
		}
	}
	return s
}

// Add gives t the templates of this package and the functions that they call: tr,
// tell, plain, mark and amount. It is to be called before t has templates that use
// either.
func Add(t *template.Template, w Words) (*template.Template, error) {
	t = t.Funcs(template.FuncMap{
		"tr":     w.Text,
		"tell":   func(s string) string { return w.Cut(w.Text(s)) },
		"plain":  w.Cut,
		"mark":   w.Mark,
		"amount": w.Count,
		"part":   func(l *Line, id, name string) Part { return Part{l.ID + id, name, l.Under} },
		"entry":  func(name, text string) Fact { return Fact{Name: name, Text: text} },
	})
	t, err := t.ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("templates of a line: %w", err)
	}
	return t, nil
}

// Templates gives the text of all templates, for those who look for words in them.
func Templates() (string, error) {
	list, err := files.ReadDir("templates")
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, f := range list {
		text, err := files.ReadFile("templates/" + f.Name())
		if err != nil {
			return "", err
		}
		all.Write(text)
	}
	return all.String(), nil
}

// Line is what is told of one line and one finding of it.
type Line struct {
	// ID begins the ids of everything told; letters and digits, one of each on a page.
	ID string
	// Under says that the line has a heading of its own on the page, below which its
	// parts stand.
	Under bool
	// Full says also what there is none of.
	Full bool

	Claim       string // what the verdict claims, in English
	Facts       []Fact
	Ledger      *Ledger
	Calls       *Drawing // by channel, or when it was active
	Clocks      *Drawing
	Stacks      []Fact
	Controllers []Controller
	Cards       []Card
	Unseen      []string // English sentences

	// How many there are beside those of the lists.
	MoreControllers, MoreCards, MoreUnseen int
}

// Part is the heading of a part of a line.
type Part struct {
	ID, Name string
	Under    bool
}

// Fact is one thing that is known and its name. Either its Text or its Links tell it;
// Text is in the language of the page already.
type Fact struct {
	Name  string // English
	Text  string
	Code  bool // the text is an identifier
	Links []Link
}

// Link leads to another page; without an address it is its text alone.
type Link struct{ Text, Address string }

// Controller is a far end that the line depends on.
type Controller struct {
	Link
	Role string // English
}

// Card has the pseudonyms of a card and where they lead: IMSI, IMEI, ICCID, number.
type Card [4]Link

// Ledger is a waterfall: rows of reasons, each with a cell for every class that it is
// held against.
type Ledger struct {
	Against []string // classes, English
	Rows    []Row
}

// Row is one reason, the rest, or the whole.
type Row struct {
	Words string // in the language of the page
	Whole bool
	Cells []Cell
}

// Cell is what a reason adds against one class.
type Cell struct {
	Against, Value string
	Bar            *Bar // nil for what is not known
}

// Bar is drawn from X on, in thousandths of its cell; Zero is where nothing stands.
type Bar struct {
	Zero, X, Width int
	Class          string // for, against, rest or all
}
