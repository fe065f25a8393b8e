package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"simtrap/cmd/internal/command"
	events "simtrap/hub/notify"
)

// handOver is who is told of new and changed cases, as flags say.
type handOver struct {
	webhooks, syslogs  []string
	secret, ca, format string
}

// maxTargets bounds them.
const maxTargets = 16

func (h *handOver) bind(f *pflag.FlagSet) {
	f.StringArrayVar(&h.webhooks, "webhook", nil, "`URL` that new and changed cases are posted to; may be given again")
	f.StringVar(&h.secret, "webhook-secret", "", "`FILE` with the secret that webhooks are signed with, 16 bytes or more, for its owner alone")
	f.StringArrayVar(&h.syslogs, "syslog", nil, "`URL` of a syslog that they are told: udp://, tcp:// or tls://HOST:PORT; may be given again")
	f.StringVar(&h.format, "syslog-format", events.FormatRFC5424, "`FORMAT` of that: rfc5424 or cef")
	f.StringVar(&h.ca, "hand-over-ca", "", "`FILE` of certificates (PEM) that webhooks' and syslogs' are to be signed by (default the system's)")
}

// targets makes what flags say.
func (h *handOver) targets() (list []events.Target, err error) {
	if len(h.webhooks)+len(h.syslogs) > maxTargets {
		return nil, fmt.Errorf("more than %d webhooks and syslogs", maxTargets)
	}
	var config *tls.Config
	if h.ca != "" {
		text, err := readPEM(h.ca)
		if err != nil {
			return nil, fmt.Errorf("--hand-over-ca: %w", err)
		}
		config = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--hand-over-ca: %s: no certificates in PEM", h.ca)
		}
	}
	var secret []byte
	if len(h.webhooks) > 0 {
		if h.secret == "" {
			return nil, errors.New("--webhook needs --webhook-secret: who takes it must see that it is the hub's")
		}
		info, err := os.Stat(h.secret)
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			err = errors.New("others may read it: chmod 600 it")
		}
		if err == nil {
			secret, err = readPEM(h.secret)
		}
		if err != nil {
			return nil, fmt.Errorf("--webhook-secret: %w", err)
		}
		secret = bytes.TrimSpace(secret)
	}
	for _, u := range h.webhooks {
		t, err := events.NewWebhook(u, secret, config)
		if err != nil {
			return nil, fmt.Errorf("--webhook: %w", err)
		}
		list = append(list, t)
	}
	for _, u := range h.syslogs {
		t, err := events.NewSyslog(u, h.format, command.Version(), config)
		if err != nil {
			return nil, fmt.Errorf("--syslog: %w", err)
		}
		list = append(list, t)
	}
	return list, nil
}

// measureTelling adds what became of events.
func measureTelling(r *prometheus.Registry, n *events.Notifier) {
	r.MustRegister(telling{n, prometheus.NewDesc("simtrap_hub_events_total", "Events of cases by target and outcome: told, dropped (too many waited) or given-up.", []string{"target", "outcome"}, nil),
		prometheus.NewDesc("simtrap_hub_events_waiting", "Events of cases that wait for a target.", []string{"target"}, nil)})
}

type telling struct {
	n              *events.Notifier
	total, waiting *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (t telling) Describe(to chan<- *prometheus.Desc) {
	to <- t.total
	to <- t.waiting
}

// Collect implements prometheus.Collector.
func (t telling) Collect(to chan<- prometheus.Metric) {
	for _, s := range t.n.Stats() { // no two of one name
		for outcome, n := range map[string]uint64{"told": s.Told, "dropped": s.Dropped, "given-up": s.GivenUp} {
			to <- prometheus.MustNewConstMetric(t.total, prometheus.CounterValue, float64(n), s.Target, outcome)
		}
		to <- prometheus.MustNewConstMetric(t.waiting, prometheus.GaugeValue, float64(s.Waiting), s.Target)
	}
}
