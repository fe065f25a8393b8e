package heuristics

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"simtrap/ident"
)

// Tenant is who has an address from some time on, as a feed of sessions tells.
type Tenant struct {
	Subscriber ident.Subscriber // zero where the feed names nobody
	Session    uint64           // names the session among those of its address, 0 for none
}

// maxTenants bounds the addresses and prefixes of which a tenant is known.
const maxTenants = 1 << 20

// tenants is what the feed has told so far.
type tenants struct {
	table map[ident.Realm]*bart.Table[*tenant]
	limit int // maxTenants
	n     int
	queue []*tenant // by first sight, of which the first head are gone
	head  int
}

type tenant struct {
	Tenant
	realm  ident.Realm
	prefix netip.Prefix
	since  int64
	ended  int64 // 0 while it lasts
	// restored is set on one that a checkpoint told of: the feed's own takes its
	// place.
	restored bool
}

// Tenancy notes that a session began: from t on a new tenant has the addresses
// of prefix, and evidence starts anew. What there was counts to the one before.
// A session of the same named subscriber goes on with the old evidence, so that
// who hangs up now and then does not start anew; one that is told again changes
// nothing.
func (l *Lines) Tenancy(realm ident.Realm, prefix netip.Prefix, t int64, who Tenant) {
	s := &l.tenants
	if s.table == nil {
		s.table = make(map[ident.Realm]*bart.Table[*tenant])
	}
	table := s.table[realm]
	if table == nil {
		table = &bart.Table[*tenant]{}
		s.table[realm] = table
	}
	old, known := table.Get(prefix)
	if known && (old.same(who) || old.ended == 0 && who.Session != 0 && old.Session == who.Session) {
		old.Session, old.ended = who.Session, 0
		return
	}
	x := &tenant{Tenant: who, realm: realm, prefix: prefix, since: t}
	if !known {
		if s.n >= s.limit {
			l.forgetTenant()
		}
		s.n++
	}
	l.counters.Tenancies++
	table.Insert(prefix, x)
	s.queue = append(s.queue, x)
	if len(s.queue) > 2*s.limit {
		s.compact()
	}
}

// same says whether both are the same named subscriber.
func (x *tenant) same(who Tenant) bool {
	return !who.Subscriber.IsZero() && x.Subscriber == who.Subscriber
}

// TenancyEnds notes that a session ended. The end of another than the one that
// lasts, late or told twice, is none.
func (l *Lines) TenancyEnds(realm ident.Realm, prefix netip.Prefix, t int64, who Tenant) {
	table := l.tenants.table[realm]
	if table == nil {
		return
	}
	x, ok := table.Get(prefix)
	if !ok || x.ended != 0 || who.Session != 0 && x.Session != 0 && who.Session != x.Session {
		return
	}
	x.ended = max(t, x.since)
}

// current says whether the table still has x.
func (s *tenants) current(x *tenant) bool {
	y, ok := s.table[x.realm].Get(x.prefix)
	return ok && y == x
}

// forgetTenant makes room: the tenant known longest goes.
func (l *Lines) forgetTenant() {
	s := &l.tenants
	for ; s.head < len(s.queue); s.head++ {
		if x := s.queue[s.head]; s.current(x) {
			s.table[x.realm].Delete(x.prefix)
			s.n--
			l.counters.TenantsForgotten++
			s.head++
			return
		}
	}
}

func (s *tenants) compact() {
	kept := s.queue[:0]
	for _, x := range s.queue[s.head:] {
		if s.current(x) {
			kept = append(kept, x)
		}
	}
	clear(s.queue[len(kept):])
	s.queue, s.head = kept, 0
}

// tenantOf gives who has a line, nil when the feed does not say.
func (l *Lines) tenantOf(line ident.Line) *tenant {
	table := l.tenants.table[line.Realm]
	if table == nil {
		return nil
	}
	p := netip.PrefixFrom(line.Addr.Netip(), int(line.Bits))
	if line.Bits == 0 {
		p = netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
	}
	x, _ := table.LookupPrefix(p)
	return x
}

// handOver gives a profile to the tenant that its line has now: when that is
// another than before, or one whose session has ended since, evidence starts
// anew.
func (l *Lines) handOver(p *profile, t int64) {
	x := l.tenantOf(p.line)
	if x == nil {
		return // never told of, or forgotten: it is as it was
	}
	after := x.ended != 0
	if p.tenant == x && p.afterTenant == after {
		return
	}
	since := x.since
	if after {
		since = x.ended
	}
	if o := p.tenant; o != nil && o.restored && p.afterTenant == after && (o.same(x.Tenant) || o.since == x.since && o.Session == x.Session) {
		p.tenant = x // the same, told anew
		return
	}
	if p.tenant == nil && p.first >= since {
		p.tenant, p.afterTenant, p.tenantSince = x, after, since // a profile just opened
		return
	}
	l.close(p)
	for _, e := range p.control {
		e.Reopen()
	}
	l.list(p).remove(p)
	begun := max(t, since) // what is told late began before
	*p = profile{line: p.line, tap: l.tap, first: begun, epoch: t, last: begun, queued: p.queued, told: told{listed: p.told.listed}, tenant: x, afterTenant: after, tenantSince: since}
	l.young.push(p)
}

// HandOver is for whoever is about to change what the line's profile refers to,
// such as evidence of a gateway's protocol: what changes then is the present
// tenant's.
func (l *Lines) HandOver(line ident.Line, t int64) {
	if l.tenants.table == nil {
		return
	}
	if p := l.table[line]; p != nil {
		l.handOver(p, t)
	}
}

// settled is how long a line must have been in the same hands for that to say
// anything. A session is no subscription: addresses are handed out anew every
// day, and a feed begins some time. So calls soon after a session began are
// everybody's, and only a line that was long somebody's before is known to be.
const settled = 14 * 24 * 60 * minute

// Since says since when a line is in the hands that its evidence is of, if at
// time t it had long been; ok is false otherwise, or when no feed tells. Of a
// line that is judged as it changes hands this is the tenant before.
func (l *Lines) Since(line ident.Line, t int64) (since int64, ok bool) {
	if p := l.table[line]; p != nil {
		since, ok = p.tenantSince, p.tenant != nil && !p.afterTenant
	} else if x := l.tenantOf(line); x != nil {
		since, ok = x.since, x.ended == 0
	}
	if !ok || t-since < settled {
		return 0, false
	}
	return since, true
}

// subscriber is whom the feed names for the profile's time.
func (p *profile) subscriber() ident.Subscriber {
	if p.tenant == nil || p.afterTenant {
		return ident.Subscriber{}
	}
	return p.tenant.Subscriber
}
