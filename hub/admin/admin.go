// Package admin lets people run a hub from afar: simtrap.admin.v1, each call for one
// role alone. What it changes is in the audit log before it is changed.
package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/people"
	"simtrap/hub/policy"
	"simtrap/hub/store"
	"simtrap/hub/trust"
	"simtrap/report"
	"simtrap/report/adminpb"
	"simtrap/report/adminpb/adminpbconnect"
	"simtrap/report/fleetpb"
)

// Store is what of a store.Store the service needs.
type Store interface {
	policy.Store
	LatestPack(context.Context) (*fleetpb.CataloguePack, error)
	AddToken(context.Context, store.Token) error
	Revoke(ctx context.Context, sensor, by, reason string, now time.Time) error
}

// Tokens draws what admits a sensor.
type Tokens interface {
	NewToken() (text string, hash [32]byte)
}

// Options of a service. The zero value of each but Store, People and Tokens has a
// default.
type Options struct {
	Store  Store
	People *people.People
	Tokens Tokens
	Now    func() time.Time
	Log    *zap.Logger
}

// Service answers simtrap.admin.v1.
type Service struct {
	o         Options
	verifying chan struct{} // one reads the whole log at a time
}

var (
	_ adminpbconnect.AdminServiceHandler = Service{}
	_ adminpbconnect.AuditServiceHandler = Service{}
)

// New gives a service.
func New(o Options) Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return Service{o: o, verifying: make(chan struct{}, 1)}
}

// Bounds of requests.
const (
	maxRequest  = 256 << 10 // bytes
	maxAnchors  = 100
	maxEntries  = 500
	defaultPage = 100
	maxReason   = 500 // bytes
)

// HandlerOptions bound what is read of a request.
func HandlerOptions() []connect.HandlerOption {
	return []connect.HandlerOption{connect.WithReadMaxBytes(maxRequest)}
}

// may says who asks, and that he has the one role that may.
func (s Service) may(ctx context.Context, role people.Role) (string, error) {
	who, ok := people.FromContext(ctx)
	if !ok {
		return "", connect.NewError(connect.CodeUnauthenticated, errors.New("log in first: the hub does not know who asks"))
	}
	if who.Role != role {
		return "", connect.NewError(connect.CodePermissionDenied, fmt.Errorf("this is for accounts of the role %s", role))
	}
	return who.Account, nil
}

func invalid(err error) error { return connect.NewError(connect.CodeInvalidArgument, err) }

// failed makes an answer of an error. What only the operator should read goes to the
// log.
func (s Service) failed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, policy.ErrInvalid), errors.Is(err, people.ErrName), errors.Is(err, people.ErrPassword), errors.Is(err, people.ErrRefused), errors.Is(err, trust.ErrSensorName):
		return invalid(err)
	case errors.Is(err, store.ErrConflict):
		return connect.NewError(connect.CodeAborted, errors.New("somebody else changed it at the same time: try again"))
	}
	s.o.Log.Error("an administrator's call failed", zap.Error(err))
	return connect.NewError(connect.CodeUnavailable, errors.New("the hub's store failed; its log says how"))
}

// ListEntries implements adminpbconnect.AuditServiceHandler.
func (s Service) ListEntries(ctx context.Context, r *connect.Request[adminpb.ListEntriesRequest]) (*connect.Response[adminpb.ListEntriesResponse], error) {
	if _, err := s.may(ctx, people.Auditor); err != nil {
		return nil, err
	}
	n := int(r.Msg.GetSize())
	if n == 0 {
		n = defaultPage
	}
	if n > maxEntries {
		return nil, invalid(fmt.Errorf("size: at most %d", maxEntries))
	}
	list, err := s.o.People.Log(ctx, max(r.Msg.GetFrom(), 1), n)
	if broken, is := errors.AsType[*people.AuditBroken](err); is {
		return nil, connect.NewError(connect.CodeDataLoss, broken)
	}
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	m := &adminpb.ListEntriesResponse{}
	for _, e := range list {
		m.Entries = append(m.Entries, &adminpb.Entry{Sequence: e.Sequence, At: timestamppb.New(e.At), Account: e.Account, Action: e.Action, Object: e.Object, Authority: e.Authority, Detail: e.Detail})
	}
	return connect.NewResponse(m), nil
}

