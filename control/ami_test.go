package control

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	amiHello = "Asterisk Call Manager/1.1\r\n"
	amiLogin = "Action: Login\r\nUsername: apiuser\r\nSecret: " + secret + "\r\n\r\n"
	amiShow  = "Action: smscommand\r\ncommand: gsm show spans\r\n\r\n"
	amiList  = "Response: Follows\r\nPrivilege: SMSCommand\r\nGSM span 2: Power on, Provisioned, Up, Active,Standard\r\nGSM span 3: Power on, Down, Active, Standard\r\n--END COMMAND--\r\n\r\n"
	amiEvt   = "Event: ReceivedSMS\r\nPrivilege: all,smscommand\r\nID: \r\nGsmSpan: 2\r\nSender: +14108166914\r\nRecvtime: 2026-03-25 17:20:48\r\nIndex: 1\r\nTotal: 1\r\nSmsc: +19703769769\r\nContent: " + smsText + "\r\n--END SMS EVENT--\r\n\r\n"
)

func amiDetail(imei, imsi string) string {
	return "Response: Follows\r\nPrivilege: SMSCommand\r\nD-channel: 2\nStatus: Power on, Provisioned, Up, Active,Standard\nType: CPE\nManufacturer: Quectel\nModel Name: EC21\nModel IMEI: " + imei +
		"\nRevision: EC21AFAR05A06M4G\nNetwork Name: CMCC\nNetwork Status: Registered (Home network)\nSignal Quality (0,31): 19\nSIM IMSI: " + imsi + "\nSIM SMS Center Number: +13123149810\nLast event: D-Channel Up\n--END COMMAND--\r\n\r\n"
}

func TestGSMAMI(t *testing.T) {
	const plain = " imsi false imei false iccid false"
	line := func(k Kind, sender Role, channel int, sound, reply bool) string {
		return fmt.Sprintf("gsm-ami %d %v channel %d sound %v reply %v", k, sender, channel, sound, reply) + plain
	}
	spans := []string{line(Keepalive, RoleGateway, 2, true, true), line(Keepalive, RoleGateway, 3, true, true)}
	show := line(Command, RoleServer, 0, true, false)
	send := line(Command, RoleServer, 2, true, false)
	event := line(Event, RoleGateway, 2, true, false)
	both := func(up, down string) []turn {
		return []turn{{true, []byte(amiHello)}, {false, []byte(amiLogin + down)}, {true, []byte("Response: Success\r\nMessage: Authentication accepted\r\n\r\n" + up)}}
	}
	for name, c := range map[string]struct {
		turns []turn
		want  []string
	}{
		"states":         {both(amiList, amiShow), append([]string{show}, spans...)},
		"received":       {both(amiEvt, ""), []string{event}},
		"sent":           {both("Event: UpdateSMSSend\r\nPrivilege: all,smscommand\r\nID: 77\r\nSmsc: +22670900505\r\nStatus: 1\r\n--END SMS EVENT--\r\n\r\n", ""), []string{line(Event, RoleGateway, 0, true, false)}},
		"send":           {both("", "Action: smscommand\r\ncommand: gsm send sms 2 +8613800138000 \""+smsText+"\" 77\r\n\r\n"), []string{send}},
		"send, long":     {both("", "Action: smscommand\r\ncommand: gsm send sms 2 13800138000 \""+smsText+strings.Repeat("x", 3000)+"\" 77\r\n\r\n"+amiShow), []string{send, show}},
		"OpenVox":        {both("", "Action: Command\r\nCommand: gsm send sms 2 13800138000 \""+smsText+"\" 0 77\r\n\r\n"), []string{send}},
		"other letters":  {both("", "Action: SMSCommand\r\nActionID: 7\r\nCommand: gsm show spans\r\n\r\n"), []string{show}},
		"identities":     {both(amiDetail(imei1, imsi1), ""), []string{fmt.Sprintf("gsm-ami %d gateway channel 2 sound true reply true imsi true imei true iccid false", Identity)}},
		"text of a line": {both(strings.Replace(amiEvt, smsText, strings.Repeat(smsText, 200), 1)+amiEvt, ""), []string{event, event}},
		"behind an answer's number": {both("Response: Follows\r\nPrivilege: SMSCommand\r\n1:GSM span 2: Power on, Up, Active, Standard\r\n--END COMMAND--\r\n\r\n", ""),
			spans[:1]},

		// Near misses: not sound.
		"IMEI with a typo": {both(amiDetail("356938035643808", imsi1), ""), []string{fmt.Sprintf("gsm-ami %d gateway channel 2 sound false reply true imsi true imei false iccid false", Identity)}},
		"no privilege":     {both(strings.Replace(amiEvt, "all,smscommand", "call,all", 1), ""), []string{line(Event, RoleGateway, 2, false, false)}},
		"no time":          {both(strings.Replace(amiEvt, "2026-03-25 17:20:48", "yesterday", 1), ""), []string{line(Event, RoleGateway, 2, false, false)}},

		// Near misses: nothing.
		"an office exchange": {both("Event: Newchannel\r\nPrivilege: call,all\r\nChannel: SIP/100-1\r\nUniqueid: 1\r\n\r\nEvent: PeerStatus\r\nPrivilege: system,all\r\nPeer: SIP/100\r\nPeerStatus: Registered\r\n\r\n",
			"Action: Command\r\nCommand: sip show peers\r\n\r\nAction: Originate\r\nChannel: SIP/100\r\n\r\n"), nil},
		"not the GSM part":  {both("", "Action: smscommand\r\ncommand: core show channels\r\n\r\n"), nil},
		"command alone":     {both("", "command: gsm show spans\r\n\r\n"), nil},
		"state of a switch": {both("Response: Follows\r\nPrivilege: SMSCommand\r\nGSM span 2: up and running\r\n--END COMMAND--\r\n\r\n", ""), nil},
		"no end":            {both(strings.Replace(amiEvt, "--END SMS EVENT--\r\n", "", 1), ""), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1 << 20, 1000, 61, 1} {
				if d := cmp.Diff(c.want, converse(t, size, c.turns...).lines()); d != "" {
					t.Errorf("in pieces of %d: %s", size, d)
				}
			}
		})
	}
}

