package cases

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/capture"
	"simtrap/h323"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
)

// TestTsharkH323 holds what is read of the lab's H.323 to what tshark reads:
// every message of call signalling by its type, call reference, number called
// and call identifier, and every registration by its sequence number and names.
func TestTsharkH323(t *testing.T) {
	needTshark(t)
	for _, opt := range []lab.Options{
		{Scenario: "h323-gateway", Seed: 1, View: "sip"},
		{Scenario: "h323-gateway", Seed: 4, View: "sip", Encap: "ipv6+vlan"},
		{Scenario: "h323-office", Seed: 1, View: "sip"},
		{Scenario: "h323-office", Seed: 2, View: "sip", Encap: "fragments"},
	} {
		t.Run(fmt.Sprintf("%s %d %s", opt.Scenario, opt.Seed, opt.Encap), func(t *testing.T) {
			t.Parallel()
			opt.Duration = 6 * time.Minute
			path, _ := makeFile(t, opt, "")
			got, want := ownH323(t, path), tsharkH323(t, path)
			if len(want) < 50 {
				t.Fatalf("tshark reads %d messages", len(want))
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-tshark +simtrap):\n%s", d)
			}
		})
	}
}

// tsharkH323 gives one line for each message, sorted.
func tsharkH323(t *testing.T, path string) (out []string) {
	t.Helper()
	fields := []string{"-T", "fields", "-E", "occurrence=a", "-E", "aggregator=;"}
	for _, f := range []string{"q931.message_type", "q931.call_ref", "q931.called_party_number.digits", "h225.guid", "h225.RasMessage", "h225.requestSeqNum", "h225.dialledDigits"} {
		fields = append(fields, "-e", f)
	}
	text := tshark(t, path, append([]string{"-Y", "q931 || h225.RasMessage"}, fields...)...)
	for _, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		c := strings.Split(l, "\t")
		if c[4] != "" {
			out = append(out, fmt.Sprintf("RAS %s %s %s", c[4], c[5], c[6]))
			continue
		}
		var kind int
		if _, err := fmt.Sscanf(c[0], "0x%x", &kind); err != nil {
			t.Fatalf("message type %q", c[0])
		}
		called := c[2]
		if d := strings.Split(c[6], ";"); called == "" && kind == 5 {
			called = d[len(d)-1] // the destination's stands behind the source's
		}
		out = append(out, fmt.Sprintf("Q.931 %02x %s %s %s", kind, strings.ReplaceAll(c[1], ":", ""), called, strings.ReplaceAll(c[3], "-", "")))
	}
	slices.Sort(out)
	return out
}

func ownH323(t *testing.T, path string) (out []string) {
	t.Helper()
	clear := ident.NewPseudonymizer(make([]byte, 32), "test")
	write := func(a *h323.Alias) string { return clear.Number("", a.Ident()) }
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	files, err := capture.Open([]string{"-"}, capture.Options{Stdin: file})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	streams := packet.NewStreams(packet.StreamConfig{}, h323.Looks)
	defrag := packet.NewDefrag(packet.DefragConfig{})
	tcp := func(s *packet.Stream, p *packet.Packet, _ uint32) {
		f, _ := s.State[s.Dir].(*h323.Framer)
		if f == nil {
			f = &h323.Framer{}
			s.State[s.Dir] = f
		}
		f.Push(p.Payload, func(b []byte) {
			var m h323.Message
			if err := h323.Parse(b, &m); err != nil {
				t.Errorf("%x: %v", b, err)
			}
			id, called := "", ""
			if m.CallID != [16]byte{} {
				id = fmt.Sprintf("%x", m.CallID)
			}
			if m.Type == h323.Setup {
				called = write(&m.Called)
			}
			out = append(out, fmt.Sprintf("Q.931 %02x %04x %s %s", uint8(m.Type), m.Ref, called, id))
		})
	}
	var d packet.Decoder
	for {
		b, err := files.Next(t.Context())
		if err != nil {
			break
		}
		for i, f := range b.Frames {
			var p packet.Packet
			p.Time = f.Time
			kind := d.Frame(f.Link, b.Data(i), f.Wire, &p)
			for kind == packet.Fragment {
				data, ok := defrag.Add(&p)
				if !ok {
					break
				}
				kind = d.Resume(data, &p)
			}
			switch {
			case kind == packet.Segment:
				streams.Feed(&p, tcp)
			case kind == packet.Datagram && h323.LooksRAS(p.Payload):
				var m h323.RAS
				if err := h323.ParseRAS(p.Payload, &m); err != nil {
					t.Errorf("%x: %v", p.Payload, err)
				}
				var names []string
				for k := range m.Aliases {
					if m.Aliases[k].Number {
						names = append(names, write(&m.Aliases[k]))
					}
				}
				out = append(out, fmt.Sprintf("RAS %d %d %s", m.Kind, m.Seq, strings.Join(names, ";")))
			}
		}
		b.Release()
	}
	slices.Sort(out)
	return out
}
