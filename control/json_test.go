package control

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tape writes down what a jsonReader tells.
type tape struct {
	lines []string
	not   string // a key whose value is not wanted
}

func (t *tape) wants(key []byte, _ int) bool { return t.not == "" || string(key) != t.not }
func (t *tape) value(key, text []byte, depth int) {
	t.lines = append(t.lines, fmt.Sprintf("%d %s=%s", depth, key, text))
}
func (t *tape) open(key []byte, array bool, depth int) {
	t.lines = append(t.lines, fmt.Sprintf("%d %s open %v", depth, key, array))
}
func (t *tape) shut(array bool, depth int) {
	t.lines = append(t.lines, fmt.Sprintf("%d shut %v", depth, array))
}

func TestJSON(t *testing.T) {
	long := strings.Repeat("x", 41)
	for name, c := range map[string]struct {
		in   string
		want []string
		rest string
		bad  bool
	}{
		"empty object": {in: "{}", want: []string{"0  open false", "0 shut false"}},
		"empty array":  {in: " [ ] ", want: []string{"0  open true", "0 shut true"}, rest: " "},
		"values": {
			in:   `{"a":"b","c":-1.5e3,"d":true,"e":null,"f":[1,"2"]}tail`,
			want: []string{"0  open false", "1 a=b", "1 c=-1.5e3", "1 d=true", "1 e=null", "1 f open true", "2 =1", "2 =2", "1 shut true", "0 shut false"},
			rest: "tail",
		},
		"nested, with keys of the outer after it": {
			in:   `{"s":[{"p":"1.01"},{"p":"2.01"}],"z":0}`,
			want: []string{"0  open false", "1 s open true", "2  open false", "3 p=1.01", "2 shut false", "2  open false", "3 p=2.01", "2 shut false", "1 shut true", "1 z=0", "0 shut false"},
		},
		"escapes":                {in: `{"a":"\"\\\/\n\u0041\u4e2d"}`, want: []string{"0  open false", `1 a="\/ A?`, "0 shut false"}},
		"long values are gone":   {in: `{"a":"` + long + `"}`, want: []string{"0  open false", "1 a=", "0 shut false"}},
		"long keys are gone":     {in: `{"` + long + `":1}`, want: []string{"0  open false", "1 =1", "0 shut false"}},
		"not wanted":             {in: `{"text":"secret","a":1}`, want: []string{"0  open false", "1 text=", "1 a=1", "0 shut false"}},
		"too deep":               {in: strings.Repeat("[", 9), bad: true},
		"a bare value":           {in: `"a"`, bad: true},
		"two commas":             {in: `{"a":1,,"b":2}`, bad: true},
		"a comma before the end": {in: `{"a":1,}`, bad: true},
		"no colon":               {in: `{"a" 1}`, bad: true},
		"key without quotes":     {in: `{a:1}`, bad: true},
		"wrong bracket":          {in: `{"a":1]`, bad: true},
		"word":                   {in: `{"a":nil}`, bad: true},
		"line end in a string":   {in: "{\"a\":\"\n\"}", bad: true},
		"bad escape":             {in: `{"a":"\x"}`, bad: true},
		"bad unicode":            {in: `{"a":"\u00zz"}`, bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 3, len(c.in)} {
				j, tp := jsonReader{}, tape{not: "text"}
				in := []byte(c.in)
				for len(in) > 0 && j.state < jsonDone {
					n := min(size, len(in))
					read := j.read(in[:n], &tp)
					in = in[read:]
				}
				if c.bad {
					if j.state != jsonBad {
						t.Errorf("state %d after %v", j.state, tp.lines)
					}
					continue
				}
				if j.state != jsonDone || string(in) != c.rest {
					t.Errorf("state %d, rest %q", j.state, in)
				}
				if d := cmp.Diff(c.want, tp.lines); d != "" {
					t.Error(d)
				}
			}
		})
	}
	j, tp := jsonReader{}, tape{}
	b := []byte(`{"a":[1,2,{"b":"cccccccc"}],"d":null}`)
	if n := testing.AllocsPerRun(100, func() { j = jsonReader{}; tp.lines = nil; j.read(b, quiet{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type quiet struct{}

func (quiet) wants([]byte, int) bool       { return true }
func (quiet) value(_, _ []byte, _ int)     {}
func (quiet) open(_ []byte, _ bool, _ int) {}
func (quiet) shut(bool, int)               {}

// Whatever encoding/json takes is read to its end, and the pieces it comes in
// make no difference.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"c"}],"d":-1e5}`, `[]`, `{"type":"dev-status","status":[{"port":"1.01","st":3}]}`, `{"a":"\u00e9\n"}`, "{", "[[[[[[[[["} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		var whole, cut jsonReader
		a, c := tape{}, tape{}
		n := whole.read(b, &a)
		rest := b
		for len(rest) > 0 && cut.state < jsonDone {
			k := min(int(size)%7+1, len(rest))
			rest = rest[cut.read(rest[:k], &c):]
		}
		if cut.state != whole.state || len(b)-len(rest) != n {
			t.Fatalf("whole %d at %d, cut %d at %d", whole.state, n, cut.state, len(b)-len(rest))
		}
		if d := cmp.Diff(a.lines, c.lines); d != "" {
			t.Fatal(d)
		}
		if json.Valid(b) && (whole.state != jsonDone) {
			var v any
			if json.Unmarshal(b, &v) == nil && depth(v) <= jsonDepth && depth(v) > 0 {
				t.Fatalf("state %d", whole.state)
			}
		}
	})
}

func depth(v any) int {
	d := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			d = max(d, depth(e))
		}
		return d + 1
	case []any:
		for _, e := range v {
			d = max(d, depth(e))
		}
		return d + 1
	}
	return 0
}
