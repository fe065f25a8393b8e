package query

import (
	"context"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/store"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// stamp gives a time, none for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func texts(ids []store.ID) []string {
	var out []string
	for _, id := range ids {
		out = append(out, id.String())
	}
	return out
}

// findingRow gives a finding as the view shows it. The store's is left as it is.
func (s *Service) findingRow(f *store.Finding, v view) *querypb.Finding {
	row := &querypb.Finding{
		Id: f.ID.String(), Sensor: f.Sensor, Revision: f.Report.GetRevision(),
		BoxId: f.Box.String(), RingId: f.Ring.String(), Received: stamp(f.Received), Outcome: querypb.Outcome(f.Outcome),
	}
	if told := f.Report.GetFinding(); told != nil {
		shown := proto.CloneOf(told)
		shown.Line = v.line(told.GetLine())
		// It is what the hub shows in clear, under its own authority, and nobody
		// else's.
		shown.Authority = v.authority
		if v.authority == "" {
			hide(shown, told.GetLine())
		}
		row.Finding = shown
	}
	return row
}

// hide takes the line's address out of the texts of a finding that may name it: a
// device that calls itself by its address, say.
func hide(f *reportpb.Finding, line string) {
	take := hider(line)
	if d := f.GetDevice(); d != nil {
		d.Vendor, d.Model = take(d.GetVendor()), take(d.GetModel())
	}
	for _, g := range f.GetSignals() {
		g.Detail = take(g.GetDetail())
	}
	for i, text := range f.GetUnseen() {
		f.Unseen[i] = take(text)
	}
}

// hider writes the network where a text has an address of a line, however it is
// spelled. Other addresses stay.
func hider(line string) func(string) string {
	own, ok := networkOf(line)
	network := masked(line)
	return func(s string) string {
		if !ok || !mayHoldAddress(s) {
			return s
		}
		var b strings.Builder
		for s != "" {
			end := strings.IndexFunc(s, notInAddress)
			if end < 0 {
				end = len(s)
			}
			hideRun(&b, s[:end], own, network)
			_, size := utf8.DecodeRuneInString(s[end:])
			b.WriteString(s[end : end+size])
			s = s[end+size:]
		}
		return b.String()
	}
}

