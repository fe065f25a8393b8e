package control

import (
	"bytes"
	"encoding/binary"

	"simtrap/ident"
)

// What gateways say over HTTP/1 (RFC 9112) is read in one place: a head, of
// which a few fields are of interest, and a body that is either JSON or passed
// over. Of the target only the path is looked at and, behind it, the name of a
// command; queries hold passwords and texts of messages, and nothing of them is
// kept. A connection whose first head is nobody's is given up.

// httpRoute says whose business a request is.
type httpRoute uint8

const (
	routeNone     httpRoute = iota
	routePush               // JSON to a path of the operator's choice
	routeEjoin              // a path of the Ejoin/Skyline interface
	routeEjoinNew           // a path of its newer version, which others may have too
	routeGoIP               // a page of a GoIP gateway
	routeBoard              // the two-slot board
)

// httpHead is what a head says, as far as it matters.
type httpHead struct {
	status  int // 0 in a request
	route   httpRoute
	command boardCommand
	length  int64 // of the body; -1 where it is not told
	chunked bool
	json    bool
	// browser says that a program which runs pages wrote the request. Anybody
	// can make a visitor's browser send anything anywhere, so nothing that it
	// says is about the line; nor can a page hide these fields.
	browser bool
	maker   string // whose web server it is, where the head tells
	fields  int
}

const httpFields = 64 // most fields in a head

// httpStart says whether b begins like a request that may be of interest, or an
// answer, before the rest of its first line is there.
func httpStart(b []byte) bool {
	for _, s := range [...]string{"GET /", "POST /", "HTTP/1."} {
		n := min(len(s), len(b))
		if string(b[:n]) == s[:n] {
			return true
		}
	}
	return false
}

// first reads the first line of a head; whole says that b is all of it.
func (h *httpHead) first(b []byte, whole bool) bool {
	*h = httpHead{length: -1}
	if rest, ok := bytes.CutPrefix(b, []byte("HTTP/1.")); ok {
		if len(rest) < 5 || rest[0] != '0' && rest[0] != '1' || rest[1] != ' ' {
			return false
		}
		for _, c := range rest[2:5] {
			if c < '0' || c > '9' {
				return false
			}
			h.status = h.status*10 + int(c-'0')
		}
		return h.status >= 100 && h.status < 600
	}
	method, target, ok := bytes.Cut(b, []byte{' '})
	if !ok {
		return false
	}
	if whole {
		i := bytes.LastIndexByte(target, ' ')
		if i < 0 || string(target[i+1:]) != "HTTP/1.1" && string(target[i+1:]) != "HTTP/1.0" {
			return false
		}
		target = target[:i]
	}
	post := string(method) == "POST"
	if !post && string(method) != "GET" {
		return false
	}
	h.route, h.command = routeOf(target)
	if h.route == routeNone && post {
		h.route = routePush
	}
	return len(target) > 0 && target[0] == '/'
}

// routeOf tells a request by its target.
func routeOf(target []byte) (httpRoute, boardCommand) {
	path, query, _ := bytes.Cut(target, []byte{'?'})
	switch string(path) {
	case "/goip_get_status.html", "/goip_send_cmd.html", "/goip_post_sms.html", "/goip_pause_sms.html",
		"/goip_resume_sms.html", "/goip_remove_sms.html", "/goip_get_tasks.html", "/goip_get_sms.html",
		"/goip_get_sms_stat.html", "/goip_get_call_stat.html", "/goip_get_esims.html", "/goip_write_esims.html",
		"/goip_delete_esims.html":
		return routeEjoin, boardNone
	case "/submit_sms_tasks", "/get_device_status", "/set_status_report_server", "/send_ussds":
		return routeEjoinNew, boardNone
	case "/default/en_US/status.html", "/default/en_US/send.html", "/default/en_US/send_sms_status.xml",
		"/default/zh_CN/status.html", "/default/zh_CN/send.html", "/default/zh_CN/dial_test.html",
		"/default/en_US/dial_test.html":
		return routeGoIP, boardNone
	case "/ctrl":
		if c := boardQuery(query); c != boardNone {
			return routeBoard, c
		}
	}
	return routeNone, boardNone
}

