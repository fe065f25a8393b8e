package control

import (
	"bytes"
	"encoding/binary"

	"simtrap/ident"
	"simtrap/packet"
)

// The GoIP SMS server protocol: text over UDP, the port being whatever the
// operator set (44444 by custom). Per channel the gateway sends a keepalive
// every 30 s,
//
//	req:27;id:goip01;pass:...;num:;signal:29;gsm_status:LOGIN;...
//
// which the server answers with "reg:27;status:0;". Events look alike and are
// answered "STATE 446 OK". Commands and bulk messages are words separated by
// blanks. Passwords are stepped over; of a message text not even the length is
// kept.

const (
	maxID       = 64   // bytes of a channel's id, as in the maker's server
	maxPassword = 64   // bytes, likewise
	maxSMS      = 3000 // bytes of a bulk message's text, by the maker's document
)

// GoIPSMS names the protocol, as in Record.Protocol.
const GoIPSMS = "goip-sms"

func goipSMS() reader {
	return reader{
		Protocol: Protocol{
			Name:       GoIPSMS,
			Doc:        "GoIP gateway to its SMS server: a keepalive per channel with the identities of module and card, call and message events, commands; UDP, any port",
			Vendor:     "DBL/HYBERTONE",
			Server:     "sms-server",
			Source:     "research/gateways.md 2.1: the maker's SMS interface document, its own server and five independent implementations",
			Confidence: "verbatim in several sources; commands and bulk messages are recognised and never sound, their grammar being too plain, nor are CELLINFO and CGATT events, whose bodies one source tells of in part",
		},
		starts: []string{
			"req:", "reg:", "STATE", "RECORD", "HANGUP", "REMAIN", "EXPIRY", "RECEIVE", "DELIVER", "USSN", "USSD", "GSM:", "GSM ", "BCCH", "CELLS", "CELLINFO", "CGATT",
			"MSG ", "PASSWORD ", "SEND ", "WAIT ", "DONE ", "ERROR ", "get_", "set_", "svr_", "reset_remain_time", "module_ctl",
			"CURCELL", "ATSTART", "ATSTOP", "ATALIVE", "ATCMD", "CFOK", "CFERROR", "CWOK", "CWERROR", "OK ", "CF ", "CW ", "AT:",
		},
		datagram: func(p *packet.Packet, emit func(*Record)) bool {
			r := goipMessage(p.Payload)
			if r != nil {
				emit(r)
			}
			return r != nil
		},
	}
}

// text is a message being walked through; every method moves past what it
// matched, and leaves everything where it is when it did not match.
type text struct{ b []byte }

func (t *text) literal(s string) bool {
	if len(t.b) < len(s) || string(t.b[:len(s)]) != s {
		return false
	}
	t.b = t.b[len(s):]
	return true
}

// until gives what stands before the next c, at most max bytes of it.
func (t *text) until(c byte, max int) ([]byte, bool) {
	i := bytes.IndexByte(t.b[:min(len(t.b), max+1)], c)
	if i < 0 {
		return nil, false
	}
	v := t.b[:i]
	t.b = t.b[i+1:]
	return v, true
}

// number reads up to ten digits, with a minus before them.
func (t *text) number() (uint64, bool) {
	b, neg := t.b, false
	if len(b) > 0 && b[0] == '-' {
		b, neg = b[1:], true
	}
	n := 0
	var v uint64
	for n < len(b) && n < 10 && b[n] >= '0' && b[n] <= '9' {
		v = v*10 + uint64(b[n]-'0')
		n++
	}
	if n == 0 || n < len(b) && b[n] >= '0' && b[n] <= '9' {
		return 0, false
	}
	t.b = b[n:]
	if neg {
		v = -v
	}
	return v, true
}

// end says whether nothing is left but line ends and a terminating zero.
func (t *text) end() bool { return len(bytes.Trim(t.b, "\r\n\x00")) == 0 }

func goipMessage(b []byte) *Record {
	var r *Record
	switch t := (text{b}); {
	case t.literal("req:"):
		r = goipKeepalive(b)
	case t.literal("reg:"):
		r = goipRegistered(t)
	default:
		if r = goipEvent(b); r == nil {
			r = goipWords(b)
		}
	}
	if r != nil {
		r.Protocol, r.Vendor = GoIPSMS, "DBL/HYBERTONE"
	}
	return r
}

