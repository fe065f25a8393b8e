package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is more than any configuration; another file named by mistake may be
// large.
const maxFile = 1 << 20

// Pos is a place in the file, from 1.
type Pos struct{ Line, Column int }

// Mistake is one thing that is wrong, and what mends it.
type Mistake struct {
	Pos
	Key    string // "ports[0].name"; empty where it is no key's
	What   string
	Remedy string
}

// Mistakes is all that is wrong with a file, in its order. It is an error.
type Mistakes struct {
	File string
	List []Mistake
}

// Error gives one line for each mistake: file:line:column: what; remedy.
func (m *Mistakes) Error() string {
	var lines []string
	for _, x := range m.List {
		lines = append(lines, fmt.Sprintf("%s:%d:%d: %s; %s", m.File, x.Line, x.Column, x.What, x.Remedy))
	}
	return strings.Join(lines, "\n")
}

// Read reads a file. The error is *Mistakes where the file can be read and is
// wrong.
func Read(name string) (*Config, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s: longer than %d KiB: this is no configuration of simtrapd", name, maxFile>>10)
	}
	folder, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	return Parse(name, folder, text)
}

// Parse reads text; name stands in what is said of it, and paths count from
// folder. The error is *Mistakes.
func Parse(name, folder string, text []byte) (*Config, error) {
	c := &Config{directory: folder, positions: make(map[string]Pos)}
	r := &reader{positions: c.positions}
	setDefaults(reflect.ValueOf(c).Elem())
	r.document(text, c)
	if r.sound {
		c.check(r)
	}
	if len(r.mistakes) > 0 {
		sortMistakes(r.mistakes)
		return nil, &Mistakes{File: name, List: r.mistakes}
	}
	return c, nil
}

func sortMistakes(list []Mistake) {
	slices.SortStableFunc(list, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// reader walks the nodes of a document along the types of Config.
type reader struct {
	positions map[string]Pos
	mistakes  []Mistake
	sound     bool // it is a mapping: there is something to check
}

func (r *reader) wrong(at Pos, key, remedy, format string, args ...any) {
	r.mistakes = append(r.mistakes, Mistake{Pos: at, Key: key, What: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (r *reader) document(text []byte, c *Config) {
	start := Pos{1, 1}
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		r.wrong(start, "", "name at least one port under ports", "the file is empty")
		return
	case err != nil:
		at, what := syntaxError(err)
		r.wrong(at, "", "see the lines around it: blanks at their beginning, quotes and brackets must be in order", "no YAML: %s", what)
		return
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		at := place(&more)
		if err != nil {
			at, _ = syntaxError(err)
		}
		r.wrong(at, "", "leave one document, without ---", "a second document in the file")
	}
	if len(doc.Content) == 0 {
		r.wrong(start, "", "name at least one port under ports", "the file is empty")
		return
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		r.wrong(place(root), "", "write key: value lines, see simtrapd schema", "the file is %s, not keys with values", kindOf(root))
		return
	}
	r.sound = true
	r.mapping(root, reflect.ValueOf(c).Elem(), "")
}

// syntaxError gives the line that the YAML reader names.
func syntaxError(err error) (Pos, string) {
	what := strings.TrimPrefix(err.Error(), "yaml: ")
	at := Pos{1, 1}
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(what); m != nil {
		at.Line, _ = strconv.Atoi(m[1])
		what = what[len(m[0]):]
		if strings.HasPrefix(what, "did not find expected") {
			at.Line++ // these alone are counted from 0
		}
	}
	return at, clip(what)
}

func place(n *yaml.Node) Pos { return Pos{max(n.Line, 1), max(n.Column, 1)} }

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a set of keys"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.ShortTag() == "!!null":
		return "empty"
	}
	return "the text " + quote(n.Value)
}

// quote shows a value as it may stand in a terminal.
func quote(s string) string { return strconv.QuoteToGraphic(clip(s)) }

func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return s
}

// plain refuses what a configuration has no use for.
func (r *reader) plain(n *yaml.Node, key string) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.wrong(place(n), key, "write the value out", "anchors and aliases are not understood")
		return false
	case n.Style&yaml.TaggedStyle != 0:
		r.wrong(place(n), key, "leave the tag out", "tag %s", quote(n.Tag))
		return false
	}
	return true
}

