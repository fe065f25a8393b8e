package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	"simtrap/hub/people"
	"simtrap/hub/store"
	"simtrap/report/adminpb"
	"simtrap/report/fleetpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tokens draws the same one always.
type tokens struct{}

func (tokens) NewToken() (string, [32]byte) { return "st1-token", sha256.Sum256([]byte("token")) }

const password = "correct horse battery"

func office(t *testing.T) (Service, *store.Store, *people.People) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Folder: t.TempDir(), HubKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	p := people.New(people.Options{Store: s})
	return New(Options{Store: s, People: p, Tokens: tokens{}}), s, p
}

func as(role people.Role) context.Context {
	return people.WithPerson(context.Background(), people.Person{Account: "the-" + string(role), Role: role})
}

// do makes a call of a service and gives its error alone.
func do[Q, A any](ctx context.Context, call func(context.Context, *connect.Request[Q]) (*connect.Response[A], error), q *Q) error {
	_, err := call(ctx, connect.NewRequest(q))
	return err
}

// calls are all that there are, by the one role that may.
func calls(s Service) map[people.Role]map[string]func(context.Context) error {
	life := durationpb.New(time.Hour)
	return map[people.Role]map[string]func(context.Context) error{
		people.Auditor: {
			"ListEntries": func(ctx context.Context) error { return do(ctx, s.ListEntries, &adminpb.ListEntriesRequest{}) },
			"VerifyLog":   func(ctx context.Context) error { return do(ctx, s.VerifyLog, &adminpb.VerifyLogRequest{}) },
		},
		people.Admin: {
			"ListAccounts": func(ctx context.Context) error { return do(ctx, s.ListAccounts, &adminpb.ListAccountsRequest{}) },
			"AddAccount": func(ctx context.Context) error {
				return do(ctx, s.AddAccount, &adminpb.AddAccountRequest{Name: "bob", Role: "viewer", Password: password})
			},
			"ChangeAccount": func(ctx context.Context) error {
				return do(ctx, s.ChangeAccount, &adminpb.ChangeAccountRequest{Name: "ann", Role: "admin"})
			},
			"MakeToken": func(ctx context.Context) error {
				return do(ctx, s.MakeToken, &adminpb.MakeTokenRequest{Name: "ann", Life: life})
			},
			"EnrollSensor": func(ctx context.Context) error {
				return do(ctx, s.EnrollSensor, &adminpb.EnrollSensorRequest{Name: "north-2"})
			},
			"RevokeSensor": func(ctx context.Context) error {
				return do(ctx, s.RevokeSensor, &adminpb.RevokeSensorRequest{Name: "north-1", Reason: "stolen"})
			},
			"GetPolicy": func(ctx context.Context) error { return do(ctx, s.GetPolicy, &adminpb.GetPolicyRequest{}) },
			"SetPolicy": func(ctx context.Context) error {
				return do(ctx, s.SetPolicy, &adminpb.SetPolicyRequest{Policy: &fleetpb.Policy{Home: []string{"10.0.0.0/8"}}})
			},
			"DeclareGateway": func(ctx context.Context) error {
				return do(ctx, s.DeclareGateway, &adminpb.DeclareGatewayRequest{Line: "10.1.2.4", Reason: "lift", Owner: "works", Life: life})
			},
			"RemoveGateway": func(ctx context.Context) error {
				return do(ctx, s.RemoveGateway, &adminpb.RemoveGatewayRequest{Line: "10.1.2.3"})
			},
		},
	}
}

