package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"simtrap/cmd/internal/scripttest"
	"simtrap/lab"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"simtrap": main})
}

func TestScript(t *testing.T) {
	dir, files := "testdata/script", []string(nil)
	if testing.Short() {
		// Files and a stream: what is behind them is tried by its own packages.
		dir, files = "", []string{"testdata/script/json.txtar", "testdata/script/stdin.txtar"}
	}
	testscript.Run(t, testscript.Params{
		Dir:   dir,
		Files: files,
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CONFIG_HOME", env.WorkDir+"/config")
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "full" {
				_, err := os.Stat("/dev/full")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"capture":  captureCommand,
			"lab":      labCommand,
			"city":     cityCommand,
			"status":   scripttest.Status,
			"lines":    linesCommand,
			"narrow":   scripttest.Narrow,
			"findings": findingsCommand,
		},
	})
}

// captureCommand writes a capture of one call: capture FILE [CHANGE...]. The
// changes are made in their order: gzip and zstd pack it, cut=N takes N bytes
// off its end, keep=N leaves N bytes, link=N says that it has another link type,
// timeless sets all times to 0, simple makes it a pcapng file of simple packets,
// spoiled a pcapng file with two captured lengths that are wrong.
func captureCommand(ts *testscript.TestScript, neg bool, args []string) {
	data := callCapture()
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		ts.Check(err)
		return n
	}
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "gzip":
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			w.Write(data)
			ts.Check(w.Close())
			data = b.Bytes()
		case "zstd":
			w, err := zstd.NewWriter(nil)
			ts.Check(err)
			data = w.EncodeAll(data, nil)
			ts.Check(w.Close())
		case "cut":
			data = data[:len(data)-number(value)]
		case "keep":
			data = data[:number(value)]
		case "link":
			binary.LittleEndian.PutUint32(data[20:], uint32(number(value)))
		case "timeless":
			for r := range records(data) {
				clear(r[:8])
			}
		case "simple", "spoiled":
			data = asPcapng(data, name == "simple")
		default:
			ts.Fatalf("capture: %q?", a)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o666))
}

// labCommand makes a capture of a scenario: lab FILE SCENARIO DURATION [ENCAP].
func labCommand(ts *testscript.TestScript, neg bool, args []string) {
	d, err := time.ParseDuration(args[2])
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	o := lab.Options{Scenario: args[1], Seed: 1, Duration: d}
	if len(args) > 3 {
		o.Encap = args[3]
	}
	_, err = lab.Make(f, o)
	ts.Check(err)
}

// cityCommand makes a capture and the call records of the city around it, plain and
// packed: city FILE RECORDS SCENARIO DURATION.
func cityCommand(ts *testscript.TestScript, neg bool, args []string) {
	d, err := time.ParseDuration(args[3])
	ts.Check(err)
	var capture, plain, packed bytes.Buffer
	truth, err := lab.Make(&capture, lab.Options{Scenario: args[2], Seed: 1, Duration: d})
	ts.Check(err)
	_, err = lab.RecordsOf(&plain, truth, lab.City{Cards: 500, Ahead: 3 * time.Second})
	ts.Check(err)
	w := gzip.NewWriter(&packed)
	w.Write(plain.Bytes())
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), capture.Bytes(), 0o666))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), plain.Bytes(), 0o666))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+".gz"), packed.Bytes(), 0o666))
}