// goipRegistered reads the server's "reg:27;status:0;".
func goipRegistered(t text) *Record {
	n, ok := t.number()
	if !ok || !t.literal(";status:") {
		return nil
	}
	if _, ok = t.number(); !ok || !t.literal(";") || !t.end() {
		return nil
	}
	x := exchange("req", n)
	return &Record{Kind: Answer, Sender: RoleServer, Sound: true, Reply: true, Exchange: x, Digest: x ^ 1<<63}
}

// goipKeepalive reads "req:N;id:...;pass:...;num:...;signal:...;gsm_status:..."
// and what follows. Without these six in this order it is no keepalive.
func goipKeepalive(b []byte) *Record {
	t := text{b[len("req:"):]}
	n, ok := t.number()
	if !ok || !t.literal(";id:") {
		return nil
	}
	id, ok := goipID(&t)
	if !ok || !t.literal("pass:") {
		return nil
	}
	head := b[:len(b)-len(t.b)]
	if _, ok = t.until(';', maxPassword); !ok {
		return nil
	}
	r := &Record{
		Kind: Keepalive, Sender: RoleGateway, Channel: channel(id),
		Exchange: exchange("req", n), Digest: ident.Hash(1, head), Sound: true,
	}
	var seen uint32
	last := -1
	for !t.end() {
		name, ok1 := t.until(':', 24)
		value, ok2 := t.until(';', 128)
		if !ok1 || !ok2 {
			r.Sound = false
			break
		}
		rank := goipRank(name)
		switch {
		case last < goipStatus && rank != last+1:
			return nil
		case rank != goipUnknown && rank <= last:
			// Newer firmware appends fields. One that is not known may follow
			// the known ones and not stand between them.
			r.Sound = false
		case !r.goipField(rank, value):
			r.Sound = false
		}
		last = rank
		seen |= 1 << rank
	}
	const least = 1<<goipNum | 1<<goipSignal | 1<<goipStatus
	if seen&least != least {
		return nil
	}
	// Every sample and implementation has these; a text without them is cut.
	const most = least | 1<<goipVoIPStatus | 1<<goipVoIPState | 1<<goipRemain | 1<<goipCarrier
	r.Sound = r.Sound && seen&most == most
	return r
}

// The fields of a keepalive after the password, in their order.
const (
	goipNum = iota
	goipSignal
	goipStatus
	goipVoIPStatus
	goipVoIPState
	goipRemain
	goipIMEI
	goipIMSI
	goipICCID
	goipCarrier
	goipIdle
	goipDisabled
	goipSMSLogin
	goipSMBLogin
	goipCell
	goipAttached
	goipUnknown
)

func goipRank(name []byte) int {
	switch string(name) {
	case "num":
		return goipNum
	case "signal":
		return goipSignal
	case "gsm_status":
		return goipStatus
	case "voip_status":
		return goipVoIPStatus
	case "voip_state":
		return goipVoIPState
	case "remain_time":
		return goipRemain
	case "imei":
		return goipIMEI
	case "imsi":
		return goipIMSI
	case "iccid":
		return goipICCID
	case "pro":
		return goipCarrier
	case "idle":
		return goipIdle
	case "disable_status":
		return goipDisabled
	case "SMS_LOGIN":
		return goipSMSLogin
	case "SMB_LOGIN":
		return goipSMBLogin
	case "CELLINFO":
		return goipCell
	case "CGATT":
		return goipAttached
	}
	return goipUnknown
}