// field reads one line behind the first.
func (h *httpHead) field(b []byte) {
	h.fields++
	i := bytes.IndexByte(b, ':')
	if i < 0 {
		return
	}
	name, value := b[:i], bytes.Trim(b[i+1:], " \t\r")
	switch {
	case spelled(name, "Content-Length"):
		h.length = 0
		for _, c := range value {
			if c < '0' || c > '9' || h.length > 1<<40 {
				h.length = -1
				return
			}
			h.length = h.length*10 + int64(c-'0')
		}
		if len(value) == 0 {
			h.length = -1
		}
	case spelled(name, "Transfer-Encoding"):
		h.chunked = spelled(value, "chunked")
	case spelled(name, "Content-Type"):
		h.json = len(value) >= 16 && spelled(value[:16], "application/json")
	case spelled(name, "User-Agent"):
		h.browser = h.browser || bytes.HasPrefix(value, []byte("Mozilla/")) || bytes.HasPrefix(value, []byte("Opera/"))
	case spelled(name, "Origin"), spelled(name, "Referer"), spelled(name, "Cookie"), spelled(name, "Accept-Language"),
		spelled(name, "Upgrade"), spelled(name, "DNT"):
		h.browser = true
	case len(name) > 4 && spelled(name[:4], "Sec-"):
		h.browser = true
	case spelled(name, "Server"):
		if m := httpServer(value); m != "" {
			h.maker = m
		}
	case spelled(name, "WWW-Authenticate"):
		if string(value) == `Basic realm="AddPac"` {
			h.maker = "AddPac"
		}
	}
}

// httpServer names the maker by a Server field. Boa, which Yeastar and hundreds
// of cameras have, is nobody's.
func httpServer(v []byte) string {
	if bytes.Contains(v, []byte("LibHTTPD")) {
		return "DBL/HYBERTONE"
	}
	return ""
}

// spelled compares without regard to the case of letters.
func spelled(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i, c := range b {
		d := name[i]
		if c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// httpLooks says whether a piece of a stream is worth following: a request to a
// known path, JSON of a known type, or an answer that asks for the password of
// a known maker. All other traffic of the web ends here, with nothing kept.
func httpLooks(b []byte) bool {
	switch b[0] {
	case 'G':
		if len(b) < 8 || string(b[:5]) != "GET /" || b[5] != 'g' && b[5] != 'c' && b[5] != 'd' && b[5] != 's' {
			return false
		}
		target := b[4:min(len(b), 4+256)]
		if i := bytes.IndexByte(target, ' '); i >= 0 {
			target = target[:i]
		}
		r, _ := routeOf(target)
		return r != routeNone
	case 'P':
		if len(b) < 8 || string(b[:6]) != "POST /" {
			return false
		}
		target := b[5:min(len(b), 5+256)]
		if i := bytes.IndexByte(target, ' '); i >= 0 {
			target = target[:i]
		}
		if r, _ := routeOf(target); r != routeNone {
			return true
		}
		i := bytes.Index(b, []byte("\r\n\r\n"))
		return i >= 0 && (i+4 < len(b) && httpBodyLooks(b[i+4:]) || i+4 == len(b) && httpHeadLooks(b))
	case 'H':
		return len(b) > 12 && string(b[:7]) == "HTTP/1." && string(b[9:12]) == "401" && bytes.Contains(b, []byte(`realm="AddPac"`))
	}
	return false
}

// httpHeadLooks says whether b, a head without its body, is of a program that
// posts JSON of some length. Which program that is the body says, in a segment
// of its own.
func httpHeadLooks(b []byte) bool {
	json, length := false, int64(0)
	for i := 0; i < httpFields; i++ {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte{'\n'})
		switch {
		case len(line) < 2:
			return json && length >= 64 && length < 1<<20
		case line[0]|0x20 == 'c' || line[0]|0x20 == 'u' || line[0]|0x20 == 'o' || line[0]|0x20 == 'r' || line[0]|0x20 == 's':
			h := httpHead{length: -1}
			if h.field(line); h.browser {
				return false
			}
			length = max(length, h.length)
			json = json || h.json
		}
	}
	return false
}

// httpBodyLooks says whether the body of a POST may be a gateway's.
func httpBodyLooks(b []byte) bool {
	// A chunk's size comes first: up to six hexadecimal digits.
	for i, c := range b[:min(len(b), 8)] {
		if c == '{' || c == ' ' || c == '\r' || c == '\n' {
			break
		}
		if _, ok := hexDigit(c); !ok {
			return false
		}
		if i+2 < len(b) && b[i+1] == '\r' && b[i+2] == '\n' {
			b = b[i+3:]
			break
		}
	}
	return pushLooks(b)
}

// pushStart is how many bytes of a message are enough to tell it.
const pushStart = 32

// pushLooks says whether b begins with one of the messages that gateways push.
func pushLooks(b []byte) bool {
	b, ok := bytes.CutPrefix(blank(b), []byte{'{'})
	if !ok {
		return false
	}
	for _, s := range [...]string{`"type"`, `:`} {
		if b, ok = bytes.CutPrefix(blank(b), []byte(s)); !ok {
			return false
		}
	}
	b = blank(b)
	for _, s := range [...]string{`"dev-status"`, `"port-status"`, `"recv-sms"`} {
		if bytes.HasPrefix(b, []byte(s)) {
			return true
		}
	}
	return false
}

// blank drops white space in front of b, a few bytes of it at most.
func blank(b []byte) []byte {
	for i := 0; i < 8 && len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n'); i++ {
		b = b[1:]
	}
	return b
}

