package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// sharks are some sharkd, Wireshark's daemon, which read file after file: to start
// it, or tshark, takes longer than to read a capture of a test.
type sharks struct {
	home string
	idle chan *sharkd
}

type sharkd struct {
	ask    *json.Encoder
	answer *json.Decoder
	asked  int
	files  int
	end    func() error
	stderr bytes.Buffer
}

// newSharks starts one for each processor, and ends them with the test.
func newSharks(t *testing.T) *sharks {
	t.Helper()
	s := &sharks{home: t.TempDir()}
	profile := filepath.Join(s.home, ".config", "wireshark")
	if err := os.MkdirAll(profile, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"heuristic_protos": "rtp_udp,1\nsip_udp,1\nsip_tcp,1\n",
		"preferences":      "ip.defragment: TRUE\nipv6.defragment: TRUE\ntcp.desegment_tcp_streams: TRUE\nnameres.network_name: FALSE\nnameres.transport_name: FALSE\n",
	} {
		if err := os.WriteFile(filepath.Join(profile, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n := runtime.GOMAXPROCS(0)
	s.idle = make(chan *sharkd, n)
	t.Cleanup(func() {
		for range n {
			d := <-s.idle
			if err := d.end(); t.Failed() {
				t.Logf("sharkd ended: %v\n%s", err, d.stderr.String())
			}
		}
	})
	for range n {
		s.idle <- s.start(t)
	}
	return s
}

func (s *sharks) start(t *testing.T) *sharkd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	cmd := exec.CommandContext(ctx, "sharkd", "-")
	// Preferences of whoever runs the test must not count.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "XDG_") || strings.HasPrefix(v, "WIRESHARK_") })
	cmd.Env = append(cmd.Env, "HOME="+s.home, "TZ=UTC", "LC_ALL=C")
	d := &sharkd{}
	cmd.Stderr = &d.stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	d.ask, d.answer = json.NewEncoder(in), json.NewDecoder(out)
	d.end = func() error {
		defer cancel()
		in.Close()
		return cmd.Wait()
	}
	return d
}

// call asks one thing.
func (s *sharkd) call(method string, params, result any) error {
	s.asked++
	if err := s.ask.Encode(map[string]any{"jsonrpc": "2.0", "id": s.asked, "method": method, "params": params}); err != nil {
		return fmt.Errorf("sharkd, %s: %w", method, err)
	}
	var a struct {
		ID     int             `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := s.answer.Decode(&a); err != nil {
		return fmt.Errorf("sharkd, answer to %s: %w", method, err)
	}
	switch {
	case a.ID != s.asked:
		return fmt.Errorf("sharkd answers %d to %d, %s", a.ID, s.asked, method)
	case a.Error != nil:
		return fmt.Errorf("sharkd, %s: %s", method, a.Error.Message)
	}
	return json.Unmarshal(a.Result, result)
}

// frame is a row of sharkd's list: the columns that were asked for.
type frame struct {
	Columns []string `json:"c"`
}

// rtpStream is one of its list of streams.
type rtpStream struct {
	SSRC      uint32  `json:"ssrc"`
	Payload   string  `json:"payload"`
	Src       string  `json:"saddr"`
	SrcPort   uint16  `json:"sport"`
	Dst       string  `json:"daddr"`
	DstPort   uint16  `json:"dport"`
	Packets   int     `json:"pkts"`
	Expected  int     `json:"expectednr"`
	Total     int     `json:"totalnr"`
	MaxJitter float64 `json:"max_jitter"`
}

// read gives the columns of the frames that a filter chooses, and all streams of
// a capture.
func (s *sharks) read(t *testing.T, path, filter string, columns ...string) (rows [][]string, streams []rtpStream) {
	t.Helper()
	d := <-s.idle
	defer func() { s.idle <- d }()
	rows, streams, err := d.read(path, filter, columns)
	if err != nil {
		t.Fatalf("%v\n%s", err, d.stderr.String())
	}
	return rows, streams
}

func (s *sharkd) read(path, filter string, columns []string) (rows [][]string, streams []rtpStream, err error) {
	s.files++
	// What a filter chose is remembered by its text, even when another file is
	// loaded: each has a text of its own, that of a frame there is not.
	ask := map[string]string{"filter": fmt.Sprintf("(%s) && frame.number != %d", filter, 1<<31+s.files)}
	for i, c := range columns {
		ask[fmt.Sprintf("column%d", i)] = c + ":0" // every occurrence
	}
	var loaded struct{ Status string }
	var frames []frame
	var taps struct {
		Taps []struct {
			Streams []rtpStream `json:"streams"`
		} `json:"taps"`
	}
	if err := s.call("load", map[string]string{"file": path}, &loaded); err != nil {
		return nil, nil, err
	}
	if err := s.call("frames", ask, &frames); err != nil {
		return nil, nil, err
	}
	if err := s.call("tap", map[string]string{"tap0": "rtp-streams"}, &taps); err != nil {
		return nil, nil, err
	}
	for _, f := range frames {
		rows = append(rows, f.Columns)
	}
	for _, tap := range taps.Taps {
		streams = append(streams, tap.Streams...)
	}
	return rows, streams, nil
}
