package config

import (
	"encoding/json"
	"reflect"
	"strconv"
)

// Schema gives the JSON schema of the configuration (draft 2020-12), made from
// the same types and tags that reading uses. It says what one key may hold;
// what several keys must agree on, Parse alone knows.
func Schema() []byte {
	s := object(reflect.TypeFor[Config]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Configuration of simtrapd"
	s["required"] = []string{"ports"}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // texts and numbers alone
	}
	return append(b, '\n')
}

type schema = map[string]any

func object(t reflect.Type) schema {
	properties := schema{}
	for _, f := range fieldsOf(t) {
		p := schemaOf(t.Field(f.index).Type, f.tag)
		if doc := f.tag.Get("doc"); doc != "" {
			p["description"] = doc
		}
		if text, ok := f.tag.Lookup("default"); ok {
			v := reflect.New(t.Field(f.index).Type).Elem()
			setText(v, text)
			switch v.Kind() {
			case reflect.Bool, reflect.Float64:
				p["default"] = v.Interface()
			case reflect.Int:
				p["default"] = v.Int()
			default:
				p["default"] = text
			}
		}
		properties[f.name] = p
	}
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	switch t {
	case reflect.TypeFor[Port](), reflect.TypeFor[Realm]():
		s["required"] = []string{"name"}
	}
	return s
}

func schemaOf(t reflect.Type, tag reflect.StructTag) schema {
	v := reflect.New(t)
	if w, ok := v.Elem().Interface().(worded); ok {
		return schema{"type": "string", "enum": w.words()}
	}
	switch t {
	case reflect.TypeFor[Prefix]():
		return schema{"type": "string", "pattern": `^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$`, "examples": []string{"203.0.113.0/24", "2001:db8::/32"}}
	case reflect.TypeFor[Duration]():
		return schema{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, "examples": []string{tag.Get("default")}}
	case reflect.TypeFor[Size]():
		return schema{"type": []string{"string", "integer"}, "pattern": `^(auto|[1-9][0-9]* *([KMGT]iB)?)$`, "examples": []string{"auto", "512MiB"}}
	}
	switch t.Kind() {
	case reflect.Slice:
		s := schema{"type": "array", "items": schemaOf(t.Elem(), "")}
		if t.Elem() == reflect.TypeFor[Port]() {
			s["minItems"], s["maxItems"] = 1, maxPorts
		}
		return s
	case reflect.Struct:
		return object(t)
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Float64:
		kind := "integer"
		if t.Kind() == reflect.Float64 {
			kind = "number"
		}
		s := schema{"type": kind}
		for name, tagged := range map[string]string{"minimum": "min", "maximum": "max"} {
			if x, err := strconv.ParseInt(tag.Get(tagged), 10, 64); err == nil {
				s[name] = x
			}
		}
		return s
	}
	s := schema{"type": "string", "minLength": 1}
	switch tag.Get("want") {
	case "name":
		s["pattern"] = `^[A-Za-z0-9._@:-]{1,63}$`
	case "range":
		s["pattern"] = `^[0-9]{1,4}(-[0-9]{1,4})?$`
	case "plan":
		s["pattern"] = `^([A-Za-z]{2}|[Gg][Ee][Nn][Ee][Rr][Ii][Cc])$`
	}
	return s
}

// Key is one row of the table of keys.
type Key struct {
	Name, Default, Doc string
	Live               bool // a reload may change it
}

// Keys lists every key as documentation shows it: "ports[].name".
func Keys() []Key {
	var out []Key
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		for _, f := range fieldsOf(t) {
			inner, name := t.Field(f.index).Type, joined(path, f.name)
			k := Key{Name: name, Default: f.tag.Get("default"), Doc: f.tag.Get("doc"), Live: f.tag.Get("reload") == "live"}
			if _, parsed := reflect.New(inner).Interface().(parser); inner.Kind() == reflect.Struct && !parsed {
				walk(inner, name)
				continue
			}
			out = append(out, k)
			if inner.Kind() == reflect.Slice && (inner.Elem() == reflect.TypeFor[Port]() || inner.Elem() == reflect.TypeFor[Realm]()) {
				walk(inner.Elem(), name+"[]")
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return out
}

// Diff tells which keys differ between two configurations: those that a running
// daemon takes over, and those that need a restart.
func Diff(old, new *Config) (live, restart []string) {
	var walk func(a, b reflect.Value, path string, inherited bool)
	walk = func(a, b reflect.Value, path string, inherited bool) {
		for _, f := range fieldsOf(a.Type()) {
			x, y, name := a.Field(f.index), b.Field(f.index), joined(path, f.name)
			isLive := inherited || f.tag.Get("reload") == "live"
			if _, parsed := x.Addr().Interface().(parser); x.Kind() == reflect.Struct && !parsed {
				walk(x, y, name, isLive)
				continue
			}
			if same(x, y) {
				continue
			}
			if isLive {
				live = append(live, name)
			} else {
				restart = append(restart, name)
			}
		}
	}
	walk(reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem(), "", false)
	return live, restart
}

// same compares; no list is the same as an empty one.
func same(x, y reflect.Value) bool {
	if x.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(x.Interface(), y.Interface())
}

// Take gives the old configuration with what a reload may change taken from the
// new one.
func Take(old, new *Config) *Config {
	c := *old
	var walk func(a, b reflect.Value)
	walk = func(a, b reflect.Value) {
		for _, f := range fieldsOf(a.Type()) {
			x, y := a.Field(f.index), b.Field(f.index)
			if f.tag.Get("reload") == "live" {
				x.Set(y)
				continue
			}
			if _, parsed := x.Addr().Interface().(parser); x.Kind() == reflect.Struct && !parsed {
				walk(x, y)
			}
		}
	}
	walk(reflect.ValueOf(&c).Elem(), reflect.ValueOf(new).Elem())
	c.directory, c.positions = new.directory, new.positions
	return &c
}