// Each call is for one role: the others are refused, and nothing happens.
func TestRoles(t *testing.T) {
	s, store, p := office(t)
	fill := func() {
		t.Helper()
		admin := as(people.Admin)
		if err := errors.Join(
			p.Add(admin, "root", "ann", people.Viewer, password),
			do(admin, s.EnrollSensor, &adminpb.EnrollSensorRequest{Name: "north-1"}),
			do(admin, s.DeclareGateway, &adminpb.DeclareGatewayRequest{Line: "10.1.2.3", Reason: "lift", Owner: "works", Life: durationpb.New(time.Hour)}),
		); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	head := func() uint64 {
		t.Helper()
		h, err := store.AuditHead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return h.Sequence
	}
	for role, list := range calls(s) {
		for name, call := range list {
			before := head()
			if err := call(context.Background()); connect.CodeOf(err) != connect.CodeUnauthenticated {
				t.Errorf("%s by nobody: %v", name, err)
			}
			for _, other := range append(people.Roles(), "king", "") {
				if other == role {
					continue
				}
				if err := call(as(other)); connect.CodeOf(err) != connect.CodePermissionDenied {
					t.Errorf("%s by %q: %v", name, other, err)
				}
			}
			if after := head(); after != before {
				t.Errorf("%s: %d entries of calls that were refused", name, after-before)
			}
		}
	}
	if list, err := store.Accounts(t.Context()); err != nil || len(list) != 1 || list[0].Role != "viewer" {
		t.Errorf("accounts %v, %v", list, err)
	}
	for _, name := range []string{"RevokeSensor", "AddAccount", "ChangeAccount", "MakeToken", "ListAccounts", "GetPolicy", "SetPolicy", "DeclareGateway", "RemoveGateway"} {
		before := head()
		if err := calls(s)[people.Admin][name](as(people.Admin)); err != nil {
			t.Errorf("%s by who may: %v", name, err)
		}
		if reads := name == "ListAccounts" || name == "GetPolicy"; (head() == before) != reads {
			t.Errorf("%s: %d entries of the audit log", name, head()-before)
		}
	}
	for name, call := range calls(s)[people.Auditor] {
		if err := call(as(people.Auditor)); err != nil {
			t.Errorf("%s by who may: %v", name, err)
		}
	}
}

func TestAdminister(t *testing.T) {
	s, st, p := office(t)
	ctx, auditor := as(people.Admin), as(people.Auditor)
	if err := do(ctx, s.AddAccount, &adminpb.AddAccountRequest{Name: "bob", Role: "analyst", Password: password}); err != nil {
		t.Fatal(err)
	}
	token, err := s.MakeToken(ctx, connect.NewRequest(&adminpb.MakeTokenRequest{Name: "bob", Life: durationpb.New(time.Hour)}))
	if err != nil {
		t.Fatal(err)
	}
	if who, err := p.Who(ctx, token.Msg.GetToken()); err != nil || who.Account != "bob" || who.Role != people.Analyst {
		t.Errorf("%v, %v", who, err)
	}
	yes := true
	if err := do(ctx, s.ChangeAccount, &adminpb.ChangeAccountRequest{Name: "bob", Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Who(ctx, token.Msg.GetToken()); err == nil {
		t.Error("a disabled account asks")
	}
	m, err := s.EnrollSensor(ctx, connect.NewRequest(&adminpb.EnrollSensorRequest{Name: "north-1"}))
	if err != nil || m.Msg.GetToken() != "st1-token" {
		t.Fatalf("%v, %v", m, err)
	}
	if _, err := st.TakeToken(ctx, sha256.Sum256([]byte("token")), time.Now(), func(name string) (store.Admission, error) {
		return store.Admission{Serial: "1", Given: time.Now(), Ends: time.Now().Add(time.Hour)}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := do(ctx, s.RevokeSensor, &adminpb.RevokeSensorRequest{Name: "north-1", Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := st.Admitted(ctx, "1", time.Now()); !errors.Is(err, store.ErrRevoked) {
		t.Errorf("admitted after it was revoked: %v", err)
	}
	if err := do(ctx, s.DeclareGateway, &adminpb.DeclareGatewayRequest{Line: "north/2001:DB8::9/64", Reason: "lift", Owner: "works", Life: durationpb.New(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := do(ctx, s.SetPolicy, &adminpb.SetPolicyRequest{Policy: &fleetpb.Policy{Home: []string{"10.0.0.0/8"}}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.GetPolicy(ctx, connect.NewRequest(&adminpb.GetPolicyRequest{}))
	if x := got.Msg.GetPolicy(); err != nil || x.GetVersion() != 2 || len(x.GetHome()) != 1 || len(x.GetDeclaredGateways()) != 1 || x.GetDeclaredGateways()[0].GetLine() != "north/2001:db8::/64" {
		t.Errorf("policy %v, %v", x, err)
	}
	// It is taken off under the text that it was declared under.
	if err := do(ctx, s.RemoveGateway, &adminpb.RemoveGatewayRequest{Line: "north/2001:DB8::9/64"}); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct {
		err  error
		want connect.Code
	}{
		"account there":     {do(ctx, s.AddAccount, &adminpb.AddAccountRequest{Name: "bob", Role: "viewer", Password: password}), connect.CodeInvalidArgument},
		"account's role":    {do(ctx, s.AddAccount, &adminpb.AddAccountRequest{Name: "eve", Role: "king", Password: password}), connect.CodeInvalidArgument},
		"account's name":    {do(ctx, s.AddAccount, &adminpb.AddAccountRequest{Name: "Eve X", Role: "viewer", Password: password}), connect.CodeInvalidArgument},
		"short password":    {do(ctx, s.AddAccount, &adminpb.AddAccountRequest{Name: "eve", Role: "viewer", Password: "short"}), connect.CodeInvalidArgument},
		"nobody":            {do(ctx, s.ChangeAccount, &adminpb.ChangeAccountRequest{Name: "eve", Role: "viewer"}), connect.CodeInvalidArgument},
		"token of disabled": {do(ctx, s.MakeToken, &adminpb.MakeTokenRequest{Name: "bob", Life: durationpb.New(time.Hour)}), connect.CodeInvalidArgument},
		"sensor's name":     {do(ctx, s.EnrollSensor, &adminpb.EnrollSensorRequest{Name: "North 1"}), connect.CodeInvalidArgument},
		"no sensor":         {do(ctx, s.RevokeSensor, &adminpb.RevokeSensorRequest{Name: "west"}), connect.CodeNotFound},
		"odd reason":        {do(ctx, s.RevokeSensor, &adminpb.RevokeSensorRequest{Name: "north-1", Reason: "a\x1b[2Jb"}), connect.CodeInvalidArgument},
		"bits behind":       {do(ctx, s.SetPolicy, &adminpb.SetPolicyRequest{Policy: &fleetpb.Policy{Home: []string{"10.1.0.0/8"}}}), connect.CodeInvalidArgument},
		"a register":        {do(ctx, s.SetPolicy, &adminpb.SetPolicyRequest{Policy: &fleetpb.Policy{DeclaredGateways: []*fleetpb.DeclaredGateway{{Line: "10.1.2.3"}}}}), connect.CodeInvalidArgument},
		"vlan":              {do(ctx, s.SetPolicy, &adminpb.SetPolicyRequest{Policy: &fleetpb.Policy{Realms: []*fleetpb.Realm{{Name: "a", Vlans: []*fleetpb.VlanRange{{First: 9, Last: 5000}}}}}}), connect.CodeInvalidArgument},
		"no line":           {do(ctx, s.DeclareGateway, &adminpb.DeclareGatewayRequest{Line: "10.1.2.300", Reason: "a", Owner: "b", Life: durationpb.New(time.Hour)}), connect.CodeInvalidArgument},
		"no end":            {do(ctx, s.DeclareGateway, &adminpb.DeclareGatewayRequest{Line: "10.1.2.3", Reason: "a", Owner: "b"}), connect.CodeInvalidArgument},
		"not declared":      {do(ctx, s.RemoveGateway, &adminpb.RemoveGatewayRequest{Line: "10.9.9.9"}), connect.CodeInvalidArgument},
		"page":              {do(auditor, s.ListEntries, &adminpb.ListEntriesRequest{Size: 501}), connect.CodeInvalidArgument},
		"anchor":            {do(auditor, s.VerifyLog, &adminpb.VerifyLogRequest{Anchors: []string{"7"}}), connect.CodeInvalidArgument},
	} {
		if connect.CodeOf(test.err) != test.want {
			t.Errorf("%s: %v, want %v", name, test.err, test.want)
		}
	}
	if _, err := p.Who(ctx, "sp1-"+strings.Repeat("0", 40)); err == nil {
		t.Error("anybody asks")
	}
	v, err := s.VerifyLog(auditor, connect.NewRequest(&adminpb.VerifyLogRequest{}))
	if err != nil || !v.Msg.GetWhole() || v.Msg.GetAnchor() == "" {
		t.Fatalf("%v, %v", v, err)
	}
	v, err = s.VerifyLog(auditor, connect.NewRequest(&adminpb.VerifyLogRequest{Anchors: []string{"1:" + strings.Repeat("0", 64)}}))
	if err != nil || v.Msg.GetWhole() || v.Msg.GetEntry() != 1 {
		t.Errorf("with an anchor of another log: %v, %v", v, err)
	}
	list, err := s.ListEntries(auditor, connect.NewRequest(&adminpb.ListEntriesRequest{From: 2, Size: 1}))
	if err != nil || len(list.Msg.GetEntries()) != 1 || list.Msg.GetEntries()[0].GetSequence() != 2 || list.Msg.GetEntries()[0].GetAccount() != "the-admin" {
		t.Errorf("%v, %v", list, err)
	}
	for _, e := range list.Msg.GetEntries() {
		if strings.Contains(e.String(), password) {
			t.Error("a password is in the log")
		}
	}
}