func notInAddress(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF.:", r) }

// hideRun writes a text of characters that addresses have.
func hideRun(b *strings.Builder, run string, own netip.Prefix, network string) {
	if !mayHoldAddress(run) {
		b.WriteString(run)
		return
	}
	for run != "" {
		n, a := longest(run)
		switch {
		case n == 0:
			n = 1 // an address may follow a letter
			b.WriteString(run[:n])
		case own.Contains(a):
			b.WriteString(network)
		default:
			// Another's. One that begins with its second number may be the line's.
			if g := strings.IndexAny(run, ".:"); g >= 0 {
				n = g + 1
			}
			b.WriteString(run[:n])
		}
		run = run[n:]
	}
}

// longest gives the longest address that a text begins with, and its length; 0 for
// none.
func longest(s string) (n int, a netip.Addr) {
	const most = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
	for n = min(len(s), most); n > 1; n-- {
		if a, err := netip.ParseAddr(s[:n]); err == nil {
			return n, a.Unmap()
		}
	}
	return 0, a
}

// maxHidden is of how many lines of a box addresses are looked for in what its
// device calls itself.
const maxHidden = maxPage

// device gives a box's device without addresses of its lines. Few devices call
// themselves by anything that could be one.
func (s *Service) device(ctx context.Context, b *store.BoxRow) (*reportpb.Device, error) {
	if !mayHoldAddress(b.Device.GetVendor()) && !mayHoldAddress(b.Device.GetModel()) || len(b.Lines) == 0 {
		return b.Device, nil
	}
	d := proto.CloneOf(b.Device)
	if len(b.Lines) > maxHidden {
		d.Vendor, d.Model = "", ""
		return d, nil
	}
	err := every(ctx, store.Filter{LineIDs: b.Lines}, s.store.Lines, func(l *store.Line) error {
		take := hider(l.Name)
		d.Vendor, d.Model = take(d.Vendor), take(d.Model)
		return nil
	})
	return d, err
}

// mayHoldAddress says whether a text has three dots or two colons.
func mayHoldAddress(s string) bool { return strings.Count(s, ".") >= 3 || strings.Count(s, ":") >= 2 }

func (s *Service) lineRow(l *store.Line, v view) *querypb.Line {
	return &querypb.Line{
		Id: s.lineID(l.ID), Sensor: l.Sensor, Line: v.line(l.Name), Verdict: l.Verdict,
		FirstSeen: stamp(l.First), LastSeen: stamp(l.Last), FindingIds: texts(l.Findings), BoxIds: texts(l.Boxes),
	}
}

// boxRow gives a box with at most links of its edges.
func (s *Service) boxRow(ctx context.Context, b *store.BoxRow, links int) (*querypb.Box, error) {
	device, err := s.device(ctx, b)
	if err != nil {
		return nil, err
	}
	row := &querypb.Box{
		Id: b.ID.String(), Device: device, LineIds: s.lineIDs(b.Lines), Cards: uint64(max(b.Cards, 0)), RingId: b.Ring.String(),
		FirstSeen: stamp(b.First), LastSeen: stamp(b.Last), Verdict: b.Verdict,
	}
	if len(b.Lines) < 2 {
		return row, nil
	}
	edges, err := s.store.Edges(ctx, []store.ID{b.ID}, links)
	if err != nil || len(edges) == 0 {
		return row, err
	}
	var ends []store.ID
	for _, e := range edges {
		ends = append(ends, e.A, e.B)
	}
	of, err := s.store.LinesOf(ctx, ends)
	if err != nil {
		return nil, err
	}
	for _, e := range edges {
		row.Links = append(row.Links, &querypb.Link{
			From: s.lineID(of[e.A]), To: s.lineID(of[e.B]), Kind: querypb.LinkKind(e.Kind), Nats: e.Nats, Reason: e.Reason, Since: stamp(e.Since),
		})
	}
	return row, nil
}

func ringRow(r *store.Ring) *querypb.Ring {
	return &querypb.Ring{
		Id: r.ID.String(), BoxIds: texts(r.Boxes), Lines: uint64(max(r.Lines, 0)), Sensors: r.Sensors, Controllers: r.Controllers,
		Margin: r.Margin, Nearest: r.Nearest, Verdict: r.Verdict, FirstSeen: stamp(r.First), LastSeen: stamp(r.Last),
	}
}

// controllerRow gives a controller; its id is its address, as it is shown, and its role.
func controllerRow(c *far) *querypb.Controller {
	return &querypb.Controller{
		Id: c.shown + "/" + c.Role, Addr: c.shown, Role: c.Role, Lines: c.Lines, ReviewLines: c.Review,
		RingIds: texts(c.Rings), FirstSeen: stamp(c.First), LastSeen: stamp(c.Last),
	}
}

func (s *Service) cardRow(c *store.Card) *querypb.Card {
	return &querypb.Card{
		Id: c.ID.String(), Card: c.Card, LineIds: s.lineIDs(c.Lines), BoxIds: texts(c.Boxes), FirstSeen: stamp(c.First), LastSeen: stamp(c.Last),
	}
}

func sensorRow(n *store.Sensor) *querypb.Sensor {
	row := &querypb.Sensor{
		Id: n.Name, Version: n.Version, Catalogue: n.Catalogue, Policy: n.Policy, LastReport: stamp(n.LastReport),
		PacketTime: stamp(n.PacketTime), CertificateEnds: stamp(n.CertificateEnds), Revoked: n.Revoked,
		RecordsMissing: n.Missing, Alarms: n.Alarms, ControllersLeft: n.ControllersLeft,
	}
	if n.ClockDifference != nil {
		ms := float64(*n.ClockDifference) / float64(time.Millisecond)
		row.ClockDifferenceMs = &ms
	}
	return row
}

func caseRow(c *store.Case) *querypb.Case {
	return &querypb.Case{
		Id: c.ID.String(), Title: c.Title, State: querypb.CaseState(c.State), Owner: c.Owner, RingIds: texts(c.Rings), BoxIds: texts(c.Boxes),
		Opened: stamp(c.Opened), Closed: stamp(c.Closed), Outcome: querypb.Outcome(c.Outcome),
	}
}

// feedbackRow gives what calibration learns from.
func feedbackRow(o *store.FindingOutcome, f *store.Finding) *querypb.Feedback {
	r, told := f.Report, f.Report.GetFinding()
	row := &querypb.Feedback{
		Id: o.Finding.String(), Outcome: querypb.Outcome(o.Outcome), At: stamp(o.At), Catalogue: r.GetCatalogue(),
		Verdict: told.GetVerdict(), Proof: told.GetProof(), Nearest: told.GetNearest(), Standings: r.GetStandings(),
		FirstSeen: told.GetFirstSeen(), LastSeen: told.GetLastSeen(),
	}
	if told != nil {
		row.Score, row.Margin = told.Score, told.Margin
	}
	if r != nil {
		row.PeakScore, row.PeakMargin = r.PeakScore, r.PeakMargin
	}
	for _, g := range told.GetSignals() {
		row.Signals = append(row.Signals, &reportpb.Signal{Id: g.GetId(), Family: g.GetFamily(), Nats: g.Nats, Against: g.GetAgainst()})
	}
	return row
}
