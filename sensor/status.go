package sensor

import (
	"time"

	"simtrap/capture"
)

// Status is how a running daemon answers.
type Status struct {
	Version string       `json:"version"`
	State   string       `json:"state"` // starting, running, draining
	Config  string       `json:"config"`
	Since   time.Time    `json:"since"`
	Now     time.Time    `json:"now"`
	Ports   []PortStatus `json:"ports"`

	Messages uint64            `json:"sip_messages"`
	H323     uint64            `json:"h323_messages"`
	Calls    uint64            `json:"calls"`
	Streams  uint64            `json:"streams"`
	Records  uint64            `json:"control_records"`
	Lines    uint64            `json:"lines"`
	Verdicts map[string]uint64 `json:"verdicts"`
	Written  uint64            `json:"findings_written"`
	Failed   uint64            `json:"findings_failed"`

	Alarms []Alarm `json:"alarms"`
	Losses []Loss  `json:"losses"`

	Checkpoint CheckpointStatus `json:"checkpoint"`
	Reload     ReloadStatus     `json:"reload"`

	MemoryLimit  int64    `json:"memory_limit"` // bytes, 0 for none
	Suppressed   uint64   `json:"log_suppressed"`
	Capabilities []string `json:"capabilities"` // that are in effect
	Confined     string   `json:"confined"`
}

// PortStatus is one port.
type PortStatus struct {
	Name      string     `json:"name"`
	Number    int        `json:"number"`
	Mode      string     `json:"mode"`
	Direction string     `json:"direction"`
	Frames    uint64     `json:"frames"`
	Bytes     uint64     `json:"bytes"`
	Last      *time.Time `json:"last"`         // time of the newest frame, null before the first
	Silent    float64    `json:"heard_before"` // seconds since the source last answered
}

// Loss is one reason for which something was lost or left aside.
type Loss struct {
	Port   string `json:"port"` // empty for the stages behind the ports
	Stage  string `json:"stage"`
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// CheckpointStatus tells of the checkpoints.
type CheckpointStatus struct {
	Kept     bool       `json:"kept"` // evidence outlives a restart
	Last     *time.Time `json:"last"` // null before the first
	Seconds  float64    `json:"seconds"`
	Failed   uint64     `json:"failed"`
	Error    string     `json:"error"`
	Restored string     `json:"restored"`
}

// ReloadStatus tells of the reloads.
type ReloadStatus struct {
	Done    uint64   `json:"done"`
	Refused uint64   `json:"refused"`
	Restart []string `json:"restart"` // keys that differ in the file and need a restart
}

func lossesOf(port string, list []capture.Loss) []Loss {
	var out []Loss
	for _, l := range list {
		if l.Count > 0 {
			out = append(out, Loss{port, l.Stage, l.Reason, l.Count})
		}
	}
	return out
}