// goipField checks one value, and keeps it if it is an identity. An identity
// of zeros only means that there is none.
func (r *Record) goipField(rank int, v []byte) (ok bool) {
	switch rank {
	case goipNum:
		if len(v) == 0 || string(v) == "(null)" {
			return true
		}
		if !isNumber(v) {
			return false
		}
		r.Number = ident.NewNumber(v)
		return true
	case goipSignal:
		return len(v) == 0 || len(v) <= 3 && isInteger(v)
	case goipStatus, goipVoIPStatus:
		return string(v) == "LOGIN" || string(v) == "LOGOUT"
	case goipVoIPState:
		return isState(v)
	case goipRemain, goipIdle, goipDisabled:
		return isInteger(v)
	case goipIMEI:
		if zeros(v) {
			return true
		}
		if len(v) != 15 {
			return false
		}
		r.IMEI, ok = ident.NewIMEI(v)
		return ok
	case goipIMSI:
		if zeros(v) {
			return true
		}
		if !plausible(v) {
			return false
		}
		r.IMSI, ok = ident.NewIMSI(v)
		return ok
	case goipICCID:
		if zeros(v) {
			return true
		}
		c, ok := ident.NewICCID(v)
		// Eighteen digits is the number without its check digit.
		if !ok || len(bytes.TrimRight(v, "fF")) > 18 && !c.Checked() {
			return false
		}
		r.ICCID = c
		return true
	case goipSMSLogin, goipSMBLogin, goipAttached:
		return len(v) == 0 || string(v) == "Y" || string(v) == "N"
	case goipCell:
		return len(v) == 0 || isCell(v)
	}
	return printable(v) // the carrier's name, and fields not known
}

// goipEvent reads "STATE:446;id:...;password:...;gsm_remain_state:IDLE" and its
// kin from a gateway.
func goipEvent(b []byte) *Record {
	t := text{b}
	verb, ok := t.until(':', 8)
	if !ok {
		return nil
	}
	known, hasID := goipVerb(verb)
	if !known {
		return nil
	}
	n, ok := t.number()
	if !ok || !t.literal(";") {
		return nil
	}
	r := &Record{Kind: Event, Sender: RoleGateway, Exchange: exchange(string(verb), n)}
	if !hasID {
		r.Kind, r.Reply = Answer, true
		r.Exchange = exchange("GSM", n)
		r.Digest = ident.Hash(2, b[:len(b)-len(t.b)])
		if !bytes.HasPrefix(t.b, []byte("get_gsm_num:")) {
			return nil
		}
		r.Sound = goipModule(t, r)
		return r
	}
	if string(verb) == "AT" {
		if !t.literal("count:") {
			return nil
		}
		if _, ok = t.number(); !ok || !t.literal(";") {
			return nil
		}
	}
	if !t.literal("id:") {
		return nil
	}
	id, ok := goipID(&t)
	if !ok || !t.literal("password:") {
		return nil
	}
	r.Channel = channel(id)
	r.Digest = ident.Hash(2, b[:len(b)-len(t.b)])
	if _, ok = t.until(';', maxPassword); !ok {
		return nil
	}
	r.Sound = goipEventBody(string(verb), t)
	return r
}

// goipVerb says whether verb begins an event, and whether id and password
// follow: all but "GSM:", which answers a query.
func goipVerb(verb []byte) (known, id bool) {
	switch string(verb) {
	case "STATE", "RECORD", "HANGUP", "REMAIN", "EXPIRY", "RECEIVE", "DELIVER", "USSN", "BCCH", "CELLS", "CELLINFO", "CGATT", "AT":
		return true, true
	case "GSM":
		return true, false
	}
	return false, false
}

// goipEventBody checks what follows the password, and stops where the text of
// a message begins.
func goipEventBody(verb string, t text) bool {
	ok := false
	switch verb {
	case "STATE":
		return t.literal("gsm_remain_state:") && isState(bytes.TrimRight(t.b, "\r\n\x00;"))
	case "RECORD":
		if !t.literal("dir:1;num:") && !t.literal("dir:2;num:") {
			return false
		}
		return dialled(bytes.TrimRight(t.b, "\r\n\x00;"))
	case "HANGUP":
		if !t.literal("num:") {
			return false
		}
		num, ok := t.until(',', 32)
		return ok && dialled(num) && t.literal("cause:") && printable(bytes.TrimRight(t.b, "\r\n\x00"))
	case "REMAIN":
		ok = t.literal("gsm_remain_time:")
	case "EXPIRY":
		ok = t.literal("exp:")
	case "RECEIVE":
		if !t.literal("srcnum:") {
			return false
		}
		if num, ok := t.until(';', 32); !ok || !printable(num) {
			return false
		}
		if t.literal("smscnum:") {
			if num, ok := t.until(';', 32); !ok || !dialled(num) {
				return false
			}
		}
		return t.literal("msg:")
	case "DELIVER":
		if !t.literal("sms_no:") {
			return false
		}
		if _, ok = t.number(); !ok || !t.literal(";state:") {
			return false
		}
		if _, ok = t.number(); !ok || !t.literal(";num:") {
			return false
		}
		return dialled(bytes.TrimRight(t.b, "\r\n\x00;"))
	case "BCCH":
		return t.literal("bcch:") && isList(bytes.TrimRight(t.b, "\r\n\x00;"))
	case "CELLS":
		return t.literal("lists:") && isList(bytes.TrimRight(t.b, "\r\n\x00;"))
	case "AT":
		return t.literal("receive:")
	case "USSN":
		return t.literal("msg:")
	}
	if !ok {
		return false // CELLINFO, CGATT: what the value is called is not known
	}
	if _, ok = t.number(); !ok {
		return false
	}
	t.literal(";")
	return t.end()
}