type httpState uint8

const (
	httpHeadLine httpState = iota // the first line of a head is due
	httpFieldLine
	httpLongLine // the rest of a line too long to be held is passed over
	httpBody
	httpChunkSize
	httpChunk
	httpChunkEnd
	httpTrailer
)

// httpLine is the most of a line that is looked at.
const httpLine = 512

// httpStream reads one direction of a connection. The other direction's is its
// peer: an answer is read by what was asked.
type httpStream struct {
	peer    *httpStream
	state   httpState
	after   httpState // of a long line
	head    httpHead
	left    int64 // of the body or chunk
	asked   [4]httpAsked
	n       int  // requests that wait for their answer
	skewed  bool // there were more
	known   bool // a head of interest was read
	ours    bool // a message of interest was read
	json    jsonReader
	message ejoinMessage
	reading bool // the body, as JSON
}

// httpAsked is a request that waits for its answer.
type httpAsked struct {
	route   httpRoute
	command boardCommand
	sound   bool
	digest  uint64
}

func (h *httpStream) pair(other streamReader) {
	if o, ok := other.(*httpStream); ok {
		h.peer, o.peer = o, h
	}
}

func (h *httpStream) begins(b []byte) bool {
	return h.state != httpHeadLine || httpStart(b)
}

// step reads a line of a head, or a piece of a body; see streamReader.
func (h *httpStream) step(b []byte, first, last bool, now int64, emit func(*Record)) (done, want, skip int) {
	if first && h.state != httpHeadLine {
		*h = httpStream{peer: h.peer} // bytes are missing, or made no sense
	}
	switch h.state {
	case httpBody, httpChunk:
		return h.content(b, emit)
	case httpHeadLine:
		if !httpStart(b) {
			return 0, 0, 0
		}
	}
	if h.state != httpLongLine {
		b = b[:min(len(b), httpLine)]
	}
	i := bytes.IndexByte(b, '\n')
	if i < 0 && len(b) < httpLine && h.state != httpLongLine {
		return 0, httpLine, 0
	}
	line, done := b, len(b)
	if i >= 0 {
		line, done = bytes.TrimSuffix(b[:i], []byte{'\r'}), i+1
	}
	state := h.state
	if ok := h.line(line, i >= 0, emit); !ok {
		h.state = httpHeadLine
		return 0, 0, 0
	}
	if i < 0 && state != httpLongLine {
		h.after, h.state = h.state, httpLongLine
	}
	if h.state == httpBody && !h.reading {
		return done, 0, h.pass()
	}
	return done, 0, 0
}

