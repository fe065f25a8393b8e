package sensor

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metric is one metric as documentation shows it.
type Metric struct {
	Name, Help string
	Labels     []string
	counter    bool
	values     func(*Status, func(v float64, labels ...string))
}

// Metrics lists what is exposed beside what the runtime tells of itself.
func Metrics() []Metric {
	one := func(f func(*Status) float64) func(*Status, func(float64, ...string)) {
		return func(s *Status, add func(float64, ...string)) { add(f(s)) }
	}
	perPort := func(f func(*PortStatus) float64) func(*Status, func(float64, ...string)) {
		return func(s *Status, add func(float64, ...string)) {
			for i := range s.Ports {
				add(f(&s.Ports[i]), s.Ports[i].Name)
			}
		}
	}
	hub := func(f func(*HubStatus) float64) func(*Status, func(float64, ...string)) {
		return func(s *Status, add func(float64, ...string)) {
			if s.Hub != nil {
				add(f(s.Hub))
			}
		}
	}
	headers := func(f func(*HeadersStatus) float64) func(*Status, func(float64, ...string)) {
		return func(s *Status, add func(float64, ...string)) {
			if s.Headers != nil {
				add(f(s.Headers))
			}
		}
	}
	port := []string{"port"}
	return []Metric{
		{"simtrap_info", "Always 1; which program runs, and in which state.", []string{"version", "state"}, false,
			func(s *Status, add func(float64, ...string)) { add(1, s.Version, s.State) }},
		{"simtrap_start_time_seconds", "When the daemon started.", nil, false, one(func(s *Status) float64 { return float64(s.Since.UnixNano()) / 1e9 })},
		{"simtrap_port_info", "Always 1; how frames of a port are taken and what it shows.", []string{"port", "mode", "direction"}, false,
			func(s *Status, add func(float64, ...string)) {
				for _, p := range s.Ports {
					add(1, p.Name, p.Mode, p.Direction)
				}
			}},
		{"simtrap_port_frames_total", "Frames that reached user space.", port, true, perPort(func(p *PortStatus) float64 { return float64(p.Frames) })},
		{"simtrap_port_bytes_total", "Their bytes on the wire.", port, true, perPort(func(p *PortStatus) float64 { return float64(p.Bytes) })},
		{"simtrap_port_last_frame_timestamp_seconds", "Time of the newest frame; absent before the first.", port, false,
			func(s *Status, add func(float64, ...string)) {
				for _, p := range s.Ports {
					if p.Last != nil {
						add(float64(p.Last.UnixNano())/1e9, p.Name)
					}
				}
			}},
		{"simtrap_port_heard_seconds", "How long ago the source last answered, with frames or without; above a few seconds something hangs.", port, false,
			perPort(func(p *PortStatus) float64 { return p.Silent })},
		{"simtrap_losses_total", "What was lost, given up or left aside, by stage and reason; the port is empty for the stages behind the ports.", []string{"port", "stage", "reason"}, true,
			func(s *Status, add func(float64, ...string)) {
				for _, l := range s.Losses {
					add(float64(l.Count), l.Port, l.Stage, l.Reason)
				}
			}},
		{"simtrap_sip_messages_total", "SIP messages read.", nil, true, one(func(s *Status) float64 { return float64(s.Messages) })},
		{"simtrap_h323_messages_total", "H.323 messages read.", nil, true, one(func(s *Status) float64 { return float64(s.H323) })},
		{"simtrap_calls_total", "Calls seen.", nil, true, one(func(s *Status) float64 { return float64(s.Calls) })},
		{"simtrap_streams_total", "Voice streams confirmed, one way each.", nil, true, one(func(s *Status) float64 { return float64(s.Streams) })},
		{"simtrap_control_records_total", "Records of gateways' own protocols.", nil, true, one(func(s *Status) float64 { return float64(s.Records) })},
		{"simtrap_lines", "Lines with a profile.", nil, false, one(func(s *Status) float64 { return float64(s.Lines) })},
		{"simtrap_lines_by_verdict", "Lines by the verdict they have reached.", []string{"verdict"}, false,
			func(s *Status, add func(float64, ...string)) {
				for v, n := range s.Verdicts {
					add(float64(n), v)
				}
			}},
		{"simtrap_findings_written_total", "Findings written to the output.", nil, true, one(func(s *Status) float64 { return float64(s.Written) })},
		{"simtrap_findings_failed_total", "Findings that could not be written.", nil, true, one(func(s *Status) float64 { return float64(s.Failed) })},
		{"simtrap_alarm", "Always 1; an alarm that stands.", []string{"id"}, false,
			func(s *Status, add func(float64, ...string)) {
				for _, a := range s.Alarms {
					add(1, a.ID)
				}
			}},
		{"simtrap_alarm_value", "What the alarm measured.", []string{"id"}, false,
			func(s *Status, add func(float64, ...string)) {
				for _, a := range s.Alarms {
					add(a.Value, a.ID)
				}
			}},
		{"simtrap_checkpoint_timestamp_seconds", "When the evidence was last written; absent before the first time.", nil, false,
			func(s *Status, add func(float64, ...string)) {
				if s.Checkpoint.Last != nil {
					add(float64(s.Checkpoint.Last.UnixNano()) / 1e9)
				}
			}},
		{"simtrap_checkpoint_duration_seconds", "How long that took.", nil, false, one(func(s *Status) float64 { return s.Checkpoint.Seconds })},
		{"simtrap_checkpoint_failures_total", "Checkpoints that could not be written.", nil, true, one(func(s *Status) float64 { return float64(s.Checkpoint.Failed) })},
		{"simtrap_reloads_total", "Reloads, by result: done or refused.", []string{"result"}, true,
			func(s *Status, add func(float64, ...string)) {
				add(float64(s.Reload.Done), "done")
				add(float64(s.Reload.Refused), "refused")
			}},
		{"simtrap_restart_needed_keys", "Keys of the configuration that have changed and need a restart.", nil, false,
			one(func(s *Status) float64 { return float64(len(s.Reload.Restart)) })},
		{"simtrap_hub_up", "1 while reports go to the hub, 0 while they do not; absent where nothing is reported to one, as all of simtrap_hub are.", nil, false,
			hub(func(h *HubStatus) float64 {
				if h.State == "closed" {
					return 1
				}
				return 0
			})},
		{"simtrap_hub_outbox_records", "Reports that wait for the hub, at most: some may be superseded.", nil, false, hub(func(h *HubStatus) float64 { return float64(h.Waiting) })},
		{"simtrap_hub_outbox_bytes", "What they take on the disk.", nil, false, hub(func(h *HubStatus) float64 { return float64(h.Bytes) })},
		{"simtrap_hub_outbox_limit_bytes", "What they may take.", nil, false, hub(func(h *HubStatus) float64 { return float64(h.Limit) })},
		{"simtrap_hub_acknowledged_total", "Reports that the hub has acknowledged.", nil, true, hub(func(h *HubStatus) float64 { return float64(h.Acked) })},
		{"simtrap_hub_superseded_total", "Reports that a newer revision took the place of before they were sent.", nil, true, hub(func(h *HubStatus) float64 { return float64(h.Superseded) })},
		{"simtrap_hub_dropped_total", "Reports that were lost, by reason (docs/outbox.md).", []string{"reason"}, true,
			func(s *Status, add func(float64, ...string)) {
				if s.Hub != nil {
					for _, d := range s.Hub.Dropped {
						add(float64(d.Count), d.Reason)
					}
				}
			}},
		{"simtrap_hub_attempts_total", "Batches that were sent, by outcome: all, failed or busy.", []string{"outcome"}, true,
			func(s *Status, add func(float64, ...string)) {
				if h := s.Hub; h != nil {
					add(float64(h.Attempts), "all")
					add(float64(h.Failed), "failed")
					add(float64(h.Busy), "busy")
				}
			}},
		{"simtrap_hub_sent_bytes_total", "Bytes of batches that were sent, compressed.", nil, true, hub(func(h *HubStatus) float64 { return float64(h.SentBytes) })},
		{"simtrap_hub_last_ack_timestamp_seconds", "When the hub last acknowledged; absent before the first time.", nil, false,
			func(s *Status, add func(float64, ...string)) {
				if s.Hub != nil && s.Hub.LastAck != nil {
					add(float64(s.Hub.LastAck.UnixNano()) / 1e9)
				}
			}},
		{"simtrap_hub_clock_ahead_seconds", "By how much the hub's clock is ahead of this machine's; absent before it was measured.", nil, false,
			func(s *Status, add func(float64, ...string)) {
				if s.Hub != nil && s.Hub.Clock != nil {
					add(s.Hub.Clock.Ahead)
				}
			}},
		{"simtrap_hub_policy_version", "Version of the hub's policy; 0 for none.", nil, false, hub(func(h *HubStatus) float64 { return float64(h.Policy) })},
		{"simtrap_hub_catalogue_version", "Version of the tables in use.", nil, false, hub(func(h *HubStatus) float64 { return float64(h.Catalogue) })},
		{"simtrap_hub_packs_refused_total", "Catalogues of the hub that were refused.", nil, true, hub(func(h *HubStatus) float64 { return float64(h.PackRefused) })},
		{"simtrap_hub_certificate_end_timestamp_seconds", "When this appliance's certificate ends.", nil, false, hub(func(h *HubStatus) float64 { return float64(h.CertificateUntil.UnixNano()) / 1e9 })},
		{"simtrap_hub_renewals_total", "Renewals of the certificate, by result: done or failed.", []string{"result"}, true,
			func(s *Status, add func(float64, ...string)) {
				if h := s.Hub; h != nil {
					add(float64(h.Renewals), "done")
					add(float64(h.RenewFailed), "failed")
				}
			}},
		{"simtrap_hub_controllers", "Far ends seen in the present hour, by role.", nil, false, hub(func(h *HubStatus) float64 { return float64(h.Controllers) })},
		{"simtrap_headers_lines", "Lines whose headers are kept; absent where none are, as all of simtrap_headers are.", nil, false, headers(func(h *HeadersStatus) float64 { return float64(h.Lines) })},
		{"simtrap_headers_bytes", "What headers take on the disk.", nil, false, headers(func(h *HeadersStatus) float64 { return float64(h.Bytes) })},
		{"simtrap_headers_limit_bytes", "What they may take.", nil, false, headers(func(h *HeadersStatus) float64 { return float64(h.Limit) })},
		{"simtrap_headers_frames_total", "Frames whose headers were written.", nil, true, headers(func(h *HeadersStatus) float64 { return float64(h.Frames) })},
		{"simtrap_headers_requests_total", "Requests of the hub for headers, by result: answered or refused.", []string{"result"}, true,
			func(s *Status, add func(float64, ...string)) {
				if h := s.Headers; h != nil {
					add(float64(h.Requests), "answered")
					add(float64(h.Refused), "refused")
				}
			}},
		{"simtrap_headers_sent_bytes_total", "Bytes of headers that were sent to the hub.", nil, true, headers(func(h *HeadersStatus) float64 { return float64(h.Sent) })},
		{"simtrap_memory_limit_bytes", "Memory that the program aims to stay below; 0 for no limit.", nil, false,
			one(func(s *Status) float64 { return float64(s.MemoryLimit) })},
		{"simtrap_log_suppressed_total", "Log lines left out because the same message came too often.", nil, true,
			one(func(s *Status) float64 { return float64(s.Suppressed) })},
	}
}

// collector gives the metrics of one snapshot, so that they belong together.
type collector struct {
	snapshot func() Status
	metrics  []Metric
	descs    []*prometheus.Desc
}

func newCollector(snapshot func() Status) *collector {
	c := &collector{snapshot: snapshot, metrics: Metrics()}
	for _, m := range c.metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.Name, m.Help, m.Labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	s := c.snapshot()
	for i, m := range c.metrics {
		kind := prometheus.GaugeValue
		if m.counter {
			kind = prometheus.CounterValue
		}
		seen := make(map[string]bool)
		m.values(&s, func(v float64, labels ...string) {
			key := ""
			for _, l := range labels {
				key += l + "\x00"
			}
			if seen[key] { // two of one name would spoil the whole answer
				return
			}
			seen[key] = true
			to <- prometheus.MustNewConstMetric(c.descs[i], kind, v, labels...)
		})
	}
}

// registry is the daemon's own.
func registry(snapshot func() Status) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(newCollector(snapshot), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// memoryLimit is the runtime's, as it is set now.
func memoryLimit() int64 {
	if n := debug.SetMemoryLimit(-1); n < 1<<60 {
		return n
	}
	return 0
}
