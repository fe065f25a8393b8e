// Package door is where a hub is spoken to: what sensors report, how they are
// admitted, what they are to go by, and beside it whatever answers people, on one
// port with TLS 1.3, in gRPC, gRPC-Web and JSON.
//
// Who speaks is known before anything is read: a sensor by its certificate, which
// must be one that the hub gave and has not taken back. Everything that comes is
// bounded, by sensor and all together, and every refusal is counted by its reason.
package door

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"simtrap/hub/store"
	"simtrap/hub/trust"
	"simtrap/report/fleetpb"
	"simtrap/report/fleetpb/fleetpbconnect"
	"simtrap/report/reportpb"
	"simtrap/report/reportpb/reportpbconnect"
)

// Store is what of a store.Store the door needs.
type Store interface {
	Ingest(context.Context, store.Delivery) (store.Receipt, error)
	Admitted(ctx context.Context, serial string, now time.Time) (string, time.Time, error)
	TakeToken(ctx context.Context, hash [32]byte, now time.Time, issue func(sensor string) (store.Admission, error)) (store.Admission, error)
	Renewed(ctx context.Context, from string, a store.Admission) error
	PolicyStand(ctx context.Context, sensor string) (store.PolicyStand, error)
	LatestPolicy(context.Context) (store.Policy, error)
	LatestPack(context.Context) (*fleetpb.CataloguePack, error)
	Verdicts(ctx context.Context, sensor string, now time.Time) ([]store.ControllerVerdict, error)
	NextEvidence(ctx context.Context, sensor string, now time.Time) (store.Evidence, error)
	AddEvidencePiece(ctx context.Context, sensor string, p store.EvidencePiece, now time.Time) (uint64, error)
	Ready(context.Context) error
}

// Options of a door. The zero value of each but Store and Trust has a default.
type Options struct {
	Store Store
	Trust *trust.Trust
	// Beside holds what else is answered on the port, by the pattern of an
	// http.ServeMux. It is told who asks by nobody here, and its bodies are bounded.
	Beside map[string]http.Handler
	Limits Limits
	// Policy is how often it is looked whether a sensor's policy has changed; 10 s.
	// Alive is how often one that has not is told so; 45 s.
	Policy, Alive time.Duration
	// Read is how long a request's body may take to arrive; 30 s.
	Read time.Duration
	// Stranger is how long a connection may stand before it is known whose it is; 20 s.
	Stranger time.Duration
	// Write is how long who asks Beside may take to read what is written at once; 60 s.
	Write time.Duration
	// Leave is how long the door goes on after it has said that it will close, so
	// that a balancer notices; none. Drain bounds the wait for what is being
	// answered; 20 s.
	Leave, Drain time.Duration
	// Updates is the folder of bundles that sensors are offered, each by its SHA-256 in
	// hexadecimal; none where it is empty.
	Updates  string
	Registry *prometheus.Registry
	Log      *zap.Logger
	Now      func() time.Time
}

// Door is one.
type Door struct {
	opt       Options
	store     Store
	trust     *trust.Trust
	log       *zap.Logger
	now       func() time.Time
	sensors   *guests
	addresses *guests
	batches   chan struct{}
	giving    chan struct{}
	reading   chan struct{}
	updating  chan struct{}
	batch     *shape
	unpack    *zstd.Decoder
	errors    *connect.ErrorWriter
	mux       *http.ServeMux
	meter     *meter

	ready    readiness
	leaving  atomic.Bool   // Ready says no
	draining atomic.Bool   // nobody is let in
	closing  chan struct{} // closed when streams are to end
	close    sync.Once
	crowd    *crowd
}