// VerifyLog implements adminpbconnect.AuditServiceHandler.
func (s Service) VerifyLog(ctx context.Context, r *connect.Request[adminpb.VerifyLogRequest]) (*connect.Response[adminpb.VerifyLogResponse], error) {
	if _, err := s.may(ctx, people.Auditor); err != nil {
		return nil, err
	}
	if len(r.Msg.GetAnchors()) > maxAnchors {
		return nil, invalid(fmt.Errorf("anchors: at most %d", maxAnchors))
	}
	var anchors []people.Anchor
	for _, text := range r.Msg.GetAnchors() {
		a, err := people.ParseAnchor(text)
		if err != nil {
			return nil, invalid(err)
		}
		anchors = append(anchors, a)
	}
	select {
	case s.verifying <- struct{}{}:
		defer func() { <-s.verifying }()
	default:
		return nil, connect.NewError(connect.CodeResourceExhausted, errors.New("the log is being read by somebody else: try again later"))
	}
	head, err := s.o.People.Verify(ctx, anchors...)
	m := &adminpb.VerifyLogResponse{Whole: err == nil}
	if broken, is := errors.AsType[*people.AuditBroken](err); is {
		m.Entry, m.Why = broken.Sequence, broken.Why
	} else if err != nil {
		return nil, s.failed(ctx, err)
	}
	if head.Sequence > 0 {
		m.Anchor = head.String()
	}
	return connect.NewResponse(m), nil
}

// ListAccounts implements adminpbconnect.AdminServiceHandler.
func (s Service) ListAccounts(ctx context.Context, _ *connect.Request[adminpb.ListAccountsRequest]) (*connect.Response[adminpb.ListAccountsResponse], error) {
	if _, err := s.may(ctx, people.Admin); err != nil {
		return nil, err
	}
	list, err := s.o.People.Accounts(ctx)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	m := &adminpb.ListAccountsResponse{}
	for _, a := range list {
		m.Accounts = append(m.Accounts, &adminpb.Account{Name: a.Name, Role: a.Role, Disabled: a.Disabled, Made: timestamppb.New(a.Made), Changed: timestamppb.New(a.Changed)})
	}
	return connect.NewResponse(m), nil
}

// AddAccount implements adminpbconnect.AdminServiceHandler.
func (s Service) AddAccount(ctx context.Context, r *connect.Request[adminpb.AddAccountRequest]) (*connect.Response[adminpb.AddAccountResponse], error) {
	by, err := s.may(ctx, people.Admin)
	if err != nil {
		return nil, err
	}
	role, err := people.ParseRole(r.Msg.GetRole())
	if err != nil {
		return nil, invalid(err)
	}
	if err := s.o.People.Add(ctx, by, r.Msg.GetName(), role, r.Msg.GetPassword()); err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&adminpb.AddAccountResponse{}), nil
}

// ChangeAccount implements adminpbconnect.AdminServiceHandler.
func (s Service) ChangeAccount(ctx context.Context, r *connect.Request[adminpb.ChangeAccountRequest]) (*connect.Response[adminpb.ChangeAccountResponse], error) {
	by, err := s.may(ctx, people.Admin)
	if err != nil {
		return nil, err
	}
	m := r.Msg
	if !people.Name(m.GetName()) {
		return nil, invalid(people.ErrName)
	}
	var role people.Role
	if m.GetRole() != "" {
		if role, err = people.ParseRole(m.GetRole()); err != nil {
			return nil, invalid(err)
		}
	}
	// Whoever is to be kept out is kept out first.
	if m.Disabled != nil && m.GetDisabled() {
		err = s.o.People.Disable(ctx, by, m.GetName(), true)
	}
	if err == nil && role != "" {
		err = s.o.People.SetRole(ctx, by, m.GetName(), role)
	}
	if err == nil && m.GetPassword() != "" {
		err = s.o.People.SetPassword(ctx, by, m.GetName(), m.GetPassword())
	}
	if err == nil && m.Disabled != nil && !m.GetDisabled() {
		err = s.o.People.Disable(ctx, by, m.GetName(), false)
	}
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&adminpb.ChangeAccountResponse{}), nil
}

// MakeToken implements adminpbconnect.AdminServiceHandler.
func (s Service) MakeToken(ctx context.Context, r *connect.Request[adminpb.MakeTokenRequest]) (*connect.Response[adminpb.MakeTokenResponse], error) {
	by, err := s.may(ctx, people.Admin)
	if err != nil {
		return nil, err
	}
	token, until, err := s.o.People.Token(ctx, by, r.Msg.GetName(), r.Msg.GetLife().AsDuration())
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&adminpb.MakeTokenResponse{Token: token, Expires: timestamppb.New(until)}), nil
}

// EnrollSensor implements adminpbconnect.AdminServiceHandler.
func (s Service) EnrollSensor(ctx context.Context, r *connect.Request[adminpb.EnrollSensorRequest]) (*connect.Response[adminpb.EnrollSensorResponse], error) {
	by, err := s.may(ctx, people.Admin)
	if err != nil {
		return nil, err
	}
	name := r.Msg.GetName()
	if !trust.SensorName(name) {
		return nil, invalid(trust.ErrSensorName)
	}
	if _, err := s.o.People.Record(ctx, people.Entry{Account: by, Action: "enroll", Object: name}); err != nil {
		return nil, s.failed(ctx, err)
	}
	now := s.o.Now()
	text, hash := s.o.Tokens.NewToken()
	until := now.Add(trust.TokenLife)
	if err := s.o.Store.AddToken(ctx, store.Token{Hash: hash, Sensor: name, By: by, Made: now, Expires: until}); err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&adminpb.EnrollSensorResponse{Token: text, Expires: timestamppb.New(until)}), nil
}