// field is one key of a struct.
type field struct {
	index int
	name  string
	tag   reflect.StructTag
}

func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" {
			out = append(out, field{i, name, t.Field(i).Tag})
		}
	}
	return out
}

// mapping reads keys into a struct.
func (r *reader) mapping(n *yaml.Node, v reflect.Value, path string) {
	fields := fieldsOf(v.Type())
	seen := make(map[string]Pos)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		at := place(k)
		if k.Kind != yaml.ScalarNode {
			r.wrong(at, path, "write key: value", "a key that is %s", kindOf(k))
			continue
		}
		if !r.plain(k, path) {
			continue
		}
		key := joined(path, k.Value)
		x := slices.IndexFunc(fields, func(f field) bool { return f.name == k.Value })
		if x < 0 {
			r.wrong(at, joined(path, clip(k.Value)), remedyFor(k.Value, path, fields), "unknown key %s", quote(k.Value))
			continue
		}
		if before, twice := seen[k.Value]; twice {
			r.wrong(at, key, "leave one of them", "%s stands in line %d already", k.Value, before.Line)
			continue
		}
		seen[k.Value] = at
		r.positions[key] = place(value)
		r.value(value, v.Field(fields[x].index), key, fields[x].tag)
	}
}

func joined(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// remedyFor names the key that was meant.
func remedyFor(key, path string, fields []field) string {
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	if near := nearest(key, names); near != "" {
		return "did you mean " + near + "?"
	}
	if elsewhere := whereIs(key); elsewhere != "" && elsewhere != path {
		return key + " belongs " + elsewhere
	}
	where := "at the top"
	if path != "" {
		where = "in " + path
	}
	slices.Sort(names)
	return where + " there may be " + strings.Join(names, ", ")
}

// whereIs says where else a key is known.
func whereIs(key string) string {
	t := reflect.TypeFor[Config]()
	for _, f := range fieldsOf(t) {
		if f.name == key {
			return "at the top"
		}
		inner := t.Field(f.index).Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() != reflect.Struct || inner == reflect.TypeFor[Prefix]() {
			continue
		}
		for _, g := range fieldsOf(inner) {
			if g.name == key {
				return "under " + f.name
			}
		}
	}
	return ""
}

// nearest gives the name that differs least from what was written, if any is
// near.
func nearest(s string, names []string) string {
	s = strings.ReplaceAll(strings.ToLower(s), "_", "-")
	best, least := "", 1+max(1, min(len(s), 12)/3)
	for _, n := range names {
		if d := distance(s, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is Levenshtein's, with two letters in the wrong order as one
// mistake; long texts are far from every key.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := range len(a) {
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			d[i+1][j+1] = min(d[i][j]+cost, d[i][j+1]+1, d[i+1][j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d[i+1][j+1] = min(d[i+1][j+1], d[i-1][j-1]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

type (
	parser interface{ parse(string) error }
	worded interface{ words() []string }
)

// value reads one value.
func (r *reader) value(n *yaml.Node, v reflect.Value, key string, tag reflect.StructTag) {
	if !r.plain(n, key) {
		return
	}
	at := place(n)
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		r.wrong(at, key, "give it a value or leave the key out", "%s has no value", key)
		return
	}
	_, parsed := v.Addr().Interface().(parser)
	switch {
	case v.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			r.wrong(at, key, "write a list: ["+listExample(key)+"]", "%s is %s, not a list", key, kindOf(n))
			return
		}
		for i, e := range n.Content {
			item := reflect.New(v.Type().Elem()).Elem()
			setDefaults(item)
			name := fmt.Sprintf("%s[%d]", key, i)
			r.positions[name] = place(e)
			r.value(e, item, name, tag)
			v.Set(reflect.Append(v, item))
		}
	case v.Kind() == reflect.Struct && !parsed:
		if n.Kind != yaml.MappingNode {
			r.wrong(at, key, "write its keys indented below it", "%s is %s, not a set of keys", key, kindOf(n))
			return
		}
		r.mapping(n, v, key)
	case n.Kind != yaml.ScalarNode:
		r.wrong(at, key, "give it a single value", "%s is %s", key, kindOf(n))
	default:
		r.scalar(n, v, key, tag)
	}
}

func listExample(key string) string {
	switch key {
	case "ports", "realms":
		return "{name: ...}"
	case "home", "never", "shared":
		return "203.0.113.0/24"
	}
	return "..."
}

func (r *reader) scalar(n *yaml.Node, v reflect.Value, key string, tag reflect.StructTag) {
	at, text := place(n), n.Value
	wrong := func(remedy string) { r.wrong(at, key, remedy, "%s: %s", key, quote(text)) }
	if p, ok := v.Addr().Interface().(parser); ok {
		if err := p.parse(text); err != nil {
			wrong(err.Error())
			return
		}
		r.within(at, v, key, text, tag)
		return
	}
	if w, ok := v.Interface().(worded); ok {
		if words := w.words(); !slices.Contains(words, text) {
			remedy := "want " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
			if near := nearest(text, words); near != "" {
				remedy = "did you mean " + near + "? " + remedy
			}
			wrong(remedy)
			return
		}
		v.SetString(text)
		return
	}
	switch v.Kind() {
	case reflect.String:
		if text == "" || strings.ContainsRune(text, 0) {
			wrong("give it a value or leave the key out")
			return
		}
		if err := checkText(tag.Get("want"), text); err != nil {
			wrong(err.Error())
			return
		}
		v.SetString(text)
	case reflect.Bool:
		if n.ShortTag() != "!!bool" {
			wrong("want true or false")
			return
		}
		v.SetBool(strings.EqualFold(text, "true"))
	case reflect.Int:
		x, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n.ShortTag() != "!!int" {
			wrong("want a whole number " + bounds(tag))
			return
		}
		v.SetInt(x)
		r.within(at, v, key, text, tag)
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || n.ShortTag() == "!!str" {
			wrong("want a number " + bounds(tag))
			return
		}
		v.SetFloat(x)
		r.within(at, v, key, text, tag)
	default:
		panic("config: no way to read a " + v.Kind().String())
	}
}

func bounds(tag reflect.StructTag) string {
	return "from " + tag.Get("min") + " to " + tag.Get("max")
}

// within holds a number, a time or a size to its bounds.
func (r *reader) within(at Pos, v reflect.Value, key, text string, tag reflect.StructTag) {
	if tag.Get("min") == "" || v.Type() == reflect.TypeFor[Size]() && v.Int() == 0 {
		return
	}
	if x := number(v); x < limit(v.Type(), tag.Get("min")) || x > limit(v.Type(), tag.Get("max")) {
		r.wrong(at, key, "want "+bounds(tag), "%s: %s", key, quote(text))
	}
}

func number(v reflect.Value) float64 {
	if v.CanInt() {
		return float64(v.Int())
	}
	return v.Float()
}

// limit reads a bound in the tags.
func limit(t reflect.Type, text string) float64 {
	v := reflect.New(t).Elem()
	setText(v, text)
	return number(v)
}

// setDefaults fills a struct from its tags.
func setDefaults(v reflect.Value) {
	if _, parsed := v.Addr().Interface().(parser); parsed || v.Kind() != reflect.Struct {
		return
	}
	for _, f := range fieldsOf(v.Type()) {
		x := v.Field(f.index)
		if text, ok := f.tag.Lookup("default"); ok {
			setText(x, text)
			continue
		}
		setDefaults(x)
	}
}

// setText sets a value from a text in the tags, which a test holds to be
// right.
func setText(v reflect.Value, text string) {
	var err error
	if p, ok := v.Addr().Interface().(parser); ok {
		err = p.parse(text)
	} else {
		switch v.Kind() {
		case reflect.String:
			v.SetString(text)
		case reflect.Bool:
			v.SetBool(text == "true")
		case reflect.Int:
			var n int64
			n, err = strconv.ParseInt(text, 10, 64)
			v.SetInt(n)
		case reflect.Float64:
			var x float64
			x, err = strconv.ParseFloat(text, 64)
			v.SetFloat(x)
		default:
			err = errors.New("no default for a " + v.Kind().String())
		}
	}
	if err != nil {
		panic(fmt.Sprintf("config: tag %q: %v", text, err))
	}
}
