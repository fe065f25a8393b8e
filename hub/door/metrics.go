package door

import "github.com/prometheus/client_golang/prometheus"

// meter counts what comes and what is refused.
type meter struct {
	refused  *prometheus.CounterVec
	batches  prometheus.Counter
	records  prometheus.Counter
	stored   prometheus.Histogram
	enrolled prometheus.Counter
	renewed  prometheus.Counter
	panics   prometheus.Counter
	watching prometheus.Gauge
}

func newMeter(r *prometheus.Registry, d *Door) *meter {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	m := &meter{
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "simtrap_hub_refused_total", Help: "What was not let in or not taken, by reason."}, []string{"reason"}),
		batches:  counter("simtrap_hub_batches_total", "Batches that were stored and acknowledged."),
		records:  counter("simtrap_hub_records_total", "Records of them."),
		enrolled: counter("simtrap_hub_enrolled_total", "Sensors that were admitted."),
		renewed:  counter("simtrap_hub_renewed_total", "Certificates that were renewed."),
		panics:   counter("simtrap_hub_panics_total", "Calls that panicked."),
		watching: prometheus.NewGauge(prometheus.GaugeOpts{Name: "simtrap_hub_policy_streams", Help: "Sensors' streams of their policy."}),
		stored: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "simtrap_hub_store_seconds", Help: "How long a batch took to be stored.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}),
	}
	r.MustRegister(m.refused, m.watching, m.stored)
	gauge := func(name, help string, f func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	gauge("simtrap_hub_connections", "Open connections.", func() float64 { n, _ := d.crowd.count(); return float64(n) })
	gauge("simtrap_hub_strangers", "Open connections of whom nobody is known yet.", func() float64 { _, n := d.crowd.count(); return float64(n) })
	gauge("simtrap_hub_sensors_known", "Sensors whose rate is remembered.", func() float64 { n, _ := d.sensors.count(); return float64(n) })
	for kind, g := range map[string]*guests{"sensors": d.sensors, "addresses": d.addresses} {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "simtrap_hub_forgotten_total",
			Help:        "Whose rate was forgotten since there were too many: of sensors, addresses, or failed logins.",
			ConstLabels: prometheus.Labels{"kind": kind}}, func() float64 { _, n := g.count(); return float64(n) }))
	}
	return m
}

func (m *meter) refuse(reason string) { m.refused.WithLabelValues(reason).Inc() }