// goipModule reads the answer to the "GSM" query, which bears no password.
func goipModule(t text, r *Record) bool {
	for _, name := range [...]string{"get_gsm_num:", "get_exp_time:", "get_remain_time:", "get_gsm_state:", "imei:", "out_call_interval:", "module_down:"} {
		if !t.literal(name) {
			return false
		}
		v, ok := t.until(';', 64)
		if !ok {
			if name != "module_down:" {
				return false
			}
			v = bytes.TrimRight(t.b, "\r\n\x00")
		}
		switch name {
		case "get_gsm_num:":
			ok = r.goipField(goipNum, v)
		case "get_gsm_state:":
			ok = isState(v)
		case "imei:":
			ok = r.goipField(goipIMEI, v)
		default:
			ok = isInteger(v)
		}
		if !ok {
			return false
		}
	}
	return true
}

// goipWords reads what is words and blanks: the server's "STATE 446 OK", the
// steps of a bulk message, and commands. All but the first are recognised only:
// their grammar is too plain to prove anything, so they are never sound, and
// Sessions takes them into account on a flow it knows already.
func goipWords(b []byte) *Record {
	t := text{bytes.TrimRight(b, "\r\n\x00")}
	verb, ok := t.until(' ', 24)
	if !ok {
		return nil
	}
	n, ok := t.number()
	if !ok || len(t.b) > 0 && !t.literal(" ") {
		return nil
	}
	alone := len(t.b) == 0 // nothing follows the number
	r := &Record{Kind: Command, Sender: RoleServer, Exchange: exchange("bulk", n)}
	answer := func() { r.Kind, r.Sender, r.Reply = Answer, RoleGateway, true }
	v := string(verb)
	switch v {
	case "STATE", "RECORD", "HANGUP", "REMAIN", "EXPIRY", "RECEIVE", "DELIVER", "USSN", "BCCH", "CELLS", "CELLINFO", "CGATT":
		r.Kind, r.Reply, r.Exchange = Answer, true, exchange(v, n)
		switch {
		case string(t.b) == "OK", string(t.b) == "DISABLE":
			r.Sound = true
		case !t.literal("ERROR"):
			return nil
		}
	case "MSG":
		length, ok := t.number()
		if !ok || length == 0 || length > maxSMS || !t.literal(" ") {
			return nil
		}
		// The maker counts the text's bytes and appends a line end.
		if rest := uint64(len(b) - (len(bytes.TrimRight(b, "\r\n\x00")) - len(t.b))); rest != length && rest != length+1 {
			return nil
		}
	case "PASSWORD":
		if alone {
			answer()
		} else if len(t.b) > maxPassword {
			return nil
		}
	case "SEND":
		if alone {
			answer()
		} else if tel, ok := t.number(); !ok || !t.literal(" ") || !dialled(t.b) || len(t.b) == 0 {
			return nil
		} else if isNumber(t.b) {
			r.Recipient = ident.NewNumber(t.b)
			r.text, r.step = bulkText(n, tel), textHanded
		}
	case "OK", "WAIT":
		answer()
		tel, ok := t.number()
		if !ok {
			return nil
		}
		r.text, r.step = bulkText(n, tel), textSent
		if v == "WAIT" {
			r.step = textWaits
		}
		if t.literal(" ") {
			_, ok = t.number()
		}
		if !ok || !t.end() {
			return nil
		}
	case "ERROR":
		answer()
		if alone {
			return nil
		}
		if tel, ok := t.number(); ok {
			r.text, r.step = bulkText(n, tel), textFailed
		}
	case "DONE":
		r.Sender = RoleUnknown // both ends say it
		if !alone {
			return nil
		}
	case "GSM", "CF", "CW":
		r.Exchange = exchange(v, n)
		if alone {
			return nil
		}
	case "CFOK", "CFERROR", "CWOK", "CWERROR":
		answer()
		r.Exchange = exchange(v[:2], n)
	case "USSDERROR":
		answer()
		r.Exchange = exchange("USSD", n)
	case "USSDEXIT":
		r.Exchange = exchange(v, n)
		if alone {
			answer()
		}
	default:
		if !goipCommand(v) || alone {
			return nil
		}
		// The gateway answers with the same word and number and its value in
		// the place of the password.
		r.Sender, r.Exchange = RoleUnknown, exchange(v, n)
	}
	r.Digest = ident.Hash(r.Exchange^uint64(len(b)), verb)
	return r
}

