package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"simtrap/cmd/internal/command"
	"simtrap/evidence/bundle"
	"simtrap/evidence/timestamp"
	"simtrap/hub/admin"
	"simtrap/hub/bundles"
	"simtrap/hub/door"
	"simtrap/hub/linker"
	events "simtrap/hub/notify"
	"simtrap/hub/pages"
	"simtrap/hub/people"
	"simtrap/hub/query"
	"simtrap/hub/store"
	"simtrap/report/adminpb/adminpbconnect"
	"simtrap/report/querypb"
	"simtrap/report/querypb/querypbconnect"
)

// serving is how a hub serves.
type serving struct {
	listen, metrics  string
	linkers, memory  int
	keep             []string
	leave, drain     time.Duration
	logLevel, format string
	limits           door.Limits
	policy           time.Duration
	handOver         handOver
	signIn           signIn
	targets          []events.Target
	tsa              string
	stamp            bundle.Stamper
}

func newServe(p *place) *cobra.Command {
	s := &serving{listen: ":8443", metrics: "127.0.0.1:9811", linkers: 1, memory: 512, drain: 20 * time.Second, logLevel: "info", format: "text", policy: 10 * time.Second}
	cmd := &cobra.Command{
		Use:   "serve [flags]",
		Short: "Take reports, link, and answer until told to stop",
		Long: `serve answers appliances and people on one port: TLS 1.3, appliances by certificate,
people by a token of "simtrap hub login". It links what comes, gives appliances their
policy, and deletes what has been kept long enough. Health, readiness and metrics are
on a port of their own as well.

SIGTERM and SIGINT let what is being answered come to its end, then end it.

Exit status: 0 when it was told to stop; 1 for anything that prevented the work; 2 for
wrong usage.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keep, err := retention(s.keep)
			if err != nil {
				return command.Usage(cmd, err)
			}
			log, err := newLog(p.t.Err, s.logLevel, s.format)
			if err != nil {
				return command.Usage(cmd, err)
			}
			if s.linkers < 0 || s.linkers > 64 {
				return command.Usage(cmd, errors.New("--linkers: want 0 to 64"))
			}
			if s.memory < leastMemory {
				return command.Usage(cmd, fmt.Errorf("--memory: want %d or more", leastMemory))
			}
			if most := machineMemory(os.DirFS("/")); most > 0 && s.memory > most {
				return command.Usage(cmd, fmt.Errorf("--memory: %d is more than this machine has, %d MiB: want what is left beside all else that runs on it", s.memory, most))
			}
			if s.targets, err = s.handOver.targets(); err != nil {
				return command.Usage(cmd, err)
			}
			if _, _, err := s.signIn.options(); err != nil {
				return command.Usage(cmd, err)
			}
			if cmd.Flags().Changed("evidence-tsa") {
				client, err := timestamp.NewClient(s.tsa)
				if err != nil {
					return command.Usage(cmd, fmt.Errorf("--evidence-tsa: %w", err))
				}
				s.stamp = client.Stamp
			}
			return p.serve(cmd.Context(), s, keep, log)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.listen, "listen", s.listen, "`ADDRESS` and port for appliances and people")
	f.StringVar(&s.metrics, "metrics", s.metrics, "`ADDRESS` and port for /metrics, /healthz and /readyz without TLS; none for none")
	f.IntVar(&s.linkers, "linkers", s.linkers, "`N` that link at once; 0 leaves it to other hubs")
	f.IntVar(&s.memory, "memory", s.memory, "`MIB` of memory to stay below as far as the work allows; GOMEMLIMIT is for what Go allots alone, and goes before")
	f.StringArrayVar(&s.keep, "keep", nil, "`KIND=TIME`: how long none, watch, review, case, outcome or sketch is kept, such as watch=7d; may be given again")
	f.DurationVar(&s.leave, "leave", 0, "`TIME` that it goes on after it says that it is not ready, for a balancer to notice")
	f.DurationVar(&s.drain, "drain", s.drain, "`TIME` that what is being answered has to end")
	f.DurationVar(&s.policy, "policy-interval", s.policy, "`TIME` between looks for a changed policy")
	s.handOver.bind(f)
	s.signIn.bind(f)
	f.StringVar(&s.tsa, "evidence-tsa", "", "ask the time-stamp service at `URL` (RFC 3161) for each bundle of evidence")
	f.StringVar(&s.logLevel, "log-level", s.logLevel, "`LEVEL`: debug, info, warn or error")
	f.StringVar(&s.format, "log-format", s.format, "`FORMAT`: text or json")
	f.Float64Var(&s.limits.Records, "sensor-records", 1000, "`N` records a second that one appliance may send in the long run")
	f.IntVar(&s.limits.Connections, "connections", 8192, "`N` open at once")
	return cmd
}

// leastMemory is what --memory may be at least, MiB: with less, what a full hub holds
// would have its collector at work all the time.
const leastMemory = 320

// machineMemory is the memory of the machine, MiB; 0 where nothing tells.
func machineMemory(root fs.FS) int {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kib); n == 1 {
			return kib >> 10
		}
	}
	return 0
}

// besideGo is what is in memory that Go's limit does not count, MiB: of SQLite the
// caches of its connections (90 MiB when they are full: a page of 4 KiB takes 9), and in
// both cases what the program is.
func besideGo(sqlite bool) int {
	if sqlite {
		return 128
	}
	return 40
}

// bound has the collector keep the program below s.memory. It is no hard limit: what is
// in use stays, however much it is.
func (s *serving) bound(sqlite bool) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(s.memory-besideGo(sqlite)) << 20)
	}
}

// retention reads what --keep says.
func retention(list []string) (store.Retention, error) {
	var r store.Retention
	kinds := map[string]*time.Duration{"none": &r.None, "watch": &r.Watch, "review": &r.Review, "case": &r.Case, "outcome": &r.Outcome, "sketch": &r.Sketch}
	for _, s := range list {
		kind, text, ok := strings.Cut(s, "=")
		to := kinds[kind]
		if !ok || to == nil {
			return r, fmt.Errorf("--keep %q: want none, watch, review, case, outcome or sketch, = and a time", s)
		}
		d, err := parseSpan(text)
		if err != nil {
			return r, fmt.Errorf("--keep %w", err)
		}
		if d < time.Hour {
			return r, fmt.Errorf("--keep %q: want an hour or more", s)
		}
		*to = d
	}
	return r, nil
}

func newLog(w io.Writer, level, format string) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", level)
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	switch format {
	case "text":
		encoder = zapcore.NewConsoleEncoder(encoding)
	case "json":
		encoder = zapcore.NewJSONEncoder(encoding)
	default:
		return nil, fmt.Errorf("--log-format %q: want text or json", format)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), l)
	// Of the same message, what strangers can cause, ten a second and then every
	// hundredth.
	return zap.New(zapcore.NewSamplerWithOptions(core, time.Second, 10, 100)), nil
}

// How often it is looked for what has been kept long enough, and how soon after the
// start.
const (
	expireEvery = time.Hour
	expireFirst = time.Minute
)

// proofs gives pages the evidence of cases.
type proofs struct{ from *query.Evidence }

// proofWait is how long a page waits for sensors; the command line has longer.
const proofWait = time.Minute

func (p proofs) Bundle(ctx context.Context, _ people.Person, caseID, authority string, w io.Writer) error {
	return p.from.Gather(ctx, &querypb.AskEvidenceRequest{CaseId: caseID, Authority: authority}, proofWait, w)
}

func (p *place) serve(ctx context.Context, s *serving, keep store.Retention, log *zap.Logger) error {
	s.bound(p.storeURL() == "")
	h, err := p.open(ctx, log)
	if err != nil {
		return err
	}
	return errors.Join(p.serveOpen(ctx, h, s, keep, log), h.store.Close())
}

func (p *place) serveOpen(ctx context.Context, h *hub, s *serving, keep store.Retention, log *zap.Logger) error {
	tell := events.New(events.Options{Targets: s.targets, Log: log})
	q, err := query.New(query.Options{Store: tell.Cases(h.store), People: asking{}, Audit: uses{h.people}, Key: h.trust.Derive("query"), Log: log})
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	path, answers := querypbconnect.NewQueryServiceHandler(q, query.HandlerOptions()...)
	proof := query.NewEvidence(q, h.store, bundles.New(bundles.Options{Store: h.store, Sign: h.trust.Evidence(), Headers: h.trust.Headers(), Key: h.trust.Derive, Version: command.Version(), Stamp: s.stamp}))
	proofPath, proves := querypbconnect.NewEvidenceServiceHandler(proof, query.HandlerOptions()...)
	office := admin.New(admin.Options{Store: h.store, People: h.people, Tokens: h.trust, Log: log})
	adminPath, administers := adminpbconnect.NewAdminServiceHandler(office, admin.HandlerOptions()...)
	auditPath, audits := adminpbconnect.NewAuditServiceHandler(office, admin.HandlerOptions()...)
	mine := func(next http.Handler) http.Handler { return h.people.Handler(known(next)) }
	elsewhere := ""
	if _, ok, err := s.signIn.options(); err == nil && ok {
		elsewhere = people.OIDCPages
	}
	site, err := pages.New(pages.Options{
		Elsewhere: elsewhere, Query: q, Office: office, People: h.people, Store: h.store, Evidence: proofs{proof}, Key: h.trust.Derive("pages"), Closing: ctx.Done(), Log: log,
		Known: func(ctx context.Context, who people.Person) { door.Vouch(ctx, "account "+who.Account) },
	})
	if err != nil {
		return err
	}
	beside := map[string]http.Handler{path: mine(answers), adminPath: mine(administers), auditPath: mine(audits), proofPath: mine(proves), "/login": h.people.LoginHandler(), "/": site}
	stopSignIn, err := serveOIDC(h, &s.signIn, beside, site.Enter)
	if err != nil {
		return err
	}
	defer stopSignIn()
	d, err := door.New(door.Options{
		Store: tell.Findings(h.store), Trust: h.trust, Limits: s.limits, Leave: s.leave, Drain: s.drain, Policy: s.policy, Registry: registry, Log: log,
		Updates: p.updatesFolder(),
		Beside:  beside,
	})
	if err != nil {
		return err
	}
	defer d.Close()

	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	stopPages := func() {}
	if s.metrics != "none" {
		m, err := net.Listen("tcp", s.metrics)
		if err != nil {
			l.Close()
			return fmt.Errorf("metrics: %w", err)
		}
		stopPages = servePages(m, d, registry)
		log.Info("metrics", zap.Stringer("on", m.Addr()))
	}
	defer stopPages()

	// What works behind the door ends after it has closed: what came in last is
	// linked by whoever starts next.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	var workers []*linker.Worker
	host, _ := os.Hostname()
	for i := range s.linkers {
		w := linker.New(linker.Options{Store: h.store, Owner: fmt.Sprintf("%s/%d/%d/%s", host, os.Getpid(), i, rand.Text()), Log: log})
		workers = append(workers, w)
		working.Go(func() { w.Run(work) })
	}
	measure(registry, h.store, workers)
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "simtrap_hub_forgotten_total",
		Help:        "Whose rate was forgotten since there were too many: of sensors, addresses, or failed logins.",
		ConstLabels: prometheus.Labels{"kind": "logins"}}, func() float64 { return float64(h.people.Forgotten()) }))
	working.Go(func() { expire(work, h, keep, log) })
	working.Go(func() { h.people.Run(work) })
	working.Go(func() { tell.Run(work) })
	measureTelling(registry, tell)

	log.Info("serving", zap.Stringer("on", l.Addr()), zap.Strings("names", h.trust.Names()), zap.String("authority", h.trust.Fingerprint()), zap.String("version", command.Version()))
	notify("READY=1")
	defer notify("STOPPING=1")
	err = d.Serve(ctx, l)
	log.Info("stopped")
	return err
}

// notify tells the service manager how things stand (sd_notify(3)), if there is one.
func notify(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" || name[0] != '/' && name[0] != '@' {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, state)
}

// servePages serves what is for the operator alone.
func servePages(l net.Listener, d *door.Door, registry *prometheus.Registry) (stop func()) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := d.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	return func() { s.Close(); <-done }
}

// expire deletes what has been kept long enough.
func expire(ctx context.Context, h *hub, keep store.Retention, log *zap.Logger) {
	next := time.NewTimer(expireFirst)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		n, err := h.store.Expire(ctx, time.Now(), keep, h.trust)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Error("what was kept long enough was not deleted", zap.Error(err))
		case n > 0:
			log.Info("deleted what was kept long enough", zap.Int("findings", n))
		}
		next.Reset(expireEvery)
	}
}

// measure adds what the store and the linkers count.
func measure(r *prometheus.Registry, s *store.Store, workers []*linker.Worker) {
	counter := func(name, help string, f func() uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(f()) }))
	}
	counter("simtrap_hub_stored_findings_total", "Findings stored: new, or of a higher revision.", func() uint64 { return s.Counters().Findings })
	counter("simtrap_hub_older_findings_total", "Revisions that came again, or after a higher one.", func() uint64 { return s.Counters().Older })
	counter("simtrap_hub_commits_total", "Transactions of reports.", func() uint64 { return s.Counters().Commits })
	counter("simtrap_hub_unknown_records_total", "Records of a kind that this program does not know.", func() uint64 { return s.Counters().Unknown })
	counter("simtrap_hub_senseless_records_total", "Records that made no sense.", func() uint64 { return s.Counters().Refused })
	counter("simtrap_hub_cut_keys_total", "Keys left out of findings that had too many.", func() uint64 { return s.Counters().Cut })
	counter("simtrap_hub_gaps_total", "Gap records.", func() uint64 { return s.Counters().Gaps })
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "simtrap_hub_waiting_records", Help: "Records that wait to be written."}, func() float64 { return float64(s.Counters().Waiting) }))
	sum := func(f func(linker.Counters) uint64) func() uint64 {
		return func() (n uint64) {
			for _, w := range workers {
				n += f(w.Counters())
			}
			return n
		}
	}
	counter("simtrap_hub_linked_total", "Tenancies whose links were judged and saved.", sum(func(c linker.Counters) uint64 { return c.Judged }))
	counter("simtrap_hub_link_conflicts_total", "Results of linking thrown away since another was first.", sum(func(c linker.Counters) uint64 { return c.Conflicts }))
	counter("simtrap_hub_link_failures_total", "Failures of the store while linking.", sum(func(c linker.Counters) uint64 { return c.Failures }))
	counter("simtrap_hub_links_left_total", "Pairs left out since their component would be too large.", sum(func(c linker.Counters) uint64 { return c.Left }))
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "simtrap_hub_link_queue", Help: "Tenancies that wait to be linked."}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		n, err := s.Queued(ctx)
		if err != nil {
			return -1
		}
		return float64(n)
	}))
}

// known tells the door that whoever asks has an account: his connection is no
// stranger's.
func known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := people.FromContext(r.Context()); ok {
			door.Vouch(r.Context(), "account "+p.Account)
		}
		next.ServeHTTP(w, r)
	})
}

// asking tells queries who asks.
type asking struct{}

func (asking) Who(ctx context.Context) (query.Person, error) {
	p, ok := people.FromContext(ctx)
	if !ok {
		return query.Person{}, people.ErrSession
	}
	return query.Person{Account: p.Account, Reads: p.Role.Reads(), Clear: p.Role.Clear()}, nil
}

// uses writes down uses of an authority.
type uses struct{ people *people.People }

func (u uses) Used(ctx context.Context, x query.Use) error {
	_, err := u.people.Record(ctx, people.Entry{Account: x.Account, Action: x.Action, Object: x.Method, Authority: x.Authority, Detail: x.Request})
	return err
}