// records gives the records of a pcap file, each with its header.
func records(file []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := file[24:]; len(rest) > 0; {
			n := 16 + int(binary.LittleEndian.Uint32(rest[8:]))
			if !yield(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// asPcapng turns a pcap file of raw IP into pcapng: of simple packet blocks,
// which have no time, or of enhanced ones of which the third and the fifth say
// that more was captured than they hold.
func asPcapng(file []byte, simple bool) []byte {
	var out []byte
	block := func(kind uint32, fields []uint32, data []byte) {
		n := uint32(12 + 4*len(fields) + (len(data)+3)&^3)
		for _, v := range append([]uint32{kind, n}, fields...) {
			out = binary.LittleEndian.AppendUint32(out, v)
		}
		out = append(append(out, data...), make([]byte, -len(data)&3)...)
		out = binary.LittleEndian.AppendUint32(out, n)
	}
	block(0x0a0d0d0a, []uint32{0x1a2b3c4d, 1, 0xffffffff, 0xffffffff}, nil)
	block(1, []uint32{101, 0}, nil)
	i := 0
	for r := range records(file) {
		i++
		data := r[16:]
		n := uint32(len(data))
		if simple {
			block(3, []uint32{n}, data)
			continue
		}
		at := uint64(binary.LittleEndian.Uint32(r))*1e6 + uint64(binary.LittleEndian.Uint32(r[4:]))
		captured := n
		if i == 3 || i == 5 {
			captured = n + 100
		}
		block(6, []uint32{0, uint32(at >> 32), uint32(at), captured, n}, data)
	}
	return out
}

// linesCommand counts the lines of a file: lines FILE N.
func linesCommand(ts *testscript.TestScript, neg bool, args []string) {
	if got := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(got) != args[1] {
		ts.Fatalf("%d lines, want %s", got, args[1])
	}
}

// findingsCommand checks that a file holds one finding per line, at least one,
// each with the contract's fields in order and those named behind it:
// findings FILE [FIELD...].
func findingsCommand(ts *testscript.TestScript, neg bool, args []string) {
	want := append(strings.Fields("line verdict proof score margin nearest declared device controllers cards calls signals unseen links first_seen last_seen"), args[1:]...)
	n := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		n++
		var f struct {
			Score, Margin float64
			Unseen        []string
			First         time.Time `json:"first_seen"`
		}
		ts.Check(json.Unmarshal([]byte(line), &f))
		at := 0
		for _, key := range want {
			i := strings.Index(line[at:], `"`+key+`":`)
			if i < 0 {
				ts.Fatalf("no %q in its place in %s", key, line)
			}
			at += i
		}
	}
	if n == 0 {
		ts.Fatalf("no finding in %s", args[0])
	}
}

// callCapture is one call from a far end to the line 203.0.113.7, with its
// media, as a capture of 216 frames.
func callCapture() []byte {
	const sdp = "v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
	far, line := [4]byte{198, 51, 100, 9}, [4]byte{203, 0, 113, 7}
	head := func(first, cseq, body string, extra string) string {
		kind := ""
		if body != "" {
			kind = "Content-Type: application/sdp\r\n"
		}
		tag := ";tag=b"
		if strings.HasPrefix(first, "INVITE") {
			tag = ""
		}
		return first + "\r\nVia: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bK" + strings.Fields(cseq)[0] + "\r\n" +
			"From: <sip:1000@198.51.100.9>;tag=a\r\nTo: <sip:13800138000@203.0.113.7>" + tag + "\r\n" +
			"Call-ID: one@198.51.100.9\r\nCSeq: " + cseq + "\r\n" + extra + kind +
			"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	c := newCapture()
	c.udp(far, line, 5060, head("INVITE sip:13800138000@203.0.113.7 SIP/2.0", "1 INVITE", fmt.Sprintf(sdp, "198.51.100.9"), "Contact: <sip:198.51.100.9>\r\nMax-Forwards: 70\r\n"))
	c.udp(line, far, 5060, head("SIP/2.0 100 Trying", "1 INVITE", "", ""))
	c.udp(line, far, 5060, head("SIP/2.0 180 Ringing", "1 INVITE", "", "Contact: <sip:203.0.113.7>\r\n"))
	c.udp(line, far, 5060, head("SIP/2.0 200 OK", "1 INVITE", fmt.Sprintf(sdp, "203.0.113.7"), "Contact: <sip:203.0.113.7>\r\n"))
	c.udp(far, line, 5060, head("ACK sip:203.0.113.7 SIP/2.0", "1 ACK", "", "Max-Forwards: 70\r\n"))
	for i := range 105 {
		rtp := func(ssrc uint32) string {
			b := make([]byte, 12+160)
			b[0], b[1] = 0x80, 8
			binary.BigEndian.PutUint16(b[2:], uint16(i))
			binary.BigEndian.PutUint32(b[4:], uint32(160*i))
			binary.BigEndian.PutUint32(b[8:], ssrc)
			return string(b)
		}
		c.udp(far, line, 4000, rtp(1))
		c.udp(line, far, 4000, rtp(2))
	}
	c.udp(far, line, 5060, head("BYE sip:203.0.113.7 SIP/2.0", "2 BYE", "", "Max-Forwards: 70\r\n"))
	return c.data
}

// testCapture is a capture file of raw IPv4 under construction.
type testCapture struct {
	data []byte
	time time.Time
}

func newCapture() *testCapture {
	c := &testCapture{time: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	for _, v := range []uint32{0xa1b2c3d4, 2 | 4<<16, 0, 0, 65535, 101} {
		c.data = binary.LittleEndian.AppendUint32(c.data, v)
	}
	return c
}

// udp adds a datagram between two equal ports, 10 ms after the one before it.
func (c *testCapture) udp(from, to [4]byte, port uint16, payload string) {
	n := 28 + len(payload)
	b := []byte{0x45, 0, byte(n >> 8), byte(n), 0, 0, 0x40, 0, 64, 17, 0, 0}
	b = append(append(b, from[:]...), to[:]...)
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
	for _, v := range []uint16{port, port, uint16(n - 20), 0} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	b = append(b, payload...)

	c.time = c.time.Add(10 * time.Millisecond)
	for _, v := range []uint32{uint32(c.time.Unix()), uint32(c.time.Nanosecond() / 1000), uint32(len(b)), uint32(len(b))} {
		c.data = binary.LittleEndian.AppendUint32(c.data, v)
	}
	c.data = append(c.data, b...)
}