// New makes a door. Close it.
func New(o Options) (*Door, error) {
	o.Limits.defaults()
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&o.Policy, 10 * time.Second}, {&o.Alive, 45 * time.Second}, {&o.Drain, 20 * time.Second}, {&o.Read, 30 * time.Second}, {&o.Stranger, 20 * time.Second}, {&o.Write, 60 * time.Second}} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	d := &Door{
		opt: o, store: o.Store, trust: o.Trust, log: o.Log, now: o.Now,
		sensors: newGuests(o.Limits.Known), addresses: newGuests(o.Limits.Known),
		batches: make(chan struct{}, o.Limits.Batches), giving: make(chan struct{}, o.Limits.Giving), reading: make(chan struct{}, o.Limits.Reading),
		updating: make(chan struct{}, maxUpdating),
		closing:  make(chan struct{}),
	}
	var err error
	d.unpack, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(o.Limits.Reading), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxBatch), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("decompressor: %w", err)
	}
	codec := newProtoCodec(&reportpb.SendRequest{}, &fleetpb.EnrollRequest{}, &fleetpb.RenewRequest{}, &fleetpb.GetPolicyRequest{}, &fleetpb.WatchPolicyRequest{}, &fleetpb.NextRequestRequest{}, &fleetpb.SendPieceRequest{})
	d.batch = codec.shapes[(&reportpb.Batch{}).ProtoReflect().Descriptor().FullName()]
	options := []connect.HandlerOption{
		connect.WithCodec(codec), connect.WithCodec(jsonCodec{}),
		// What is large comes packed already, under bounds of its own.
		connect.WithCompression("gzip", nil, nil),
		connect.WithRecover(func(_ context.Context, s connect.Spec, _ http.Header, p any) error {
			d.meter.panics.Inc()
			d.log.Error("a call panicked", zap.String("call", s.Procedure), zap.Any("panic", p), zap.Stack("stack"))
			return connect.NewError(connect.CodeInternal, errors.New("the hub failed; its log says how"))
		}),
	}
	d.errors = connect.NewErrorWriter(options...)
	d.crowd = newCrowd(o.Limits, o.Stranger, func(reason string) { d.meter.refuse(reason) })
	d.meter = newMeter(o.Registry, d)

	d.mux = http.NewServeMux()
	handle := func(path string, h http.Handler) { d.mux.Handle(path, d.guard(h)) }
	handle(reportpbconnect.NewReportServiceHandler(reports{d}, options...))
	handle(fleetpbconnect.NewFleetServiceHandler(fleet{d}, options...))
	handle(fleetpbconnect.NewHeadersServiceHandler(headers{d}, options...))
	for pattern, h := range o.Beside {
		d.mux.Handle(pattern, d.beside(h))
	}
	d.mux.HandleFunc("GET /updates/{hash}", d.update)
	d.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { answer(w, nil) })
	d.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answer(w, d.Ready(r.Context())) })
	return d, nil
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}

// readyHold is for how long an answer of the store about its readiness holds.
// Anybody may ask, and the store must begin to write to know.
const readyHold = time.Second

// readiness is what the store said last.
type readiness struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// Ready says whether sensors may come: it is not closing, and the store answered a
// second ago or less.
func (d *Door) Ready(ctx context.Context) error {
	if d.leaving.Load() {
		return errors.New("the hub is closing")
	}
	d.ready.mu.Lock()
	defer d.ready.mu.Unlock()
	if !d.ready.at.IsZero() && time.Since(d.ready.at) < readyHold {
		return d.ready.err
	}
	// Others are told the answer too: who goes away must not make it one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	d.ready.err = nil
	if err := d.store.Ready(ctx); err != nil {
		d.log.Warn("the store is not ready", zap.Error(err))
		d.ready.err = errors.New("the store is not ready")
	}
	d.ready.at = time.Now()
	return d.ready.err
}

// Handler answers what Serve answers, for whoever brings the TLS himself.
func (d *Door) Handler() http.Handler { return d.mux }

// Close frees what New took. Serve must have returned.
func (d *Door) Close() {
	d.close.Do(func() { close(d.closing) })
	d.unpack.Close()
}

// How long a connection may say nothing.
const (
	helloTimeout = 10 * time.Second
	idleTimeout  = 3 * time.Minute
)

// Serve answers on a listener until ctx is done, then lets what is being answered
// come to its end.
func (d *Door) Serve(ctx context.Context, l net.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	server := &http.Server{
		Handler: d.mux, TLSConfig: d.trust.ServerConfig(), Protocols: protocols,
		ReadHeaderTimeout: helloTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 16 << 10,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: 32, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		ConnContext: visiting,
		ErrorLog:    log.New(serverLog{d}, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(&gate{Listener: l, crowd: d.crowd}, "", "") }()
	var broken error
	select {
	case broken = <-served:
		// What is open is let come to its end all the same.
		d.leaving.Store(true)
		d.log.Error("nobody can be let in any more: closing", zap.Error(broken))
		served <- http.ErrServerClosed
	case <-ctx.Done():
		d.leaving.Store(true)
		d.log.Info("closing", zap.Duration("in", d.opt.Leave))
		if d.opt.Leave > 0 {
			time.Sleep(d.opt.Leave)
		}
	}
	d.draining.Store(true)
	d.close.Do(func() { close(d.closing) })
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.opt.Drain)
	defer cancel()
	err := server.Shutdown(end)
	if err != nil {
		d.log.Warn("closed before everything was answered", zap.Error(err))
		err = server.Close()
	}
	<-served
	return errors.Join(broken, err)
}

// serverLog counts what a server says of connections: strangers can make it say as
// much as they like.
type serverLog struct{ d *Door }

func (s serverLog) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "TLS handshake error") {
		s.d.meter.refuse("handshake")
	}
	s.d.log.Debug("server", zap.ByteString("says", b[:min(len(b), 300)]))
	return len(b), nil
}