// RevokeSensor implements adminpbconnect.AdminServiceHandler.
func (s Service) RevokeSensor(ctx context.Context, r *connect.Request[adminpb.RevokeSensorRequest]) (*connect.Response[adminpb.RevokeSensorResponse], error) {
	by, err := s.may(ctx, people.Admin)
	if err != nil {
		return nil, err
	}
	name, reason := r.Msg.GetName(), r.Msg.GetReason()
	if !trust.SensorName(name) {
		return nil, invalid(trust.ErrSensorName)
	}
	if len(reason) > maxReason || report.Plain(reason) != reason {
		return nil, invalid(fmt.Errorf("reason: want at most %d bytes that can be shown", maxReason))
	}
	if _, err := s.o.People.Record(ctx, people.Entry{Account: by, Action: "revoke", Object: name, Detail: reason}); err != nil {
		return nil, s.failed(ctx, err)
	}
	switch err := s.o.Store.Revoke(ctx, name, by, reason, s.o.Now()); {
	case errors.Is(err, store.ErrNotFound):
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no sensor %q", name))
	case err != nil:
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&adminpb.RevokeSensorResponse{}), nil
}

// GetPolicy implements adminpbconnect.AdminServiceHandler.
func (s Service) GetPolicy(ctx context.Context, _ *connect.Request[adminpb.GetPolicyRequest]) (*connect.Response[adminpb.GetPolicyResponse], error) {
	if _, err := s.may(ctx, people.Admin); err != nil {
		return nil, err
	}
	p, err := s.o.Store.LatestPolicy(ctx)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	pack, err := s.o.Store.LatestPack(ctx)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&adminpb.GetPolicyResponse{Policy: p.Policy, Catalogue: pack.GetVersion()}), nil
}

// apply changes the policy.
func (s Service) apply(ctx context.Context, by, action, object string, do func(*fleetpb.Policy) (*fleetpb.Policy, error)) (uint64, error) {
	record := func(ctx context.Context, action, object, detail string) error {
		_, err := s.o.People.Record(ctx, people.Entry{Account: by, Action: action, Object: object, Detail: detail})
		return err
	}
	version, err := policy.Apply(ctx, s.o.Store, record, s.o.Now(), policy.Change{By: by, Action: action, Object: object, Do: do})
	if err != nil {
		return 0, s.failed(ctx, err)
	}
	return version, nil
}

// SetPolicy implements adminpbconnect.AdminServiceHandler.
func (s Service) SetPolicy(ctx context.Context, r *connect.Request[adminpb.SetPolicyRequest]) (*connect.Response[adminpb.SetPolicyResponse], error) {
	by, err := s.may(ctx, people.Admin)
	if err != nil {
		return nil, err
	}
	m := r.Msg.GetPolicy()
	if m == nil || m.GetVersion() != 0 || m.GetCatalogue() != nil || len(m.GetDeclaredGateways())+len(m.GetControllerVerdicts())+len(m.GetUpdates()) > 0 {
		return nil, invalid(errors.New("policy: want home, never, shared and realms, and nothing else"))
	}
	want, err := policy.Check(m)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	version, err := s.apply(ctx, by, "policy.set", "", policy.Set(want))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminpb.SetPolicyResponse{Version: version}), nil
}

// DeclareGateway implements adminpbconnect.AdminServiceHandler.
func (s Service) DeclareGateway(ctx context.Context, r *connect.Request[adminpb.DeclareGatewayRequest]) (*connect.Response[adminpb.DeclareGatewayResponse], error) {
	by, err := s.may(ctx, people.Admin)
	if err != nil {
		return nil, err
	}
	line, err := policy.Line(r.Msg.GetLine())
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	do, err := policy.Declare(line, r.Msg.GetReason(), r.Msg.GetOwner(), r.Msg.GetLife().AsDuration(), s.o.Now())
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	version, err := s.apply(ctx, by, "declare", line, do)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminpb.DeclareGatewayResponse{Line: line, Version: version}), nil
}

// RemoveGateway implements adminpbconnect.AdminServiceHandler.
func (s Service) RemoveGateway(ctx context.Context, r *connect.Request[adminpb.RemoveGatewayRequest]) (*connect.Response[adminpb.RemoveGatewayResponse], error) {
	by, err := s.may(ctx, people.Admin)
	if err != nil {
		return nil, err
	}
	version, err := s.apply(ctx, by, "declare.remove", r.Msg.GetLine(), policy.Remove(r.Msg.GetLine()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminpb.RemoveGatewayResponse{Version: version}), nil
}
