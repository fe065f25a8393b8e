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

	Hub *HubStatus `json:"hub"` // null where nothing is reported to one

	Headers *HeadersStatus `json:"headers"` // null where none are kept

	Checkpoint CheckpointStatus `json:"checkpoint"`
	Reload     ReloadStatus     `json:"reload"`

	MemoryLimit  int64    `json:"memory_limit"` // bytes, 0 for none
	Suppressed   uint64   `json:"log_suppressed"`
	Capabilities []string `json:"capabilities"` // that are in effect
	Confined     string   `json:"confined"`

	reached int64 // packet time, ns since the Unix epoch
}

// PortStatus is one port.
type PortStatus struct {
	Name      string     `json:"name"`
	Number    int        `json:"number"`
	Mode      string     `json:"mode"`
	Direction string     `json:"direction"`
	Frames    uint64     `json:"frames"`
	Bytes     uint64     `json:"bytes"`
	First     *time.Time `json:"first"`        // when the first frame came here, null before it
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

// HubStatus is the way to the hub.
type HubStatus struct {
	Address string     `json:"address"`
	Sensor  string     `json:"sensor"` // the name that this appliance was admitted under
	State   string     `json:"state"`  // closed: reports go; open: they do not, until next; half-open: one is tried
	LastAck *time.Time `json:"last_ack"`
	Next    *time.Time `json:"next"` // when it is tried again, null while nothing waits for that
	Error   string     `json:"error"`

	Waiting    uint64    `json:"waiting"` // records, at most: some are superseded
	Bytes      int64     `json:"bytes"`   // of the outbox
	Limit      int64     `json:"limit"`   // of these
	Acked      uint64    `json:"acked"`   // records, since the start
	Superseded uint64    `json:"superseded"`
	Dropped    []Dropped `json:"dropped"`
	Attempts   uint64    `json:"attempts"`
	Failed     uint64    `json:"failed"` // attempts
	Busy       uint64    `json:"busy"`   // attempts that the hub put off
	Refused    uint64    `json:"refused"`
	SentBytes  uint64    `json:"sent_bytes"`

	Clock *ClockStatus `json:"clock"` // null before the first acknowledgement

	Policy           uint64    `json:"policy"`
	Catalogue        uint64    `json:"catalogue"`
	Following        bool      `json:"following"`
	PolicyError      string    `json:"policy_error"`
	PackRefused      uint64    `json:"packs_refused"`
	PackError        string    `json:"pack_error"`
	CertificateUntil time.Time `json:"certificate_until"`
	Renewals         uint64    `json:"renewals"`
	RenewFailed      uint64    `json:"renewals_failed"`
	Controllers      int       `json:"controllers"` // of the present hour
}

// Dropped is how many reports were lost for one reason (docs/outbox.md).
type Dropped struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// ClockStatus is how the hub's clock stands against this machine's.
type ClockStatus struct {
	Ahead       float64 `json:"ahead"`       // seconds
	Uncertainty float64 `json:"uncertainty"` // half a round trip, seconds
}
