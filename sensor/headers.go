package sensor

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"simtrap/capture"
	proof "simtrap/evidence"
	"simtrap/evidence/ring"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/pipeline"
	"simtrap/report"
	"simtrap/report/outbox"
	"simtrap/sensor/config"
)

// headersFolder is where they are kept, in the state folder.
const headersFolder = "headers"

// headers keeps what packets of suspect lines say beside what they carry. Frames are
// cut where they come in, by whoever reads the port, and written by another.
type headers struct {
	ring    *ring.Ring
	options report.Options // for names of lines
	realms  pipeline.Realms
	names   func(t int64) *ident.Pseudonymizer
	place   atomic.Pointer[placing]

	unplaced atomic.Uint64
}

// placing says whose a packet is.
type placing struct{ pipeline.Config }

// maxHeadersKey bounds the file of the key, in bytes.
const maxHeadersKey = 64 << 10

// openHeaders takes up what is kept. It is nil where nothing is to be.
func openHeaders(c *config.Config, o report.Options, names func(t int64) *ident.Pseudonymizer, log *zap.Logger) (*headers, error) {
	if !c.Headers.Keep {
		return nil, nil
	}
	h := &headers{options: o, names: names}
	var err error
	if h.realms, err = c.RealmRules(); err != nil {
		return nil, err
	}
	homes, err := c.Homes()
	if err != nil {
		return nil, err
	}
	h.setHomes(homes)
	r := ring.Options{Folder: filepath.Join(c.StateFolder(), headersFolder), Limit: int64(c.Headers.Limit), PerLine: int64(c.Headers.Line),
		Age: time.Duration(c.Headers.Age), Lines: c.Headers.Lines, Line: h.realms.Line, Log: log}
	// Reports stop at their reserve. Headers stop at twice that, so that reports have
	// room where headers have none.
	r.Reserve, r.Free = 2*int64(c.Hub.Reserve), func() (int64, error) { return outbox.Disk{}.Free(r.Folder) }
	if c.Headers.Key != config.None {
		name := c.Path(c.Headers.Key)
		info, err := os.Stat(name)
		if err == nil && info.Size() > maxHeadersKey {
			err = fmt.Errorf("%s: %d bytes, no key", name, info.Size())
		}
		var text []byte
		if err == nil {
			text, err = os.ReadFile(name)
		}
		if err == nil {
			r.Key, err = ring.ParsePublicKey(text)
		}
		if err != nil {
			return nil, fmt.Errorf("headers.key: %w; set none to keep them plain", err)
		}
	}
	if h.ring, err = ring.Open(r); err != nil {
		return nil, fmt.Errorf("headers: %w; set headers: {keep: false} to keep none", err)
	}
	return h, nil
}

// close writes what is on its way.
func (h *headers) close() error {
	if h == nil {
		return nil
	}
	return h.ring.Close()
}

// setHomes takes other prefixes of subscribers.
func (h *headers) setHomes(homes *ident.Homes) {
	if h != nil {
		h.place.Store(&placing{pipeline.Config{Homes: homes, Realms: h.realms}})
	}
}

// sink tells h of findings on their way.
func (h *headers) sink(next Sink) Sink {
	if h == nil {
		return next
	}
	return headersSink{next, h}
}

type headersSink struct {
	Sink
	headers *headers
}

// Finding implements Sink. What stands at watch on the word of the hub alone is not
// followed, as it is not told either.
func (s headersSink) Finding(f *heuristics.Finding) error {
	if f.Verdict >= heuristics.Watch {
		s.headers.ring.Follow(f.Line, s.headers.options.LineName(f.Line), int(f.Verdict))
	} else {
		s.headers.ring.Leave(f.Line)
	}
	return s.Sink.Finding(f)
}

// cutter cuts the frames of one port.
type cutter struct {
	headers *headers
	trim    *proof.Trimmer
	placed  *placing
}

// cutter gives one, nil where nothing is kept.
func (h *headers) cutter() *cutter {
	if h == nil {
		return nil
	}
	return &cutter{headers: h, trim: proof.NewTrimmer(proof.Options{})}
}

// batch keeps what is to be kept of frames. Without a suspect line it costs nothing.
func (c *cutter) batch(b *capture.Batch) {
	h := c.headers
	if !h.ring.Follows() {
		return
	}
	if p := h.place.Load(); p != c.placed {
		c.trim.Place(p.Homes, p.Locate)
		c.placed = p
	}
	for i := range b.Frames {
		f, data := &b.Frames[i], b.Data(i)
		src, dst, ok := c.trim.Frame(f, data)
		if !ok {
			continue
		}
		from, to := h.ring.Wants(src), h.ring.Wants(dst) && src != dst
		if !from && !to {
			continue
		}
		c.trim.Name(h.names(f.Time))
		out, ok := c.trim.Trim(data)
		if !ok {
			h.unplaced.Add(1)
			continue
		}
		if from {
			h.ring.Add(src, f, out)
		}
		if to {
			h.ring.Add(dst, f, out)
		}
	}
}

// losses are of what was to be kept.
func (h *headers) losses() []capture.Loss {
	if h == nil {
		return nil
	}
	s := h.ring.Stats()
	return []capture.Loss{
		{Stage: "headers", Reason: "frames of suspect lines of which it is not known where the headers end", Count: h.unplaced.Load()},
		{Stage: "headers", Reason: "frames of suspect lines that found no room on their way to the disk", Count: s.Lost},
		{Stage: "headers", Reason: "frames of suspect lines that the disk did not take", Count: s.Failed},
		{Stage: "headers", Reason: "times that a suspect line was not followed: as many are as may be", Count: s.Left},
		{Stage: "headers", Reason: "files that went for room", Count: s.Evicted},
		{Stage: "headers", Reason: "files that were damaged and set aside, or could not be read", Count: s.Damaged},
		{Stage: "headers", Reason: "files that were set aside and went for others", Count: s.Removed},
	}
}

// HeadersStatus is what is kept of packets of suspect lines.
type HeadersStatus struct {
	Lines     int    `json:"lines"` // followed
	Files     int    `json:"files"`
	Bytes     int64  `json:"bytes"`
	Limit     int64  `json:"limit"` // of these
	Encrypted bool   `json:"encrypted"`
	Frames    uint64 `json:"frames"` // written since the start
	Aged      uint64 `json:"files_aged"`
	Requests  uint64 `json:"requests"` // of the hub that were answered
	Refused   uint64 `json:"requests_refused"`
	Sent      uint64 `json:"sent_bytes"`
	Error     string `json:"error"` // why the hub is not asked, or went without an answer
}

// status tells how things stand; nil where nothing is kept.
func (h *headers) status(c *config.Config) *HeadersStatus {
	if h == nil {
		return nil
	}
	s := h.ring.Stats()
	return &HeadersStatus{Lines: s.Lines, Files: s.Segments, Bytes: s.Bytes, Limit: int64(c.Headers.Limit), Encrypted: c.Headers.Key != config.None, Frames: s.Frames, Aged: s.Aged}
}
