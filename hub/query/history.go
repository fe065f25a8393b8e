package query

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"simtrap/hub/store"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// What follows is for pages that the hub itself serves. Programs have no call for
// it yet; who asks and what is masked is as for the calls that they have.

// Revision is how a finding stood at one time.
type Revision struct {
	Received      time.Time
	Verdict       reportpb.Verdict
	Proof         bool
	Declared      bool
	Score, Margin *float64 // nats, nil where there is none
	Nearest       string
}

// Revisions gives how a finding came to be what it is, oldest first.
func (s *Service) Revisions(ctx context.Context, finding string) ([]Revision, error) {
	if _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	key, err := id(finding)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.Revisions(ctx, key)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	var out []Revision
	for _, r := range rows {
		out = append(out, Revision{r.Received, r.Verdict, r.Proof, r.Declared, r.Score, r.Margin, r.Nearest})
	}
	return out, nil
}

// Calls gives at most n calls of a finding, in order of start: whoever they are of is
// a pseudonym, and the line is left out.
func (s *Service) Calls(ctx context.Context, finding string, n int) ([]*reportpb.Call, error) {
	if _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	key, err := id(finding)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.Calls(ctx, key, n)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	var texts []string
	for _, r := range rows {
		texts = append(texts, r.Call.GetController())
	}
	shown, err := s.veil(ctx, texts)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	var out []*reportpb.Call
	for _, r := range rows {
		c := proto.CloneOf(r.Call)
		c.Line, c.Controller = "", veiled(shown, c.GetController())
		out = append(out, c)
	}
	return out, nil
}

// LinesOf gives for findings the lines that they are of, as ids that answers show.
// Those that there are none of are left out.
func (s *Service) LinesOf(ctx context.Context, findings []string) (map[string]string, error) {
	if _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	var keys []store.ID
	for _, text := range findings {
		key, err := id(text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	of, err := s.store.LinesOf(ctx, keys)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	out := make(map[string]string, len(of))
	for finding, line := range of {
		out[finding.String()] = s.lineID(line)
	}
	return out, nil
}

// Gateway is one entry of the operator's register.
type Gateway struct {
	ID            string // 32 hexadecimal digits, of its line under the hub's key
	Line          string // the network alone without an authority
	Reason, Owner string
	Expires       time.Time
}

// Gateways gives at most n entries of the register, from one on, and how many it has.
func (s *Service) Gateways(ctx context.Context, authority string, from, n int) (list []Gateway, all int, err error) {
	v, err := s.look(ctx, "Gateways", authority, wrapperspb.Int64(int64(from)))
	if err != nil {
		return nil, 0, err
	}
	p, err := s.store.LatestPolicy(ctx)
	if err != nil {
		return nil, 0, s.failed(ctx, err)
	}
	rows := p.Policy.GetDeclaredGateways()
	for i := max(from, 0); i < len(rows) && len(list) < n; i++ {
		g := rows[i]
		list = append(list, Gateway{ID: s.gatewayID(g.GetLine()), Line: v.line(g.GetLine()), Reason: g.GetReason(), Owner: g.GetOwner(), Expires: g.GetExpires().AsTime()})
	}
	return list, len(rows), nil
}

// GatewayLine gives the line behind an id of Gateways, empty for none. It is for
// whoever takes it off the register, and for nothing that is shown.
func (s *Service) GatewayLine(ctx context.Context, id string) (string, error) {
	p, err := s.store.LatestPolicy(ctx)
	if err != nil {
		return "", s.failed(ctx, err)
	}
	for _, g := range p.Policy.GetDeclaredGateways() {
		if hmac.Equal([]byte(s.gatewayID(g.GetLine())), []byte(id)) {
			return g.GetLine(), nil
		}
	}
	return "", nil
}

func (s *Service) gatewayID(line string) string {
	return hex.EncodeToString(derive(s.register, line)[:16])
}

// maxBusiest is how many controllers are told of by fan-in.
const maxBusiest = 100

// Busiest gives the controllers that most lines at review or above speak to, and then
// those that most lines do.
func (s *Service) Busiest(ctx context.Context) ([]*querypb.Controller, error) {
	if _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	rows, err := s.store.Busiest(ctx, maxBusiest)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	shown, err := s.farRows(ctx, rows)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	var out []*querypb.Controller
	for i := range shown {
		out = append(out, controllerRow(&shown[i]))
	}
	return out, nil
}

// Link is what two lines have in common, and what that is worth.
type Link struct {
	From, To string // ids of lines, as answers show them
	Kind     querypb.LinkKind
	Hand     bool // for one hand, not for one box
	Nats     float64
	Reason   string // in plain words
}

// Links gives what joins lines of boxes, at most n, strongest first: to one box, and to
// one hand.
func (s *Service) Links(ctx context.Context, boxes []string, n int) ([]Link, error) {
	if _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	keys, err := idList("box_ids", boxes)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	edges, err := s.store.Edges(ctx, keys, n)
	if err != nil || len(edges) == 0 {
		if err != nil {
			err = s.failed(ctx, err)
		}
		return nil, err
	}
	var ends []store.ID
	for _, e := range edges {
		ends = append(ends, e.A, e.B)
	}
	of, err := s.store.LinesOf(ctx, ends)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	var out []Link
	for _, e := range edges {
		out = append(out, Link{s.lineID(of[e.A]), s.lineID(of[e.B]), querypb.LinkKind(e.Kind), e.Scope != store.ScopeBox, e.Nats, e.Reason})
	}
	return out, nil
}
