package door

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/policy"
	"simtrap/hub/store"
	"simtrap/hub/trust"
	"simtrap/report/fleetpb"
)

// fleet admits sensors and tells them what to go by.
type fleet struct{ *Door }

// maxVersion bounds what a sensor says of its program, in bytes.
const maxVersion = 64

// Enroll implements fleetpbconnect.FleetServiceHandler.
func (d fleet) Enroll(ctx context.Context, r *connect.Request[fleetpb.EnrollRequest]) (*connect.Response[fleetpb.EnrollResponse], error) {
	hash, err := d.trust.TokenHash(r.Msg.GetToken())
	if err != nil {
		d.meter.refuse("token")
		return nil, connect.NewError(connect.CodePermissionDenied, err)
	}
	var issued *trust.Certificate
	_, err = d.store.TakeToken(ctx, hash, d.now(), func(sensor string) (store.Admission, error) {
		c, err := d.trust.Issue(r.Msg.GetCsr(), sensor)
		if err != nil {
			return store.Admission{}, err
		}
		issued = c
		return admission(c, r.Msg.GetVersion()), nil
	})
	switch {
	case errors.Is(err, store.ErrSpent):
		d.meter.refuse("token")
		d.log.Warn("a token was refused", zap.String("from", r.Peer().Addr))
		return nil, connect.NewError(connect.CodePermissionDenied, errors.New("the token was used before, has ended, or is none"))
	case errors.Is(err, trust.ErrCSR):
		d.meter.refuse("signing request")
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	case err != nil:
		return nil, d.failed(ctx, "a sensor was not admitted", err)
	}
	d.meter.enrolled.Inc()
	d.log.Info("a sensor was admitted", zap.String("sensor", issued.Sensor), zap.String("serial", issued.Serial), zap.String("from", r.Peer().Addr))
	m := &fleetpb.EnrollResponse{Sensor: issued.Sensor, Certificates: issued.Chain, Roots: d.trust.Roots(), FleetKeys: d.fleetKeys()}
	for _, k := range d.trust.CatalogueKeys() {
		m.CatalogueKeys = append(m.CatalogueKeys, k)
	}
	return connect.NewResponse(m), nil
}

func admission(c *trust.Certificate, version string) store.Admission {
	return store.Admission{Sensor: c.Sensor, Serial: c.Serial, Key: c.Key, Given: c.Given, Ends: c.Ends, Version: plain(version)}
}

// plain keeps of a stranger's word what can be shown.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxVersion {
		s = strings.ToValidUTF8(s[:maxVersion], "")
	}
	return s
}

func (d fleet) fleetKeys() (list []*fleetpb.FleetKey) {
	for _, k := range d.trust.FleetKeys() {
		list = append(list, &fleetpb.FleetKey{Epoch: k.Epoch, Key: k.Key, NotBefore: timestamppb.New(k.NotBefore), NotAfter: timestamppb.New(k.NotAfter)})
	}
	return list
}

