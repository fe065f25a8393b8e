package sip

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func TestBase64(t *testing.T) {
	message := func(start string) string {
		return start + "\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77\r\nFrom: <sip:1001@192.0.2.1>;tag=1\r\nTo: <sip:1001@192.0.2.1>\r\nCall-ID: 1@192.0.2.1\r\nCSeq: 1 X\r\nContent-Length: 0\r\n\r\n"
	}
	for _, start := range []string{
		"REGISTER sip:192.0.2.1 SIP/2.0", "INVITE sip:13800138000@192.0.2.1 SIP/2.0", "ACK sip:1@192.0.2.1 SIP/2.0",
		"BYE sip:1@192.0.2.1 SIP/2.0", "CANCEL sip:1@192.0.2.1 SIP/2.0", "OPTIONS sip:192.0.2.1 SIP/2.0",
		"MESSAGE sip:1@192.0.2.1 SIP/2.0", "NOTIFY sip:1@192.0.2.1 SIP/2.0", "SUBSCRIBE sip:1@192.0.2.1 SIP/2.0",
		"INFO sip:1@192.0.2.1 SIP/2.0", "REFER sip:1@192.0.2.1 SIP/2.0", "UPDATE sip:1@192.0.2.1 SIP/2.0",
		"PRACK sip:1@192.0.2.1 SIP/2.0", "PUBLISH sip:1@192.0.2.1 SIP/2.0",
		"SIP/2.0 100 Trying", "SIP/2.0 200 OK", "SIP/2.0 401 Unauthorized", "SIP/2.0 603 Decline",
	} {
		m := message(start)
		std := base64.StdEncoding.EncodeToString([]byte(m))
		for name, in := range map[string]string{
			"padded": std, "not padded": base64.RawStdEncoding.EncodeToString([]byte(m)),
			"line ends": std[:60] + "\r\n" + std[60:] + "\r\n", "a zero behind": std + "\x00",
		} {
			out, ok := DecodeBase64([]byte("kept"), []byte(in))
			if !ok || string(out) != "kept"+m {
				t.Errorf("%s, %s: %v %q", start, name, ok, out)
			}
		}
		if LooksBase64([]byte(m)) {
			t.Errorf("%s looks like Base64 in clear", start)
		}
	}

	// Near misses.
	register := base64.StdEncoding.EncodeToString([]byte(message("REGISTER sip:192.0.2.1 SIP/2.0")))
	for name, in := range map[string]string{
		"empty":                 "",
		"short":                 register[:40],
		"not SIP behind sip":    base64.StdEncoding.EncodeToString([]byte("REGISTER sip:" + strings.Repeat("x", 80))),
		"other text":            base64.StdEncoding.EncodeToString([]byte("GET / HTTP/1.1\r\nHost: example.org\r\n" + strings.Repeat("x", 80))),
		"HTTP":                  "UkVHSVNURVIgHTTP " + strings.Repeat("A", 80),
		"a stray byte":          register[:90] + "!" + register[91:],
		"mail, line by line":    "SU5WSVRFIHNpcD: " + strings.Repeat("QUJD", 30),
		"ssh":                   "SSH-2.0-OpenSSH_9.6" + strings.Repeat("A", 80),
		"url alphabet":          strings.NewReplacer("+", "-", "/", "_").Replace(register)[:80] + "-_-_" + register[84:],
		"Base64 twice":          base64.StdEncoding.EncodeToString([]byte(register)),
		"a letter at the front": "x" + register,
	} {
		if out, ok := DecodeBase64(nil, []byte(in)); ok {
			t.Errorf("%s: taken for %q", name, out)
		}
	}
	b := []byte(register)
	dst := make([]byte, 0, len(b))
	if n := testing.AllocsPerRun(50, func() { DecodeBase64(dst, b) }); n > 0 {
		t.Errorf("%v allocations with room in dst", n)
	}
}

// What is taken is the message that encodes to it, and encodes back.
func FuzzDecodeBase64(f *testing.F) {
	f.Add([]byte("UkVHSVNURVIgc2lwOjE5Mi4wLjIuMSBTSVAvMi4wDQpWaWE6IFNJUC8yLjAvVURQIDE5Mi4wLjIuMQ0KDQo="))
	f.Add([]byte("U0lQLzIuMCAyMDAgT0sNClZpYTogU0lQLzIuMC9VRFAgMTkyLjAuMi4xO2JyYW5jaD16OWhHNGJLMQ0KDQo"))
	f.Add([]byte("SU5WSVRFIHNpcD"))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, ok := DecodeBase64(nil, b)
		if !ok {
			if len(out) != 0 {
				t.Fatal("leftovers")
			}
			return
		}
		if !Looks(out) || len(out) > len(b) {
			t.Fatalf("%q", out)
		}
		clean := bytes.Map(func(r rune) rune {
			if r == '\r' || r == '\n' {
				return -1
			}
			return r
		}, bytes.TrimRight(b, "\x00\r\n="))
		again := base64.RawStdEncoding.EncodeToString(out)
		// The last character may hold bits that stand for nothing.
		if len(again) != len(bytes.TrimRight(clean, "=")) || !bytes.Equal([]byte(again[:len(again)-1]), clean[:len(again)-1]) {
			t.Fatalf("%q encodes to %q", clean, again)
		}
	})
}
