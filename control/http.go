package control

import "bytes"

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
	return h.route != routeNone
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
	case httpNamed(name, "Content-Length"):
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
	case httpNamed(name, "Transfer-Encoding"):
		h.chunked = httpNamed(value, "chunked")
	case httpNamed(name, "Content-Type"):
		h.json = len(value) >= 16 && httpNamed(value[:16], "application/json")
	case httpNamed(name, "User-Agent"):
		h.browser = h.browser || bytes.HasPrefix(value, []byte("Mozilla/")) || bytes.HasPrefix(value, []byte("Opera/"))
	case httpNamed(name, "Origin"), httpNamed(name, "Referer"), httpNamed(name, "Cookie"), httpNamed(name, "Accept-Language"),
		httpNamed(name, "Upgrade"), httpNamed(name, "DNT"):
		h.browser = true
	case len(name) > 4 && httpNamed(name[:4], "Sec-"):
		h.browser = true
	case httpNamed(name, "Server"):
		if m := httpServer(value); m != "" {
			h.maker = m
		}
	case httpNamed(name, "WWW-Authenticate"):
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

// named compares without regard to the case of letters.
func httpNamed(b []byte, name string) bool {
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
		if len(b) < 8 || string(b[:5]) != "GET /" {
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
		return i >= 0 && httpBodyLooks(b[i+4:])
	case 'H':
		return len(b) > 12 && string(b[:7]) == "HTTP/1." && string(b[9:12]) == "401" && bytes.Contains(b, []byte(`realm="AddPac"`))
	case '{':
		return pushLooks(b)
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
