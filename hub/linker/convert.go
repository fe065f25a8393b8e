package linker

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/link"
	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

// node is one tenancy as a batch knows it: the line of it that is judged, and what
// the store needs back. The report itself is not kept, since ten thousand of them
// are many megabytes.
type node struct {
	line     link.Line
	id       store.ID
	device   *reportpb.Device
	box      store.ID
	ring     store.ID
	version  uint64
	name     string
	keys     map[link.Key]store.Key // those that the store knows it by
	standing bool                   // at watch or above by itself: it takes part
}

func (w *Worker) node(t *store.Tenancy) *node {
	f := t.Report.GetFinding()
	links := f.GetLinks()
	n := &node{id: t.ID, device: f.GetDevice(), box: t.Box, ring: t.Ring, version: t.Version, name: f.GetLine()}
	l := &n.line
	*l = link.Line{
		ID: link.ID(t.ID), Access: access(t.Line, f.GetLine()), Subscriber: f.GetSubscriber(), Sensor: t.Sensor,
		First: nanos(f.GetFirstSeen()), Last: nanos(f.GetLastSeen()),
		Verdict: verdict(f.GetVerdict()), Declared: f.GetDeclared(),
		Accounts: links.GetAccounts(), Contact: links.GetContact(), CNAME: links.GetCname(), Stack: links.GetStack(),
		ClockPPM: links.GetClockPpm(), ClockErrorPPM: links.GetClockErrorPpm(),
	}
	for _, c := range f.GetCards() {
		l.Cards = append(l.Cards, link.Card{IMSI: c.GetImsi(), ICCID: c.GetIccid()})
	}
	for _, c := range f.GetControllers() {
		if a, err := netip.ParseAddr(c.GetAddr()); err == nil {
			l.Controllers = append(l.Controllers, link.Endpoint{Addr: a.WithZone("").Unmap().String(), Role: c.GetRole()})
		}
	}
	for _, s := range links.GetActive() {
		if len(l.Active) == link.MaxSpans {
			break
		}
		if s := (link.Span{From: nanos(s.GetFrom()), To: nanos(s.GetTo())}); s.From <= s.To {
			l.Active = append(l.Active, s)
		}
	}
	slices.SortFunc(l.Active, func(a, b link.Span) int { return int(min(max(a.From-b.From, -1), 1)) })
	for _, s := range t.Report.GetStandings() {
		c := link.Standing{Class: w.names.of(s.GetClass()), Margin: s.GetMargin(), Families: make([]link.FamilyNats, 0, len(s.GetFamilies()))}
		for _, f := range s.GetFamilies() {
			c.Families = append(c.Families, link.FamilyNats{Family: w.names.of(f.GetFamily()), Nats: f.GetNats()})
		}
		l.Standings = append(l.Standings, c)
	}
	n.standing = l.Verdict >= link.Watch
	n.keys = make(map[link.Key]store.Key)
	known := make(map[store.Key]bool, len(t.Keys))
	for _, k := range t.Keys {
		known[k] = true
	}
	for _, k := range l.Keys() {
		if s := storeKey(k, l); known[s] {
			n.keys[k] = s
		}
	}
	return n
}

// names keeps one copy of the names of classes and families, which every standing
// repeats. A sensor chooses them, so there is an end to it.
type names map[string]string

const maxNames = 4096

func (n names) of(s string) string {
	if t, ok := n[s]; ok {
		return t
	}
	if len(n) < maxNames {
		s = strings.Clone(s)
		n[s] = s
	}
	return s
}

// storeKey is the key under which the store has k. Which of a card's identities it
// is shows by whose it is.
func storeKey(k link.Key, l *link.Line) store.Key {
	switch k.Kind {
	case link.CardKey:
		for _, c := range l.Cards {
			if c.IMSI == k.Value {
				return store.KeyOf(store.KeyCard, "imsi:"+k.Value)
			}
		}
		return store.KeyOf(store.KeyCard, "iccid:"+k.Value)
	case link.AccountKey:
		return store.KeyOf(store.KeyAccount, k.Value)
	case link.ContactKey:
		return store.KeyOf(store.KeyContact, k.Value)
	case link.CNAMEKey:
		return store.KeyOf(store.KeyCNAME, k.Value)
	default:
		return store.KeyOf(store.KeyController, k.Value)
	}
}

// access is the same for one public address whatever sensor sees it; behind a
// realm, or private, or shared by a carrier, an address is its sensor's own.
func access(line store.ID, name string) link.ID {
	a, err := netip.ParseAddr(name)
	if err != nil || !a.IsGlobalUnicast() || a.IsPrivate() || shared.Contains(a.Unmap()) {
		return link.ID(line)
	}
	return link.ID(store.LineID("", name))
}

// shared is the space that carriers translate from (RFC 6598).
var shared = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10)

func nanos(t *timestamppb.Timestamp) int64 {
	if t == nil {
		return 0
	}
	return t.AsTime().UnixNano()
}

func moment(ns int64) time.Time { return time.Unix(0, ns).UTC() }

func verdict(v reportpb.Verdict) link.Verdict {
	switch v {
	case reportpb.Verdict_VERDICT_WATCH:
		return link.Watch
	case reportpb.Verdict_VERDICT_REVIEW:
		return link.Review
	case reportpb.Verdict_VERDICT_CASE:
		return link.Case
	}
	return link.None
}

func protoVerdict(v link.Verdict) reportpb.Verdict {
	return [...]reportpb.Verdict{reportpb.Verdict_VERDICT_NONE, reportpb.Verdict_VERDICT_WATCH,
		reportpb.Verdict_VERDICT_REVIEW, reportpb.Verdict_VERDICT_CASE}[min(v, link.Case)]
}
