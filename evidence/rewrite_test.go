package evidence

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
	"simtrap/packet"
	"simtrap/sip"
)

var (
	caseKey = bytes.Repeat([]byte{7}, 32)
	names   = ident.NewPseudonymizer(caseKey, "")
)

// rewritten gives what is made of one message between the far end and the line.
func rewritten(t testing.TB, text string) string {
	t.Helper()
	var m sip.Message
	if err := sip.Parse([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	w := rewriter{names: names}
	p := packet.Packet{Proto: packet.UDP, Src: ident.AddrFrom4(far[:]), Dst: ident.AddrFrom4(own[:])}
	return string(w.message(&m, &p, len(text)))
}

func TestRewrite(t *testing.T) {
	const body = "v=0\r\no=secretname 1 1 IN IP4 192.168.7.9\r\ns=secret subject\r\ni=secret text\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=label:secret\r\na=sendonly\r\n"
	got := rewritten(t, "INVITE sip:13800138000@203.0.113.7 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.7.9:5060;branch=z9hG4bKsecret\r\nMax-Forwards: 70\r\n"+
		"From: \"Secret Name\" <sip:secretuser@secret.example>;tag=secrettag\r\nTo: <sip:13800138000@203.0.113.7>\r\nCall-ID: secret@host\r\nCSeq: 5 INVITE\r\n"+
		"Contact: <sip:secretuser@192.168.7.9:5062;x=secret>\r\nP-Asserted-Identity: <sip:+8613912345678@secret.example>\r\nUser-Agent: Secret 1.0\r\n"+
		"Subject: secret\r\nAuthorization: Digest username=\"secretuser\", response=\"secret\"\r\nX-Secret: secret\r\nContent-Type: application/sdp\r\nContent-Length: 289\r\n\r\n"+body)
	own := func(kind, s string) string { return names.Text(kind, s) }
	number, account := names.Number("", ident.NewNumber([]byte("13800138000"))), names.Account(ident.NewAccount([]byte("secretuser")))
	want := "INVITE sip:" + number + "@203.0.113.7 SIP/2.0\r\ni: " + own("call-id", "secret@host") + "\r\nCSeq: 5 INVITE\r\n" +
		"f: <sip:" + account + "@" + own("host", "secret.example") + ">;tag=" + own("tag", "secrettag") + "\r\nt: <sip:" + number + "@203.0.113.7>\r\n" +
		"v: SIP/2.0/UDP " + own("host", "192.168.7.9") + ":5060;branch=z9hG4bK" + own("branch", "z9hG4bKsecret") + "\r\n" +
		"m: <sip:" + account + "@" + own("host", "192.168.7.9") + ":5062>\r\n" +
		"P-Asserted-Identity: <sip:" + names.Number("", ident.NewNumber([]byte("+8613912345678"))) + "@0.0.0.0>\r\nUser-Agent: " + own("agent", "Secret 1.0") + "\r\n" +
		"c: application/sdp\r\nl: 173\r\n\r\n" +
		"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 101\r\nc=IN IP4 198.51.100.9\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendonly\r\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	var m sip.Message
	if err := sip.Parse([]byte(got), &m); err != nil || m.Method != sip.INVITE || len(m.Body) != int(m.ContentLength) || !m.SDP.Present || m.SDP.Audio[0].Port != 4000 || m.SDP.Audio[0].Direction != sip.SendOnly {
		t.Errorf("reads as %+v, %v", m, err)
	}
	for _, never := range []string{"ecret", "13800138000", "13912345678", "192.168"} {
		if strings.Contains(got, never) {
			t.Errorf("%q is kept: %s", never, got)
		}
	}
	answer := rewritten(t, "SIP/2.0 486 Secret here\r\nVia: SIP/2.0/UDP 198.51.100.9\r\nFrom: <sip:1000@a>;tag=a\r\nTo: <sip:2@b>;tag=b\r\nCall-ID: one\r\nCSeq: 1 INVITE\r\nServer: Secret\r\nX: "+strings.Repeat("x", 300)+"\r\n\r\n")
	if !strings.HasPrefix(answer, "SIP/2.0 486 -\r\ni: ~") || strings.Contains(answer, "ecret") || !strings.Contains(answer, "\r\nServer: ~") {
		t.Errorf("%s", answer)
	}
	if got := rewritten(t, "SECRET sip:a@b SIP/2.0\r\nCall-ID: one\r\nCSeq: 1 SECRET\r\n\r\n"); got != "" {
		t.Errorf("an unknown method: %s", got)
	}
}

// However long the original, what is made of it is no longer, and a message
// that is cut for want of room is still one.
func TestRewriteFits(t *testing.T) {
	full := "BYE sip:1@h SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\nf: <sip:1@h>;tag=a\r\nt: <sip:2@h>;tag=b\r\ni: 1\r\nCSeq: 2 BYE\r\nm: <sip:1@h>\r\nUser-Agent: x\r\n"
	seen := map[int]bool{}
	for pad := range 400 {
		text := full + "X: " + strings.Repeat("x", pad) + "\r\n\r\n"
		got := rewritten(t, text)
		if len(got) > len(text) {
			t.Fatalf("%d bytes of %d", len(got), len(text))
		}
		seen[strings.Count(got, "\r\n")] = true
		var m sip.Message
		if err := sip.Parse([]byte(got), &m); err != nil || m.Method != sip.BYE || len(m.CallID) == 0 || m.CSeq != 2 {
			t.Fatalf("reads as %+v, %v", m, err)
		}
	}
	if len(seen) < 3 {
		t.Errorf("only %v lines were written", seen)
	}
	if got := rewritten(t, "ACK sip:a@b SIP/2.0\r\ni: 1\r\n\r\n"); got != "" {
		t.Errorf("without room: %q", got)
	}
}

// A cutter with pseudonyms and no authority writes messages anew.
func TestCutRewritten(t *testing.T) {
	pad := "X-Pad: " + strings.Repeat("x", 200) + "\r\n"
	invite := message("INVITE sip:13800138000@b SIP/2.0", "INVITE", pad, "application/sdp", sdp)
	text := message("MESSAGE sip:13800138000@b SIP/2.0", "MESSAGE", pad, "text/plain", secret)
	for name, frame := range map[string][]byte{
		"call": ipv4(far, own, 17, 0, udp(5060, 5060, invite)), "text": ipv4(far, own, 17, 0, udp(5060, 5060, text)),
		"two on tcp": ipv4(far, own, 6, 0, tcp(5060, 5060, invite+text)),
	} {
		dir := t.TempDir()
		c, err := NewCutter(dir, []ident.Line{box}, Options{Names: names})
		if err != nil {
			t.Fatal(err)
		}
		c.Batch(batch(frame))
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if c.Counters.Rewritten != 1 || c.Counters.Messages != 0 {
			t.Errorf("%s: %+v", name, c.Counters)
		}
		got := readAll(t, dir)
		want := 1
		if name == "two on tcp" {
			want = 2
		}
		if n := bytes.Count(got, []byte(names.Number("", ident.NewNumber([]byte("13800138000"))))); n < want {
			t.Errorf("%s: %d messages: %q", name, n, got)
		}
		for _, never := range []string{"13800138000", secret, "1000@"} {
			if bytes.Contains(got, []byte(never)) {
				t.Errorf("%s: %q is kept", name, never)
			}
		}
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add([]byte(message("INVITE sip:13800138000@b SIP/2.0", "INVITE", "", "application/sdp", sdp)))
	f.Add([]byte(message("SIP/2.0 200 OK", "INVITE", "Contact: <sip:1@[2001:db8::1]:5>\r\n", "application/sdp", sdp)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m sip.Message
		if sip.Parse(b, &m) != nil {
			return
		}
		w := rewriter{names: names}
		got := w.message(&m, &packet.Packet{Proto: packet.UDP}, len(m.Raw))
		if len(got) > len(m.Raw) {
			t.Fatalf("%d bytes of %d", len(got), len(m.Raw))
		}
		if got == nil {
			return
		}
		for _, line := range strings.Split(string(got), "\r\n") {
			for _, c := range []byte(line) {
				if c < ' ' || c > '~' {
					t.Fatalf("%q", line)
				}
			}
		}
		var again sip.Message
		if err := sip.Parse(got, &again); err != nil || again.Method != m.Method && again.Status == 0 {
			t.Fatalf("%s reads as %+v, %v", got, again, err)
		}
		// What a stranger wrote shows in numbers and addresses alone.
		if n := len(m.From.User); n > 5 && !bytes.Contains([]byte(names.Account(ident.NewAccount(m.From.User))), m.From.User) && bytes.Contains(got, append(append([]byte("sip:"), m.From.User...), '@')) {
			t.Fatalf("%q is kept: %s", m.From.User, got)
		}
	})
}

// readAll gives the captures of a folder.
func readAll(t testing.TB, dir string) (all []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.pcapng"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}
