package evaluation

import (
	"encoding/json"
	"io"
	"time"

	"simtrap/trial"
)

// Report is everything that was measured. Written as JSON it is the same for the
// same code, plan and date, byte for byte.
type Report struct {
	Made      time.Time `json:"made"`
	Version   string    `json:"version"`
	Catalogue string    `json:"catalogue"` // hash of the tables
	Draws     int       `json:"draws"`     // of each scenario
	FirstSeed uint64    `json:"first_seed"`
	LastSeed  uint64    `json:"last_seed"`
	Captures  int       `json:"captures"`
	Lines     int       `json:"lines"`

	Variants []Figures `json:"variants"` // the first sees everything

	// Of the first variant alone.
	Margins     []Spread      `json:"margins"`
	Curves      []Curve       `json:"curves"`
	Reliability []Reliability `json:"reliability"`
	Histogram   []Bin         `json:"histogram"`
	Ablations   []Ablation    `json:"ablations"`
	Hiding      []Ablation    `json:"hiding,omitempty"` // the same of boxes that hide, by how, and their twins
	Drops       []Drop        `json:"drops,omitempty"`  // what more of the boxes that hide would cost
	Misses      []Miss        `json:"misses"`
	Shortfalls  []Shortfall   `json:"shortfalls"`
}

// Figures are those of one variant.
type Figures struct {
	Variant
	Scenarios []Group `json:"scenarios"` // by their main lines
	Classes   []Group `json:"classes"`   // boxes first
	Goals     []Goal  `json:"goals"`
}

// Group is what became of the lines of one scenario or class.
type Group struct {
	Name     string  `json:"name"`
	Class    string  `json:"class"`
	Box      bool    `json:"box"`
	Share    float64 `json:"share,omitempty"` // of its class, of a scenario
	Draws    int     `json:"draws"`           // main lines
	Verdicts [4]int  `json:"verdicts"`        // of main lines: none, watch, review, case
	Beside   [4]int  `json:"beside"`          // of the class's other lines, in whatever scenario
	Watch    Reached `json:"watch"`
	Review   Reached `json:"review"`
	Case     Reached `json:"case"`

	Channels    *Channels `json:"channels,omitempty"`
	Cards       *Named    `json:"cards,omitempty"`
	Controllers *Named    `json:"controllers,omitempty"`
}

// Reached tells how many main lines are at a verdict or above, and how long that
// took those that are. Medians and ninth deciles are of all draws, those that
// never got there included: null means that too few did.
type Reached struct {
	Draws   Rate `json:"draws"`    // each draw counts the same
	ByShare Rate `json:"by_share"` // each scenario counts by its share of the class

	Seconds Deciles `json:"seconds"` // from the start of the capture
	Calls   Deciles `json:"calls"`   // counted until then
}

// Deciles are the fifth and the ninth.
type Deciles struct {
	Median *float64 `json:"median"`
	Ninth  *float64 `json:"ninth"`
}

// Channels tells how often the number of channels found is within one of the
// truth.
type Channels struct {
	Used      Rate `json:"used"`      // of the most that were in use at once, or of those built in if they are fewer
	Installed Rate `json:"installed"` // of those built in, where control records could tell
}

// Named tells how much of what there was to name a finding named, and how much of
// what it named is true.
type Named struct {
	trial.Match
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
}

// Goal is a figure with what it ought to be.
type Goal struct {
	ID      string   `json:"id"`
	Text    string   `json:"text"`
	Variant string   `json:"variant"`
	Rate    Rate     `json:"rate"`
	Value   *float64 `json:"value,omitempty"` // where the figure is no share
	Unit    string   `json:"unit,omitempty"`  // of the value
	Want    *float64 `json:"want"`            // null where nothing is asked
	AtMost  bool     `json:"at_most"`         // the figure must not be above
	Met     *bool    `json:"met"`             // null where nothing is asked or nothing was there to count
	Note    string   `json:"note,omitempty"`
}

// WriteJSON writes the report as JSON.
func (r *Report) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(v)
}
