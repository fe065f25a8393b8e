// Package sensor is the daemon's life around the pipeline: it attaches to the
// ports, gives up its rights, watches, reloads, and stops without losing what
// was found. What takes frames and what judges them is behind two small
// interfaces.
package sensor

import (
	"context"

	"go.uber.org/zap"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/ident"
	"simtrap/pipeline"
	"simtrap/sensor/config"
)

// Port is an attached tap port.
type Port struct {
	Name      string
	Number    int    // from 1; Batch.Source of its source
	Mode      string // how its frames are taken, "xdp"
	Direction config.Direction
	Source    capture.Source
}

// Attach is what an Opener needs.
type Attach struct {
	Config *config.Config
	Log    *zap.Logger
	// Rights is for whoever attaches again later, when a port has returned.
	Rights *Rights
}

// Opener attaches to the ports. It logs why each way that it tried was left,
// and detaches from all of them when one fails.
type Opener interface {
	Open(context.Context, Attach) ([]Port, error)
}

// Engine judges what ports give.
type Engine interface {
	// Run goes on until ctx is done or all sources have come to their end, and
	// comes back when everything that was found is with the Sink.
	Run(ctx context.Context, ports []Port) error
	// Stats may be called at any time by any goroutine.
	Stats() Stats
}

// EngineConfig is what an Engine is made from.
type EngineConfig struct {
	Config *config.Config
	Sink   Sink
	Log    *zap.Logger
	// Catalogue is the one to judge by, nil for the built-in one; Upstream is what
	// a hub is told by, nil for none.
	Catalogue *catalogue.Catalogue
	Upstream  pipeline.Upstream
}

// Stats is what an Engine has seen and found so far.
type Stats struct {
	pipeline.Stats
	Verdicts [heuristics.Case + 1]uint64 // lines by verdict
	Losses   []capture.Loss
}

// Sink takes findings: new ones, and those that have changed.
type Sink interface {
	Finding(*heuristics.Finding) error
}

// Checkpointer is an Engine whose evidence outlives a restart. A daemon without
// one starts with nothing.
type Checkpointer interface {
	// Restore reads what the folder holds, before Run, and says in a sentence
	// what that was. What is damaged is set aside and no error.
	Restore(folder string) (string, error)
	// Checkpoint replaces what the folder holds, at once and whole. It is called
	// while Run goes on, and once more after it.
	Checkpoint(folder string) error
}

// Alarm is something that somebody should see to.
type Alarm struct {
	ID     string  `json:"id"` // "tap-silent", with the port behind a slash where it is one port's
	Text   string  `json:"text"`
	Remedy string  `json:"remedy"`
	Since  int64   `json:"since"` // ns since the Unix epoch
	Value  float64 `json:"value"` // what was measured
}

// Alarmer is an Engine, or a Source, that raises alarms. It gives those that
// stand, and may be called at any time by any goroutine.
type Alarmer interface{ Alarms() []Alarm }

// Reloader is an Engine that takes over what a reload may change.
type Reloader interface{ Reload(*config.Config) }

// Steered is an Engine that takes over, while it runs, what a hub's policy says.
// Retable fails with heuristics.ErrShape where a catalogue takes a restart.
type Steered interface {
	SetHomes(context.Context, *ident.Homes) error
	Retable(context.Context, *catalogue.Catalogue) error
	Hub(context.Context, []heuristics.ControllerVerdict) error
}

// Lossy is a Source that counts what it lost or left out, by reason. It may be
// called at any time by any goroutine.
type Lossy interface{ Losses() []capture.Loss }

// Working is a Source that tries out what it does while it runs, to tell
// whether it can without capabilities.
type Working interface{ Working() error }
