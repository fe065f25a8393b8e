package sensor

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"simtrap/ident"
)

// TestWholeDaemon has the daemon watch a cable in each way of accounting: it reads
// the same signalling and hears the same streams.
func TestWholeDaemon(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"auto", "af_packet"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if !inNamespace(t) {
				return
			}
			folder := t.TempDir()
			text := "ports: [{name: vb}]\nstate: state\nsocket: none\nmetrics: {listen: none}\ncapture: " + mode + "\n"
			file := filepath.Join(folder, "d.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, log safeBuffer
			o := Options{File: file, Config: parsed(t, folder, text), Version: "1", Opener: Taps{}, Engine: NewLive,
				Names: ident.NewPseudonymizer(make([]byte, 32), ""), Stdout: &out, Stderr: &log}
			d := &Daemon{o: o, log: NewLogger(o.Stderr, &o.Config.Log), since: time.Now(), config: o.Config, state: stateStarting}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- d.run(ctx) }()
			until := func(what string, f func(*Status) bool) {
				t.Helper()
				for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
					s := d.Status()
					if f(&s) {
						return
					}
					if time.Since(begin) > time.Minute {
						t.Fatalf("%s: %+v\n%s", what, s, log.String())
					}
				}
			}
			for begin := time.Now(); d.ready() != nil; time.Sleep(10 * time.Millisecond) {
				if time.Since(begin) > time.Minute {
					t.Fatalf("does not run\n%s", log.String())
				}
			}
			all, times := labFrames(t, 20, "")
			sendAll(t, "va", all, times)
			until("nothing heard", func(s *Status) bool { return s.Messages > 0 && s.Streams > 0 })
			s := d.Status()
			t.Logf("%s: %d frames up of %d, %d messages, %d streams, %v", s.Ports[0].Mode, s.Ports[0].Frames, len(all), s.Messages, s.Streams, s.Losses)
			if mode == "auto" && s.Ports[0].Mode == "af_packet" {
				t.Skip("no programs can be attached: ", log.String())
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