func goipCommand(v string) bool {
	switch v {
	case "USSD", "CURCELL", "ATSTART", "ATSTOP", "ATALIVE", "ATCMD", "module_ctl", "module_ctl_i", "reset_remain_time",
		"get_gsm_num", "set_gsm_num", "get_exp_time", "set_exp_time", "get_remain_time", "get_gsm_state",
		"svr_drop_call", "svr_reboot_module", "svr_reboot_dev", "get_imei", "set_imei",
		"get_out_call_interval", "set_out_call_interval", "set_base_cell", "get_cells_list":
		return true
	}
	return false
}

// bulkText names one message of a bulk by the bulk's number and its own.
func bulkText(bulk, tel uint64) uint64 {
	return exchange("text", ident.Hash(bulk, binary.LittleEndian.AppendUint64(nil, tel)))
}

func goipID(t *text) ([]byte, bool) {
	id, ok := t.until(';', maxID)
	return id, ok && len(id) > 0 && printable(id)
}

// channel numbers a channel by its id. Ids are few and short, so this is a name
// for a channel within one gateway, not a pseudonym.
func channel(id []byte) uint32 { return max(uint32(ident.Hash(0, id)), 1) }

func printable(v []byte) bool {
	for _, c := range v {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func isInteger(v []byte) bool {
	t := text{v}
	_, ok := t.number()
	return ok && len(t.b) == 0
}

// isNumber says whether v is a whole telephone number.
func isNumber(v []byte) bool {
	if len(v) > 0 && v[0] == '+' {
		v = v[1:]
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(v) >= 3 && len(v) <= 15
}

// dialled says whether v is what can be dialled, or nothing.
func dialled(v []byte) bool {
	for _, c := range v {
		if (c < '0' || c > '9') && c != '+' && c != '*' && c != '#' {
			return false
		}
	}
	return len(v) <= 32
}

// isState says whether v is a call state, such as IDLE or DIALING:10086.
func isState(v []byte) bool {
	n := 0
	for n < len(v) && (v[n] >= 'A' && v[n] <= 'Z' || v[n] == '_') {
		n++
	}
	if n == 0 || n > 24 {
		return false
	}
	return n == len(v) || v[n] == ':' && dialled(v[n+1:])
}

// isCell checks "LAC:7E5,CELL ID:5E5B".
func isCell(v []byte) bool {
	t := text{v}
	if !t.literal("LAC:") {
		return false
	}
	lac, ok := t.until(',', 8)
	return ok && isHex(lac) && t.literal("CELL ID:") && isHex(t.b)
}

func isHex(v []byte) bool {
	for _, c := range v {
		if (c < '0' || c > '9') && (c < 'A' || c > 'F') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(v) > 0 && len(v) <= 8
}

func isList(v []byte) bool {
	for _, c := range v {
		if (c < '0' || c > '9') && c != ',' {
			return false
		}
	}
	return true
}

// zeros says whether v is the placeholder of an identity: nothing, or zeros.
func zeros(v []byte) bool { return len(bytes.Trim(v, "0")) == 0 }