type sensorKey struct{}

// who is whom a request is of, as the door let it in.
type who struct {
	sensor, serial string
	since          time.Time // it is admitted
	at             time.Time // when the request came
}

func asking(ctx context.Context) (who, error) {
	w, ok := ctx.Value(sensorKey{}).(who)
	if !ok {
		return who{}, connect.NewError(connect.CodeUnauthenticated, errors.New("nobody known asks"))
	}
	return w, nil
}

// refusal is why somebody is not let in.
type refusal struct {
	reason string // for the counter
	code   connect.Code
	says   string
	after  time.Duration // for resource_exhausted
}

func (r *refusal) Error() string { return r.says }

func (r *refusal) connect() *connect.Error {
	e := connect.NewError(r.code, r)
	if r.after > 0 {
		e.Meta().Set("retry-after-ms", strconv.FormatInt(r.after.Milliseconds()+1, 10))
		e.Meta().Set("retry-after", strconv.Itoa(int(math.Ceil(r.after.Seconds()))))
	}
	return e
}

// guard lets in whom it knows, as much as they may, before anything is read.
func (d *Door) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := d.now()
		refuse := func(x *refusal) {
			d.meter.refuse(x.reason)
			if d.errors.IsSupported(r) {
				d.errors.Write(w, r, x.connect())
				return
			}
			http.Error(w, x.says, http.StatusUnsupportedMediaType)
		}
		if d.draining.Load() {
			refuse(&refusal{reason: "closing", code: connect.CodeUnavailable, says: "the hub is closing"})
			return
		}
		most := int64(maxSmall)
		kind := brief
		var slots chan struct{} // without one a request of megabytes is not begun to be read
		switch r.URL.Path {
		case fleetpbconnect.FleetServiceEnrollProcedure:
			if x := d.enrolling(r.RemoteAddr, at); x != nil {
				refuse(x)
				return
			}
			d.pass(next, w, r, most, false)
			return
		case reportpbconnect.ReportServiceSendProcedure:
			most, slots = maxRequest, d.batches
			if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
				most = maxJSON
			}
		case fleetpbconnect.FleetServiceWatchPolicyProcedure, fleetpbconnect.HeadersServiceNextRequestProcedure:
			kind = waiting
		case fleetpbconnect.HeadersServiceSendPieceProcedure:
			most, kind, slots = maxGive, piece, d.giving
		}
		id, since, x := d.identify(r.Context(), r.TLS, at)
		if x != nil {
			refuse(x)
			return
		}
		leave, x := d.enter(id.Sensor, at, kind)
		if x != nil {
			refuse(x)
			return
		}
		defer leave()
		Vouch(r.Context(), "sensor "+id.Sensor)
		if slots != nil {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			default:
				refuse(&refusal{reason: "batches", code: connect.CodeResourceExhausted, says: "the hub reads as many batches, or pieces of headers, as it can", after: time.Second})
				return
			}
		}
		r = r.WithContext(context.WithValue(r.Context(), sensorKey{}, who{id.Sensor, id.Serial, since, at}))
		d.pass(next, w, r, most, kind == waiting)
	})
}

// pass hands a request on, with a bound on its body and on the time that it takes
// to come.
func (d *Door) pass(next http.Handler, w http.ResponseWriter, r *http.Request, most int64, stream bool) {
	body := &bounded{ReadCloser: r.Body, left: most, most: most}
	if !stream && r.ContentLength != 0 {
		// Not all writers can: those of tests.
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(d.opt.Read))
		// The deadline is the connection's with HTTP/1.1: passed during the answer, it
		// would end that.
		body.whole = func() { _ = c.SetReadDeadline(time.Time{}) }
	}
	r.Body = body
	next.ServeHTTP(w, r)
}

// beside bounds what others on the port are sent.
func (d *Door) beside(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.draining.Load() {
			w.Header().Set("Retry-After", "5")
			http.Error(w, "the hub is closing", http.StatusServiceUnavailable)
			return
		}
		d.pass(next, &timed{ResponseWriter: w, c: http.NewResponseController(w), within: d.opt.Write}, r, 256<<10, false)
	})
}

// timed is an answer of which every write has its time: who reads no more must not
// keep what others wait for.
type timed struct {
	http.ResponseWriter
	c      *http.ResponseController
	within time.Duration
}

func (t *timed) Write(b []byte) (int, error) {
	defer t.begin()()
	return t.ResponseWriter.Write(b)
}

// begin sets the deadline of a write. What comes between writes has as long as it
// needs, and with HTTP/1.1 the deadline would be that of the next answer too.
func (t *timed) begin() (end func()) {
	_ = t.c.SetWriteDeadline(time.Now().Add(t.within)) // not all writers can: those of tests
	return func() { _ = t.c.SetWriteDeadline(time.Time{}) }
}

