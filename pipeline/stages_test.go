package pipeline

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"simtrap/capture"
	"simtrap/control"
	"simtrap/packet"
	"simtrap/rtp"
)

// BenchmarkStages tells what each stage of replay costs a packet, by leaving out those
// behind it, on the capture that SIMTRAP_STAGES names: what no faster detection can
// save. It is for one processor.
func BenchmarkStages(b *testing.B) {
	name := os.Getenv("SIMTRAP_STAGES")
	if name == "" {
		b.Skip("SIMTRAP_STAGES names no capture")
	}
	for _, stage := range []struct {
		name string
		do   func(*stages, *capture.Batch)
	}{
		{"read", func(*stages, *capture.Batch) {}},
		{"decode", func(s *stages, batch *capture.Batch) { s.each(batch, func(int) {}) }},
		{"media", func(s *stages, batch *capture.Batch) { s.each(batch, s.account) }},
		{"looks", func(s *stages, batch *capture.Batch) { s.each(batch, s.look) }},
	} {
		b.Run(stage.name, func(b *testing.B) {
			packets := 0
			for b.Loop() {
				files, err := capture.Open([]string{name}, capture.Options{})
				if err != nil {
					b.Fatal(err)
				}
				s := newStages()
				packets = 0
				for {
					batch, err := files.Next(context.Background())
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					packets += len(batch.Frames)
					stage.do(s, batch)
					batch.Release()
				}
				files.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*packets), "ns/packet")
		})
	}
	b.Run("all", func(b *testing.B) {
		packets := uint64(0)
		for b.Loop() {
			files, err := capture.Open([]string{name}, capture.Options{})
			if err != nil {
				b.Fatal(err)
			}
			result, err := Run(context.Background(), files, Config{Workers: 1, Seed: 1})
			if err != nil {
				b.Fatal(err)
			}
			packets = result.Stats.Frames
			files.Close()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/(float64(b.N)*float64(packets)), "ns/packet")
	})
}

// stages has what decoding, media and the first looks at a payload need, cut as in a run.
type stages struct {
	worker *worker
	set    *control.Set
	media  [shards]*rtp.Accounting
	found  int
}

func newStages() *stages {
	s := &stages{worker: newWorker(0, 1, &run{cfg: Config{Seed: 1}, arenas: &arenas{}}), set: control.New()}
	for i := range s.media {
		s.media[i] = rtp.NewAccounting(rtp.Config{Seed: 1}, func(*rtp.Interval) { s.found++ })
	}
	return s
}

// each decodes a batch and gives the shard of each packet.
func (s *stages) each(batch *capture.Batch, do func(shard int)) {
	for i := range batch.Frames {
		switch s.worker.decode(batch, i, batch.Seq+uint64(i), &s.worker.packet) {
		case packet.Datagram, packet.Segment:
			do(shardOf(hashesOf(&s.worker.packet, 1).pair()))
		}
	}
}

func (s *stages) account(shard int) { s.media[shard].Packet(&s.worker.packet) }

// look is account with the question whether a payload is of a control protocol.
func (s *stages) look(shard int) {
	s.account(shard)
	if s.set.Looks(s.worker.packet.Payload) {
		s.found++
	}
}
