package control

// jsonReader reads one JSON value (RFC 8259) as its bytes come, in pieces of
// any size. encoding/json would want the whole of it at once: a status report
// of a large gateway is of a hundred kilobytes and more, of which a few digits
// are of use, and there may be one on every connection. This keeps the key and
// the value at hand, and no value that is not asked for; what nests deeper than
// the messages of gateways do is refused. It allocates nothing.
type jsonReader struct {
	state jsonState
	depth uint8  // containers open
	array uint32 // bit per depth: an array
	key   jsonText
	value jsonText
	isKey bool  // of the string at hand
	hex   uint8 // digits of a \u sequence still to come
	rune  rune
	word  string // rest of a literal
}

// jsonText holds a short text; what is longer is marked and not held.
type jsonText struct {
	b    [40]byte
	n    uint8
	long bool
	keep bool // bytes are wanted
}

func (t *jsonText) add(c byte) {
	switch {
	case !t.keep:
	case int(t.n) < len(t.b):
		t.b[t.n] = c
		t.n++
	default:
		t.long = true
	}
}

// bytes gives the text, nil when it was too long or not wanted.
func (t *jsonText) bytes() []byte {
	if t.long || !t.keep {
		return nil
	}
	return t.b[:t.n]
}

const jsonDepth = 8 // most containers inside each other

type jsonState uint8

const (
	jsonValue      jsonState = iota // a value is due
	jsonFirstValue                  // a value, or the end of an empty array
	jsonFirstKey                    // a key, or the end of an empty object
	jsonKey
	jsonColon
	jsonNext // a comma, or the end of the container
	jsonString
	jsonEscape
	jsonUnicode
	jsonNumber
	jsonWord
	jsonDone
	jsonBad
)

// jsonSink is told of what a jsonReader reads. depth is how many containers are
// open around the value; key is nil in an array.
type jsonSink interface {
	// wants says whether the value of this key is to be kept.
	wants(key []byte, depth int) bool
	// value is told of a string, number or literal; text is nil when it is not
	// wanted or too long.
	value(key, text []byte, depth int)
	// open and shut are told of an object or array, depth not counting itself.
	open(key []byte, array bool, depth int)
	shut(array bool, depth int)
}

// read takes the next bytes and gives how many belong to the value. It is over
// when done or bad.
func (j *jsonReader) read(b []byte, sink jsonSink) int {
	for i, c := range b {
		if j.state == jsonNumber && !numeral(c) {
			j.end(sink)
		}
		if j.state >= jsonDone {
			return i
		}
		j.byte(c, sink)
	}
	return len(b)
}

func numeral(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E'
}

func (j *jsonReader) byte(c byte, sink jsonSink) {
	switch j.state {
	case jsonString:
		switch {
		case c == '"':
			j.end(sink)
		case c == '\\':
			j.state = jsonEscape
		case c < ' ':
			j.state = jsonBad
		default:
			j.text().add(c)
		}
		return
	case jsonEscape:
		j.escape(c)
		return
	case jsonUnicode:
		j.unicode(c)
		return
	case jsonNumber:
		j.value.add(c)
		return
	case jsonWord:
		if c != j.word[0] {
			j.state = jsonBad
			return
		}
		j.value.add(c)
		if j.word = j.word[1:]; j.word == "" {
			j.end(sink)
		}
		return
	}
	if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
		return
	}
	switch j.state {
	case jsonValue, jsonFirstValue:
		if c == ']' && j.state == jsonFirstValue {
			j.shut(true, sink)
			return
		}
		j.begin(c, sink)
	case jsonFirstKey, jsonKey:
		switch {
		case c == '"':
			j.key = jsonText{keep: true}
			j.isKey, j.state = true, jsonString
		case c == '}' && j.state == jsonFirstKey:
			j.shut(false, sink)
		default:
			j.state = jsonBad
		}
	case jsonColon:
		if c != ':' {
			j.state = jsonBad
			return
		}
		j.state = jsonValue
	case jsonNext:
		switch {
		case c == ',' && j.inArray():
			j.state = jsonValue
		case c == ',':
			j.state = jsonKey
		case c == ']' && j.inArray():
			j.shut(true, sink)
		case c == '}' && !j.inArray():
			j.shut(false, sink)
		default:
			j.state = jsonBad
		}
	}
}

func (j *jsonReader) inArray() bool { return j.array>>j.depth&1 == 1 }

// name is the key of the value at hand.
func (j *jsonReader) name() []byte {
	if j.depth == 0 || j.inArray() {
		return nil
	}
	return j.key.bytes()
}

func (j *jsonReader) text() *jsonText {
	if j.isKey {
		return &j.key
	}
	return &j.value
}

// begin starts a value with its first byte.
func (j *jsonReader) begin(c byte, sink jsonSink) {
	if c == '{' || c == '[' {
		if j.depth >= jsonDepth {
			j.state = jsonBad
			return
		}
		sink.open(j.name(), c == '[', int(j.depth))
		j.depth++
		j.array &^= 1 << j.depth
		j.state = jsonFirstKey
		if c == '[' {
			j.array |= 1 << j.depth
			j.state = jsonFirstValue
		}
		return
	}
	if j.depth == 0 {
		j.state = jsonBad // no message is a bare value
		return
	}
	j.value, j.isKey = jsonText{keep: sink.wants(j.name(), int(j.depth))}, false
	switch {
	case c == '"':
		j.state = jsonString
	case c == '-' || c >= '0' && c <= '9':
		j.state = jsonNumber
		j.value.add(c)
	case c == 't':
		j.state, j.word = jsonWord, "rue"
		j.value.add(c)
	case c == 'f':
		j.state, j.word = jsonWord, "alse"
		j.value.add(c)
	case c == 'n':
		j.state, j.word = jsonWord, "ull"
		j.value.add(c)
	default:
		j.state = jsonBad
	}
}

// end ends a key or a value.
func (j *jsonReader) end(sink jsonSink) {
	if j.isKey {
		j.isKey, j.state = false, jsonColon
		return
	}
	j.state = jsonNext
	sink.value(j.name(), j.value.bytes(), int(j.depth))
}

func (j *jsonReader) shut(array bool, sink jsonSink) {
	j.depth--
	j.state = jsonNext
	if j.depth == 0 {
		j.state = jsonDone
	}
	j.key = jsonText{} // the key of the container is gone
	sink.shut(array, int(j.depth))
}

func (j *jsonReader) escape(c byte) {
	j.state = jsonString
	switch c {
	case '"', '\\', '/':
		j.text().add(c)
	case 'b', 'f', 'n', 'r', 't':
		j.text().add(' ')
	case 'u':
		j.state, j.hex, j.rune = jsonUnicode, 4, 0
	default:
		j.state = jsonBad
	}
}

// unicode takes a digit of a \u sequence. What is not ASCII is in no value of
// interest and stands as a question mark.
func (j *jsonReader) unicode(c byte) {
	d, ok := hexDigit(c)
	if !ok {
		j.state = jsonBad
		return
	}
	j.rune = j.rune<<4 | rune(d)
	if j.hex--; j.hex == 0 {
		j.state = jsonString
		if j.rune < ' ' || j.rune > '~' {
			j.rune = '?'
		}
		j.text().add(byte(j.rune))
	}
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
