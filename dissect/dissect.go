// Package dissect tells what was understood of a capture: packet by packet, or
// call by call, stream by stream, record by record, registration by
// registration. It judges nothing. What it writes is told as soon as it is
// known, and what waits is bounded.
package dissect

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/report"
	"simtrap/rtp"
	"simtrap/sip"
)

// What is what to tell of.
type What uint8

const (
	Calls What = iota
	Packets
	Streams
	Records
	Registrations
)

// Options says what to tell and how. Names must not be nil.
type Options struct {
	What   What
	Names  *ident.Pseudonymizer
	Plan   *ident.Plan    // the numbering plan; nil is China's
	Homes  *ident.Homes   // tell which end of a call is the subscriber's; may be nil
	Lines  []netip.Prefix // only what one of these has a part in; none: everything
	Call   uint64         // only the call of this number, 0: every call
	CallID string         // only what has this pseudonym of its Call-ID
	JSON   bool
	All    bool // packets of which nothing was understood, too
}

// ParseLine takes an address, or a prefix.
func ParseLine(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is no address: want 203.0.113.7, 2001:db8::7 or a prefix", s)
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// teller writes events.
type teller struct {
	o       Options
	w       *bufio.Writer
	flushed time.Time
	err     error
	stop    func() // called once, on the first error
	numbers [ident.NumberBuffer]byte

	authority string
}

func newTeller(w io.Writer, o Options, stop func()) *teller {
	if o.Plan == nil {
		o.Plan, _ = ident.ParsePlan("")
	}
	return &teller{o: o, w: bufio.NewWriterSize(w, 64<<10), stop: stop, authority: clean(o.Names.Authority())}
}

// event is something to tell: as an object, or in lines of text. Every text in
// it has been through clean.
type event interface{ text(b []byte) []byte }

// flushEvery is how long something told may wait for its reader.
const flushEvery = 200 * time.Millisecond

func (t *teller) tell(e event) {
	if t.err != nil {
		return
	}
	if t.o.JSON {
		enc := json.NewEncoder(t.w) // escapes what means something in a page
		t.err = enc.Encode(e)
	} else {
		_, t.err = t.w.Write(append(e.text(nil), '\n'))
	}
	// The clock says when to flush, and nothing else.
	if now := time.Now(); t.err == nil && now.Sub(t.flushed) > flushEvery {
		t.flushed = now
		t.err = t.w.Flush()
	}
	if t.err != nil {
		t.stop()
	}
}

func (t *teller) close() error {
	if t.err == nil {
		t.err = t.w.Flush()
	}
	return t.err
}

// maxClean bounds texts of strangers.
const maxClean = 120

// clean makes a stranger's text fit for a line.
func clean(s string) string {
	if len(s) > 4*maxClean {
		s = s[:4*maxClean]
	}
	s = report.Plain(s)
	n := 0
	for i := range s {
		if n++; n > maxClean {
			return s[:i] + "..."
		}
	}
	return s
}

// agent is a User-Agent without what may be a serial number.
func (t *teller) agent(s string) string {
	if t.authority == "" {
		s = heuristics.MaskSerials(s)
	}
	return clean(s)
}

// user writes the user part of an address: its class and a pseudonym. It reads
// the same however the number was dialled.
func (t *teller) user(b []byte) string {
	n, _ := t.o.Plan.Classify(b, t.numbers[:])
	return t.number(ident.NewNumber(n))
}

func (t *teller) number(n ident.Number) string {
	if n.IsZero() {
		return ""
	}
	class := ""
	if c := t.o.Plan.ClassOf(n); c != ident.NumberUnknown {
		class = t.o.Plan.Name() + "-" + c.String()
	}
	return clean(t.o.Names.Number(class, n))
}

func (t *teller) callID(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return clean(t.o.Names.Text("call-id", string(b)))
}

// concerns says whether one of the addresses is of a line that was asked for.
func (t *teller) concerns(addrs ...ident.Addr) bool {
	if len(t.o.Lines) == 0 {
		return true
	}
	for _, a := range addrs {
		n := a.Netip()
		for _, p := range t.o.Lines {
			if p.Contains(n) {
				return true
			}
		}
	}
	return false
}

func socket(a ident.Addr, port uint16) string {
	return netip.AddrPortFrom(a.Netip(), port).String()
}

func party(p sip.Party) string { return socket(p.Addr, p.Port) }

// stamp is a time in JSON; 0 is none.
func stamp(ns int64) string {
	if ns == 0 {
		return ""
	}
	return time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
}

// clock is a time in text.
func clock(ns int64) string {
	return time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05.000000")
}

// field appends a word if there is one.
func field(b []byte, before, s string) []byte {
	if s == "" {
		return b
	}
	return append(append(b, before...), s...)
}

// access names what a packet was wrapped in.
func access(a *packet.Access) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case a.VLAN[1] != 0:
		add("vlan %d.%d", a.VLAN[0], a.VLAN[1])
	case a.VLAN[0] != 0:
		add("vlan %d", a.VLAN[0])
	}
	if a.Session != 0 {
		add("pppoe %d", a.Session)
	}
	switch {
	case a.L2TP > 0xffff:
		add("l2tp %d.%d", a.L2TP>>16, a.L2TP&0xffff)
	case a.L2TP != 0:
		add("l2tp %d", a.L2TP)
	}
	if a.TEID != 0 {
		add("gtp-u %#x", a.TEID)
	}
	if a.Tunnel > 0 {
		add("%s %s > %s", plural(int(a.Tunnel), "tunnel"), a.OuterSrc, a.OuterDst)
	}
	return strings.Join(parts, ", ")
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

// codec names a payload type by RFC 3551, and dynamic ones by number and rate.
func codec(pt uint8, rate uint32) string {
	if int(pt) < len(codecs()) && codecs()[pt] != "" {
		return codecs()[pt]
	}
	switch {
	case pt == rtp.NoPT:
		return ""
	case rate != 0:
		return "pt" + strconv.Itoa(int(pt)) + "/" + strconv.Itoa(int(rate))
	}
	return "pt" + strconv.Itoa(int(pt))
}

func codecs() [35]string {
	return [35]string{0: "PCMU", 3: "GSM", 4: "G723", 5: "DVI4", 6: "DVI4/16000", 7: "LPC", 8: "PCMA", 9: "G722", 12: "QCELP", 13: "CN", 15: "G728", 18: "G729", 19: "CN",
		26: "JPEG", 31: "H261", 34: "H263"}
}

// codecOf names a stream's codec.
func codecOf(s *rtp.Stream) string {
	switch s.Codec.String() {
	case "", "other":
		return codec(s.PT, s.Rate)
	}
	return s.Codec.String()
}

// encoding names what a=rtpmap tells; nothing where it tells nothing of ours.
func encoding(e sip.Encoding) string {
	names := [...]string{"", "", "PCMU", "PCMA", "G729", "G723", "GSM", "GSM-EFR", "iLBC", "G722", "AMR", "AMR-WB", "EVS", "opus", "telephone-event", "CN"}
	if int(e) < len(names) {
		return names[e]
	}
	return ""
}

func method(m sip.Method) string {
	names := [...]string{"unknown", "INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "INFO", "PRACK", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER", "MESSAGE", "PUBLISH"}
	if int(m) < len(names) {
		return names[m]
	}
	return names[0]
}