// pass gives up the body at hand, and how many bytes of it are to come.
func (h *httpStream) pass() int {
	n := h.left
	h.state = httpHeadLine
	return int(min(n, 1<<30))
}

// line takes a line of a head, or between chunks; whole says that its end is
// there.
func (h *httpStream) line(b []byte, whole bool, emit func(*Record)) bool {
	switch h.state {
	case httpLongLine:
		if whole {
			h.state = h.after
		}
	case httpHeadLine:
		var head httpHead
		if !head.first(b, whole) {
			return false
		}
		// An answer that asks for a password may name the maker.
		ours := head.route != routeNone || head.status != 0 && (head.status == 401 || h.peer != nil && h.peer.known)
		if h.known = h.known || ours; !h.known {
			return false
		}
		h.start(head)
		h.state = httpFieldLine
	case httpFieldLine:
		if len(b) > 0 {
			h.head.field(b[:min(len(b), httpLine)])
			return h.head.fields <= httpFields
		}
		return h.ended(emit)
	case httpChunkEnd:
		h.state = httpChunkSize
		return len(b) == 0
	case httpChunkSize:
		return h.chunk(b)
	case httpTrailer:
		if len(b) == 0 {
			h.over(true, emit)
		}
	}
	return true
}

func (h *httpStream) start(head httpHead) {
	h.head, h.left, h.reading = head, 0, false
	h.json, h.message = jsonReader{}, ejoinMessage{}
}

// ended works off a head that is complete.
func (h *httpStream) ended(emit func(*Record)) bool {
	if h.head.status == 0 {
		h.request(emit)
	} else if h.head.status >= 200 {
		h.answer(emit)
	} else {
		h.state = httpHeadLine // 100 Continue: the answer is to come
		return true
	}
	switch {
	case h.head.chunked:
		h.state = httpChunkSize
	case h.head.length > 0:
		h.state, h.left = httpBody, h.head.length
	case h.head.length < 0 && h.head.status != 0 && h.reading:
		h.state, h.left = httpBody, 1<<40 // until the JSON ends
	default:
		h.over(h.head.length == 0, emit)
	}
	return true
}

// request takes note of a request whose head has ended.
func (h *httpStream) request(emit func(*Record)) {
	q := httpAsked{route: h.head.route, command: h.head.command}
	switch h.head.route {
	case routeEjoin, routeEjoinNew:
		q.sound, h.ours = h.head.route == routeEjoin, true
		emit(&Record{Protocol: Ejoin, Vendor: "Ejoin/Skyline", Kind: Command, Sender: RoleServer, Sound: q.sound, Digest: ident.Hash(11, []byte{byte(h.head.route)})})
	case routePush:
		h.reading = !h.head.browser
	}
	h.ask(q)
}

// ask notes a request. Where more wait than are noted, no answer is told by
// what was asked any more.
func (h *httpStream) ask(q httpAsked) {
	if h.n == len(h.asked) {
		h.skewed = true
	}
	if h.skewed {
		h.n = 0
		return
	}
	h.asked[h.n] = q
	h.n++
}

// answered takes away the request that an answer belongs to.
func (h *httpStream) answered() (q httpAsked) {
	if h.n > 0 {
		q = h.asked[0]
		copy(h.asked[:], h.asked[1:])
		h.n--
	}
	return q
}