// Flush implements http.Flusher.
func (t *timed) Flush() {
	defer t.begin()()
	_ = t.c.Flush()
}

// Unwrap is for http.ResponseController.
func (t *timed) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// identify says which sensor a connection is of, and since when it is admitted.
func (d *Door) identify(ctx context.Context, s *tls.ConnectionState, now time.Time) (id trust.Identity, since time.Time, x *refusal) {
	id, err := d.trust.Peer(s)
	switch {
	case errors.Is(err, trust.ErrNoCertificate):
		return id, since, &refusal{reason: "no certificate", code: connect.CodeUnauthenticated, says: "a sensor's certificate is needed"}
	case errors.Is(err, trust.ErrExpired):
		return id, since, &refusal{reason: "expired", code: connect.CodeUnauthenticated, says: "the certificate has ended: enroll again"}
	case err != nil:
		return id, since, &refusal{reason: "foreign", code: connect.CodeUnauthenticated, says: "the certificate is no sensor's"}
	}
	since, x = d.admitted(ctx, id, now)
	return id, since, x
}

// admitted says whether a certificate still counts.
func (d *Door) admitted(ctx context.Context, id trust.Identity, now time.Time) (since time.Time, x *refusal) {
	name, since, err := d.store.Admitted(ctx, id.Serial, now)
	switch {
	case errors.Is(err, store.ErrRevoked):
		return since, &refusal{reason: "revoked", code: connect.CodeUnauthenticated, says: "the certificate was revoked, or is not of this hub's giving"}
	case err != nil:
		d.log.Error("admission not read", zap.Error(err))
		return since, &refusal{reason: "store", code: connect.CodeUnavailable, says: "the hub's store does not answer"}
	case name != id.Sensor:
		d.log.Warn("a certificate names another sensor than it was given to", zap.String("serial", id.Serial))
		return since, &refusal{reason: "foreign", code: connect.CodeUnauthenticated, says: "the certificate is no sensor's"}
	}
	return since, nil
}

// kind is what a request of a sensor is counted as.
type kind int

const (
	brief   kind = iota
	waiting      // answered when there is something to say
	piece        // of headers
)

// enter counts a sensor in; leave counts it out.
func (d *Door) enter(sensor string, now time.Time, k kind) (leave func(), x *refusal) {
	l := &d.opt.Limits
	d.sensors.with(sensor, func(g *guest) {
		wait := g.records.fill(now, l.Records, l.RecordsAhead)
		tokens, here := &g.requests, &g.inFlight
		switch k {
		case piece: // however many records are owed
			tokens, here = &g.pieces, &g.giving
			wait = tokens.fill(now, l.Pieces, l.PiecesAhead)
		case waiting:
			here = &g.streams
			fallthrough
		default:
			wait = max(wait, tokens.fill(now, l.Requests, l.RequestsAhead))
		}
		switch {
		case wait > 0:
			x = &refusal{reason: "rate", code: connect.CodeResourceExhausted, says: "too much in too short a time", after: wait}
		case k == waiting && *here >= l.Streams:
			x = &refusal{reason: "streams", code: connect.CodeResourceExhausted, says: "the sensor has as many streams as it may", after: 10 * time.Second}
		case k != waiting && *here >= l.InFlight:
			x = &refusal{reason: "in flight", code: connect.CodeResourceExhausted, says: "the sensor has as many requests on their way as it may", after: time.Second}
		default:
			*here++
			tokens.level--
			// Who is counted in is not forgotten: g stays the sensor's.
			leave = func() { d.sensors.with(sensor, func(*guest) { *here-- }) }
		}
	})
	return leave, x
}

// took counts records of a sensor, and gives how long it should wait before more.
func (d *Door) took(sensor string, records int, now time.Time) (wait time.Duration) {
	l := &d.opt.Limits
	d.sensors.with(sensor, func(g *guest) {
		g.records.fill(now, l.Records, l.RecordsAhead)
		g.records.level -= float64(records)
		wait = g.records.fill(now, l.Records, l.RecordsAhead)
	})
	return wait
}

// enrolling says whether somebody may try a token.
func (d *Door) enrolling(remote string, now time.Time) (x *refusal) {
	l := &d.opt.Limits
	d.addresses.with(place(remote), func(g *guest) {
		if wait := g.requests.fill(now, l.Enrolments, l.EnrolmentsAhead); wait > 0 {
			x = &refusal{reason: "enrolments", code: connect.CodeResourceExhausted, says: "too many enrolments from this address", after: wait}
			return
		}
		g.requests.level--
	})
	return x
}

// place is what an address is counted as: of IPv6 the network.
func place(remote string) string {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return ""
	}
	addr := a.Addr().Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