// Renew implements fleetpbconnect.FleetServiceHandler.
func (d fleet) Renew(ctx context.Context, r *connect.Request[fleetpb.RenewRequest]) (*connect.Response[fleetpb.RenewResponse], error) {
	from, err := asking(ctx)
	if err != nil {
		return nil, err
	}
	c, err := d.trust.Issue(r.Msg.GetCsr(), from.sensor)
	if errors.Is(err, trust.ErrCSR) {
		d.meter.refuse("signing request")
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if err == nil {
		err = d.store.Renewed(ctx, from.serial, admission(c, ""))
	}
	if errors.Is(err, store.ErrRevoked) {
		d.meter.refuse("revoked")
		return nil, connect.NewError(connect.CodeUnauthenticated, errors.New("the sensor is not admitted"))
	}
	if err != nil {
		return nil, d.failed(ctx, "a certificate was not renewed", err)
	}
	d.meter.renewed.Inc()
	d.log.Info("a certificate was renewed", zap.String("sensor", c.Sensor), zap.String("serial", c.Serial))
	return connect.NewResponse(&fleetpb.RenewResponse{Certificates: c.Chain, Roots: d.trust.Roots(), FleetKeys: d.fleetKeys()}), nil
}

// GetPolicy implements fleetpbconnect.FleetServiceHandler.
func (d fleet) GetPolicy(ctx context.Context, r *connect.Request[fleetpb.GetPolicyRequest]) (*connect.Response[fleetpb.GetPolicyResponse], error) {
	from, err := asking(ctx)
	if err != nil {
		return nil, err
	}
	p, _, err := d.policy(ctx, from.sensor, known{r.Msg.GetKnownVersion(), r.Msg.GetKnownCatalogue()})
	if err != nil {
		return nil, d.failed(ctx, "a policy was not read", err)
	}
	return connect.NewResponse(&fleetpb.GetPolicyResponse{Policy: p}), nil
}

// WatchPolicy implements fleetpbconnect.FleetServiceHandler. It ends when the
// sensor's certificate does, or is revoked.
func (d fleet) WatchPolicy(ctx context.Context, r *connect.Request[fleetpb.WatchPolicyRequest], out *connect.ServerStream[fleetpb.WatchPolicyResponse]) error {
	from, err := asking(ctx)
	if err != nil {
		return err
	}
	d.meter.watching.Inc()
	defer d.meter.watching.Dec()
	has := known{r.Msg.GetKnownVersion(), r.Msg.GetKnownCatalogue()}
	// Many that came at once are not to ask at once for ever.
	period := d.opt.Policy - time.Duration(rand.Int64N(int64(d.opt.Policy)/4+1))
	tick := time.NewTicker(period)
	defer tick.Stop()
	var told time.Time
	for {
		p, now, err := d.policy(ctx, from.sensor, has)
		if err != nil {
			return d.failed(ctx, "a policy was not read", err)
		}
		if p != nil || told.IsZero() || time.Since(told) >= d.opt.Alive {
			if err := out.Send(&fleetpb.WatchPolicyResponse{Policy: p}); err != nil {
				return err
			}
			told = time.Now()
		}
		has = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.closing:
			return connect.NewError(connect.CodeUnavailable, errors.New("the hub is closing"))
		case <-tick.C:
		}
		if _, x := d.admitted(ctx, trust.Identity{Sensor: from.sensor, Serial: from.serial}, d.now()); x != nil {
			d.meter.refuse(x.reason)
			return x.connect()
		}
	}
}

// known is what a sensor has.
type known struct{ version, catalogue uint64 }

// policy gives a sensor's policy, nil when what it has still stands, and what it
// has then.
func (d fleet) policy(ctx context.Context, sensor string, has known) (*fleetpb.Policy, known, error) {
	// The stand is read first: what changes meanwhile is told again under a higher
	// version, never missed.
	stand, err := d.store.PolicyStand(ctx, sensor)
	if err != nil {
		return nil, has, err
	}
	if stand.Version == has.version && stand.Catalogue == has.catalogue || stand.Version == 0 {
		return nil, has, nil
	}
	latest, err := d.store.LatestPolicy(ctx)
	if err != nil {
		return nil, has, err
	}
	p := &fleetpb.Policy{}
	if latest.Policy != nil {
		p = proto.CloneOf(latest.Policy)
	}
	p.Version = stand.Version
	now := known{stand.Version, has.catalogue}
	// A sensor may have a higher one, of before the hub was restored: it keeps it.
	if stand.Catalogue > has.catalogue {
		if p.Catalogue, err = d.store.LatestPack(ctx); err != nil {
			return nil, has, err
		}
		now.catalogue = max(has.catalogue, p.GetCatalogue().GetVersion())
	} else if stand.Version == has.version {
		return nil, has, nil
	}
	at := d.now()
	// What has ended is nobody's gateway any more.
	kept := p.DeclaredGateways[:0]
	for _, g := range p.DeclaredGateways {
		if g.GetExpires().AsTime().After(at) {
			kept = append(kept, g)
		}
	}
	p.DeclaredGateways = kept
	p.Updates = policy.Offered(p.GetUpdates(), sensor)
	verdicts, err := d.store.Verdicts(ctx, sensor, at)
	if err != nil {
		return nil, has, err
	}
	for _, v := range verdicts {
		p.ControllerVerdicts = append(p.ControllerVerdicts, &fleetpb.ControllerVerdict{
			Addr: v.Addr, Lines: v.Lines, ReviewLines: v.Review, Nats: v.Nats, Line: v.Line, RingId: v.Ring.String(), Expires: timestamppb.New(v.Expires),
		})
	}
	return p, now, nil
}

// failed makes an answer of a failure of the hub. What only the operator should
// read goes to the log.
func (d fleet) failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.meter.refuse("store")
	d.log.Error(what, zap.Error(err))
	return connect.NewError(connect.CodeUnavailable, errors.New("the hub's store failed; ask again later"))
}