// answer works off the head of an answer.
func (h *httpStream) answer(emit func(*Record)) {
	var q httpAsked
	if h.peer != nil {
		q = h.peer.answered()
	}
	h.head.route, h.head.command = q.route, q.command
	good := h.head.status < 300
	switch {
	case q.route == routePush && good && q.digest != 0:
		emit(&Record{Protocol: Ejoin, Kind: Answer, Sender: RoleServer, Reply: true, Sound: q.sound, Exchange: exchange("ejoin", q.digest), Digest: ident.Hash(12, binary.LittleEndian.AppendUint64(nil, q.digest))})
	case q.route == routeGoIP && h.head.maker != "":
		emit(&Record{Protocol: MakerBanner, Vendor: h.head.maker, Kind: Mark, Sender: RoleGateway, Digest: ident.Hash(17, []byte(h.head.maker)), Detail: "shows the pages of a GoIP gateway"})
	case h.head.maker == "AddPac":
		emit(&Record{Protocol: MakerBanner, Vendor: h.head.maker, Kind: Mark, Sender: RoleGateway, Digest: ident.Hash(18, []byte(h.head.maker)), Detail: "asks for a password as AddPac's gateways do"})
	}
	h.reading = good && (q.route == routeEjoin || q.route == routeEjoinNew || q.route == routeBoard)
}

// chunk reads the size of a chunk (RFC 9112 section 7.1).
func (h *httpStream) chunk(b []byte) bool {
	n := 0
	i := 0
	for ; i < len(b) && i < 7; i++ {
		d, ok := hexDigit(b[i])
		if !ok {
			break
		}
		n = n<<4 | int(d)
	}
	if i == 0 || i < len(b) && b[i] != ';' && b[i] != ' ' {
		return false
	}
	if h.left, h.state = int64(n), httpChunk; n == 0 {
		h.state = httpTrailer
	}
	return true
}

// content takes bytes of a body.
func (h *httpStream) content(b []byte, emit func(*Record)) (done, want, skip int) {
	b = b[:min(int64(len(b)), h.left)]
	done = len(b)
	h.left -= int64(done)
	if h.reading {
		n := h.json.read(b, &h.message)
		if h.json.state == jsonBad || h.message.kind == ejoinOther {
			h.reading, h.message.cards = false, nil
			if h.foreign() {
				return done, 0, endOfStream
			}
		} else if h.json.state == jsonDone && h.left > 1<<39 {
			// No length was told: the message ends where the JSON does.
			h.over(true, emit)
			return n, 0, 0
		}
	}
	switch {
	case h.state == httpChunk && h.left == 0:
		h.state = httpChunkEnd
	case h.state == httpBody && h.left == 0:
		h.over(true, emit)
	case h.state == httpBody && !h.reading:
		return done, 0, h.pass()
	}
	return done, 0, 0
}

// foreign says that the connection was followed for the sake of a message which
// turned out to be somebody else's, the first of it.
func (h *httpStream) foreign() bool {
	return h.head.status == 0 && h.head.route == routePush && !h.ours
}

// over works off a message that has come to its end; framed says that its head
// told where that was.
func (h *httpStream) over(framed bool, emit func(*Record)) {
	h.state = httpHeadLine
	m := h.message
	h.message.cards = nil // a connection may stay open for long
	if !h.reading || h.json.state != jsonDone {
		return
	}
	h.reading = false
	switch {
	case h.head.status == 0 && m.kind != ejoinNone:
		h.ours = true
		sound := false
		m.emit(true, framed, func(r *Record) {
			r.Exchange = exchange("ejoin", m.digest)
			emit(r)
			sound = sound || r.Sound
		})
		// Its answer is read by it.
		if h.n > 0 && h.asked[h.n-1].route == routePush {
			h.asked[h.n-1].digest, h.asked[h.n-1].sound = m.digest, sound
		}
	case h.head.route == routeBoard && m.code:
		h.board(emit)
	case h.head.route == routeEjoin || h.head.route == routeEjoinNew:
		if m.kind != ejoinNone {
			m.emit(false, framed || h.head.length < 0, emit)
		} else if m.code {
			emit(&Record{Protocol: Ejoin, Vendor: "Ejoin/Skyline", Kind: Answer, Sender: RoleGateway, Reply: true, Digest: ident.Hash(m.digest, []byte("code"))})
		}
	}
}

// board marks who answered a command to a two-slot board.
func (h *httpStream) board(emit func(*Record)) {
	emit(&Record{Protocol: TwoSlotBoard, Kind: Mark, Sender: RoleGateway, Digest: ident.Hash(19, []byte{byte(h.head.command)}), Detail: h.head.command.detail()})
}
