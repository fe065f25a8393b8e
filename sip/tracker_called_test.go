package sip

import (
	"fmt"
	"testing"

	"simtrap/ident"
	"simtrap/packet"
)

type lastCall struct {
	call Call
	reg  Registration
}

func (l *lastCall) Call(c *Call, _ CallEvent)    { l.call = *c }
func (l *lastCall) Registration(r *Registration) { l.reg = *r }
func (l *lastCall) Request(*Request)             {}

// The number behind an account: a proxy writes the contact into the
// request-URI, and what was dialled stands in To.
func TestCalledNumberOfARegisteredAccount(t *testing.T) {
	for _, tt := range []struct {
		name, contact, uri, to string
		class                  ident.NumberClass
		own                    bool
	}{
		{"the account itself", "1001", "1001", "1001", ident.NumberInternal, true},
		{"a number behind the account", "1001", "1001", "13812345678", ident.NumberMobile, false},
		{"another contact user", "line-7", "line-7", "1001", ident.NumberInternal, true},
		{"a number behind another contact user", "line-7", "line-7", "057188886666", ident.NumberLandline, false},
		{"a number in the request-URI", "1001", "13812345678", "13812345678", ident.NumberMobile, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &lastCall{}
			tr := NewTracker(Config{}, h)
			line, far := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{198, 51, 100, 9})
			now := int64(1e18)
			send := func(from, to ident.Addr, text string) {
				var m Message
				if err := Parse([]byte(text), &m); err != nil {
					t.Fatal(err)
				}
				now += 1e9
				tr.Message(&packet.Packet{Time: now, Src: from, Dst: to, SrcPort: 5060, DstPort: 5060, Proto: packet.UDP}, &m)
			}
			register := "Via: SIP/2.0/UDP 203.0.113.7;branch=z9hG4bKr\r\nFrom: <sip:1001@198.51.100.9>;tag=a\r\nTo: <sip:1001@198.51.100.9>%s\r\nCall-ID: r\r\nCSeq: 1 REGISTER\r\nContact: <sip:" + tt.contact + "@192.168.1.5:5060>;expires=60\r\nContent-Length: 0\r\n\r\n"
			send(line, far, "REGISTER sip:198.51.100.9 SIP/2.0\r\n"+fmt.Sprintf(register, ""))
			send(far, line, "SIP/2.0 200 OK\r\n"+fmt.Sprintf(register, ";tag=b"))
			send(far, line, "INVITE sip:"+tt.uri+"@203.0.113.7 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bKi\r\nFrom: <sip:x@198.51.100.9>;tag=c\r\nTo: <sip:"+tt.to+"@198.51.100.9>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n")
			if h.call.CalleeClass != tt.class || h.reg.UserKey == 0 || (h.call.CalleeKey == h.reg.UserKey) != tt.own {
				t.Errorf("class %v, own %v; want %v, %v", h.call.CalleeClass, h.call.CalleeKey == h.reg.UserKey, tt.class, tt.own)
			}
		})
	}
}

// The operator of a mobile callee is the plan's word, and there is none for
// other numbers.
func TestCalleeOperator(t *testing.T) {
	for _, tt := range []struct{ to, like string }{
		{"13812345678", "13912345678"},
		{"8613812345678", "13912345678"},
		{"18612345678", "13012345678"},
		{"057188886666", ""},
		{"1001", ""},
		{"12025550123", ""},
	} {
		of := func(to string) string {
			h := &lastCall{}
			tr := NewTracker(Config{}, h)
			var m Message
			if err := Parse([]byte("INVITE sip:"+to+"@203.0.113.7 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bKi\r\nFrom: <sip:x@198.51.100.9>;tag=c\r\nTo: <sip:"+to+"@198.51.100.9>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"), &m); err != nil {
				t.Fatal(err)
			}
			tr.Message(&packet.Packet{Time: 1e18, Src: ident.AddrFrom4([]byte{198, 51, 100, 9}), Dst: ident.AddrFrom4([]byte{203, 0, 113, 7}), SrcPort: 5060, DstPort: 5060, Proto: packet.UDP}, &m)
			return h.call.CalleeOperator
		}
		want := ""
		if tt.like != "" {
			if want = of(tt.like); want == "" {
				t.Fatalf("%s has no operator", tt.like)
			}
		}
		if got := of(tt.to); got != want {
			t.Errorf("%s: operator %q, want that of %q, %q", tt.to, got, tt.like, want)
		}
	}
}