// A gateway that is asked for the states of its spans every half minute.
func TestGSMAMIProof(t *testing.T) {
	for name, c := range map[string]struct {
		list, ask string
		proof     bool
	}{
		"two spans":          {amiList, amiShow, true},
		"one span":           {strings.Replace(amiList, "GSM span 3: Power on, Down, Active, Standard\r\n", "", 1), amiShow, false},
		"an office exchange": {"Event: PeerStatus\r\nPeer: SIP/100\r\n\r\n", "Action: Ping\r\n\r\n", false},
		"nobody asks":        {amiList, "", false},
	} {
		x := newTalk(t)
		w := way{gateway, server, 5038, 40000, 6}
		x.tcp(w, 0, []byte(amiHello))
		x.tcp(w.back(), 1e6, []byte(amiLogin))
		for i := range int64(4) {
			x.tcp(w.back(), (1+30*i)*second, []byte(c.ask))
			x.tcp(w, (2+30*i)*second, []byte(c.list))
		}
		proof, oneWay := false, false
		if e := x.about(gateway, GSMAMI); e != nil {
			proof, oneWay, _ = e.Proof()
		}
		if proof && !oneWay != c.proof {
			t.Errorf("%s: %v", name, x.lines())
		}
		if e := x.about(server, GSMAMI); e != nil {
			t.Errorf("%s: evidence about the server", name)
		}
	}
}

// The pieces a stream comes in make no difference.
func FuzzGSMAMI(f *testing.F) {
	for _, s := range []string{amiHello + amiList + amiEvt, amiDetail(imei1, imsi1), amiShow, amiLogin} {
		f.Add([]byte(s), uint8(7))
	}
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		pieces(t, &amiStream{}, &amiStream{}, b, int(size))
	})
}

// pieces steps through b, whole and in pieces, and wants the same of both. It
// is for readers whose messages say themselves where they end.
func pieces(t *testing.T, whole, cut streamReader, b []byte, size int) {
	t.Helper()
	read := func(r streamReader, size int) (out []Record) {
		var held []byte
		rest := b
		for len(rest) > 0 {
			n := min(size, len(rest))
			held = append(held, rest[:n]...)
			rest = rest[n:]
			for len(held) > 0 {
				if !r.begins(held) {
					return out
				}
				done, want, skip := r.step(held, false, len(rest) == 0, start, func(r *Record) { out = append(out, *r) })
				if done < 0 || done > len(held) || skip < 0 || done == 0 && want != 0 && (want <= len(held) || want > maxHeld) {
					t.Fatalf("done %d, want %d, skip %d of %d", done, want, skip, len(held))
				}
				if done == 0 && want == 0 {
					return out
				}
				if done == 0 {
					break
				}
				held = held[done:]
				if n := min(skip, len(held)); skip > 0 {
					held, skip = held[n:], skip-n
				}
				n := min(skip, len(rest))
				rest = rest[n:]
			}
		}
		return out
	}
	a, c := read(whole, max(len(b), 1)), read(cut, size%61+1)
	for i := range a {
		leaks(t, &a[i])
	}
	if d := cmp.Diff(len(a), len(c)); d != "" {
		t.Fatal(d)
	}
	for i := range a {
		if a[i] != c[i] {
			t.Fatalf("%+v\n%+v", a[i], c[i])
		}
	}
}
