package control

import (
	"bytes"

	"simtrap/ident"
)

// The two-slot board: a small computer with two radio modules that relays calls
// and messages of two cards for a program elsewhere. The program asks
//
//	GET /ctrl?token=<32 or 64 hex>&cmd=teldial&p1=<slot>&p2=…
//
// or, over a TCP connection that the board keeps open, sends JSON with the same
// fields; JSON ends with the bytes 11 12. The board answers with a code and
// pushes messages of numeric types: 998 every ten seconds or more, 5xx about
// messages, 6xx about calls.
//
// The pushes that go over HTTP, as a form, are not read.
//
// People buy these boards to have the messages of two cards forwarded to them,
// which is nobody's business. So nothing about them is ever sound: a mark says
// that there is one and whether calls are made with it by remote command.

// TwoSlotBoard names the marks, as in Record.Protocol.
const TwoSlotBoard = "two-slot-board"

func twoSlotBoard() reader {
	return reader{
		Protocol: Protocol{
			Name:       TwoSlotBoard,
			Doc:        "two-slot relay board to the program that works it: commands over HTTP, or JSON both ways on a connection the board holds open; TCP, any port",
			Vendor:     "lvyatech",
			Server:     "sms-server",
			Source:     "research/gateways.md 2.9: the maker's interface and independent programs for it",
			Confidence: "verbatim; a mark and never sound, since people have their own messages forwarded with such boards",
		},
		starts: []string{"{"},
		looks:  boardLooks,
		stream: func() streamReader { return &boardStream{} },
	}
}

type boardCommand uint8

const (
	boardNone    boardCommand = iota
	boardManage               // state, settings
	boardMessage              // sends a message
	boardCall                 // dials, answers, hangs up, forwards
)

func boardCommandOf(b []byte) boardCommand {
	switch string(b) {
	case "sendsms", "smssend":
		return boardMessage
	case "teldial", "telanswer", "telhangup", "teltts", "simcfu", "asksimcfu", "telkeypress":
		return boardCall
	case "stat", "ping", "restart", "pingsec", "addwf", "delwf", "clrwf", "slotrst", "slotoff", "sloton", "now", "ota":
		return boardManage
	}
	return boardNone
}

// boardQuery reads the name of the command out of a query, if the query is one
// of a board: a token of hexadecimal digits and a command that is known.
func boardQuery(q []byte) boardCommand {
	command, token := boardNone, false
	for i := 0; i < 16 && len(q) > 0; i++ {
		var f []byte
		f, q, _ = bytes.Cut(q, []byte{'&'})
		switch {
		case bytes.HasPrefix(f, []byte("token=")):
			token = boardToken(f[6:])
		case bytes.HasPrefix(f, []byte("cmd=")):
			command = boardCommandOf(f[4:])
		}
		if token && command != boardNone {
			return command
		}
	}
	return boardNone
}

func boardToken(b []byte) bool {
	if len(b) != 32 && len(b) != 64 {
		return false
	}
	return hexadecimal(b)
}

// detail says what a mark of a board is.
func (c boardCommand) detail() string {
	switch c {
	case boardCall:
		return "a two-slot board that makes calls by remote command"
	case boardMessage:
		return "a two-slot board that sends messages by remote command"
	}
	return "a two-slot board"
}

// boardLooks says whether b, which begins with a brace, is JSON as boards and
// their programs send it: a field of theirs first, and the end mark last.
func boardLooks(b []byte) bool {
	if len(b) < 12 || b[len(b)-2] != 0x11 || b[len(b)-1] != 0x12 {
		return false
	}
	return boardFirst(b)
}

// boardFirst says whether b, which begins with a brace, goes on with a field
// that comes first in such messages.
func boardFirst(b []byte) bool {
	b = blank(b[1:])
	if rest, ok := bytes.CutPrefix(b, []byte(`"type"`)); ok {
		rest, ok = bytes.CutPrefix(blank(rest), []byte{':'})
		rest = blank(rest)
		return ok && len(rest) > 0 && rest[0] >= '1' && rest[0] <= '9'
	}
	for _, s := range [...]string{`"cmd"`, `"devId"`, `"code"`} {
		if bytes.HasPrefix(b, []byte(s)) {
			return true
		}
	}
	return false
}

// boardStream reads one direction of a connection that a board holds open.
type boardStream struct {
	peer    *boardStream
	json    jsonReader
	command boardCommand // the weightiest that was sent so far
	device  bool
	kind    int
	end     uint8 // bytes of the end mark seen, after the JSON
	inside  bool
}

func (s *boardStream) pair(other streamReader) {
	if o, ok := other.(*boardStream); ok {
		s.peer, o.peer = o, s
	}
}

func (s *boardStream) begins(b []byte) bool { return s.inside || b[0] == '{' }

// step reads a piece of a message; see streamReader.
func (s *boardStream) step(b []byte, first, last bool, now int64, emit func(*Record)) (done, want, skip int) {
	if first || !s.inside {
		if b[0] != '{' || len(b) >= pushStart && !boardFirst(b) {
			return 0, 0, 0
		}
		if len(b) < pushStart && !boardLooks(b) {
			return 0, pushStart, 0
		}
		s.json, s.device, s.kind, s.end, s.inside = jsonReader{}, false, 0, 0, true
	}
	done = s.json.read(b, s)
	if s.json.state == jsonBad {
		s.inside = false
		return 0, 0, 0
	}
	for ; s.json.state == jsonDone && done < len(b) && s.inside; done++ {
		if b[done] != [...]byte{0x11, 0x12}[s.end] {
			s.inside = false
			break
		}
		if s.end++; s.end == 2 {
			s.inside = false
			s.message(emit)
		}
	}
	return done, 0, 0
}

// message works off a message that is whole.
func (s *boardStream) message(emit func(*Record)) {
	if !s.device || s.kind < 100 || s.kind > 999 {
		return
	}
	command := boardNone
	if s.peer != nil {
		command = s.peer.command
	}
	emit(&Record{Protocol: TwoSlotBoard, Kind: Mark, Sender: RoleGateway, Digest: ident.Hash(20, []byte{byte(s.kind), byte(s.kind >> 8)}), Detail: command.detail()})
}

func (s *boardStream) wants(key []byte, depth int) bool {
	return depth == 1 && (string(key) == "cmd" || string(key) == "type" || string(key) == "devId")
}

func (s *boardStream) value(key, text []byte, depth int) {
	if depth != 1 || text == nil {
		return
	}
	switch string(key) {
	case "cmd":
		s.command = max(s.command, boardCommandOf(text))
	case "type":
		s.kind = number3(text)
	case "devId":
		s.device = len(text) >= 8 && len(text) <= 16 && isWord(text)
	}
}

func (*boardStream) open([]byte, bool, int) {}
func (*boardStream) shut(bool, int)         {}

// isWord says whether b is of digits and letters.
func isWord(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

func hexadecimal(b []byte) bool {
	for _, c := range b {
		if _, ok := hexDigit(c); !ok {
			return false
		}
	}
	return true
}
