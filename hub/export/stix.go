package export

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// Namespaces of UUIDs of version 5: that of STIX 2.1 section 2.9 for observables,
// and one of our own for everything else.
const (
	observableSpace = "00abedb4-aa42-466c-9c01-fed23315a9b7"
	ownSpace        = "eedc71fd-fda6-4572-a5cf-6d7fc996f167"
)

// Markings of STIX 2.1 section 7.2.1.4: what names subscriber lines is for those
// who need it, what names them in clear for those named in the authority.
const (
	amber = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
	red   = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
)

// made is the time of the objects that are always the same.
const made = "2026-11-01T00:00:00.000Z"

// maxSeen is how many ids of objects that several rows may name (addresses,
// sensors) are remembered. Beyond that one may stand twice in a bundle, with the
// same content.
const maxSeen = 1 << 17

// bundle writes a STIX 2.1 bundle. Ids are made of what they are ids of, so that
// exporting again gives the same objects; the bundle's own, at its end, of the
// bytes of its objects.
type bundle struct {
	o       Options
	marking string
	seen    map[[20]byte]struct{}
	sum     hash.Hash
	objects int
}

func newBundle(o Options) *bundle {
	b := &bundle{o: o, marking: amber, seen: make(map[[20]byte]struct{}), sum: sha256.New()}
	if o.Authority != "" {
		b.marking = red
	}
	return b
}

// uuid5 gives a UUID of RFC 9562 section 5.5.
func uuid5(space, name string) string {
	ns, err := hex.DecodeString(strings.ReplaceAll(space, "-", ""))
	if err != nil {
		return "" // the namespaces are constants, and a test looks at them
	}
	sum := sha1.Sum(append(ns, name...))
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	x := hex.EncodeToString(sum[:16])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// StixID gives the id of the object that an export makes of a row: kind is the
// type of STIX, what the kind of row ("box", "ring", "line", "finding", "card",
// "sensor", "case", "controller").
func StixID(kind, what, id string) string { return kind + "--" + uuid5(ownSpace, what+":"+id) }

func extensionID() string { return StixID("extension-definition", "extension", "simtrap") }
func hubID() string       { return StixID("identity", "hub", "simtrap-hub") }

// stixTime writes a time with the milliseconds that STIX wants.
func stixTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// object is one object under construction.
type object struct {
	b     []byte
	first bool
}

func (o *object) key(k string) {
	if !o.first {
		o.b = append(o.b, ',')
	}
	o.first = false
	o.b = append(append(append(o.b, '"'), k...), '"', ':')
}

func (o *object) text(k, s string) {
	if s == "" {
		return
	}
	o.key(k)
	o.b = report.AppendString(o.b, s)
}

func (o *object) texts(k string, list ...string) {
	if len(list) == 0 {
		return
	}
	o.key(k)
	o.b = append(o.b, '[')
	for i, s := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = report.AppendString(o.b, s)
	}
	o.b = append(o.b, ']')
}

// add closes an object and appends it to the bundle.
func (b *bundle) add(dst []byte, o object) []byte {
	o.b = append(o.b, '}')
	b.sum.Write(o.b)
	if b.objects > 0 {
		dst = append(dst, ',', '\n')
	}
	b.objects++
	return append(dst, o.b...)
}

// once says whether an object of that id is to be written: not when it was.
func (b *bundle) once(id string) bool {
	key := sha1.Sum([]byte(id))
	if _, is := b.seen[key]; is {
		return false
	}
	if len(b.seen) < maxSeen {
		b.seen[key] = struct{}{}
	}
	return true
}

// start begins an object of a type. Observables have no times.
func start(kind, id string) object {
	o := object{b: []byte{'{'}, first: true}
	o.text("type", kind)
	o.text("spec_version", "2.1")
	o.text("id", id)
	return o
}

// domain begins a domain or relationship object. One that was modified before it
// was created would be refused.
func (b *bundle) domain(kind, id, creator string, created, modified *timestamppb.Timestamp) object {
	o := start(kind, id)
	o.text("created_by_ref", creator)
	from, to := moment(created), moment(modified)
	if to.Before(from) {
		to = from
	}
	o.text("created", stixTime(from))
	o.text("modified", stixTime(to))
	o.texts("object_marking_refs", b.marking)
	return o
}

// moment gives a time that STIX can write, the epoch when there is none.
func moment(t *timestamppb.Timestamp) time.Time {
	if !t.IsValid() {
		return time.Unix(0, 0)
	}
	return t.AsTime()
}

// extend adds what STIX has no property for: the fields of a message, but for its
// id, which is hub_id there since names of properties have three letters or more.
func (b *bundle) extend(o *object, row proto.Message) {
	o.key("extensions")
	o.b = append(append(append(o.b, '{', '"'), extensionID()...), `":{"extension_type":"property-extension"`...)
	e := rowEncoder{b: o.b, lean: true}
	first := false
	m := row.ProtoReflect()
	fields := m.Descriptor().Fields()
	if id := fields.ByName("id"); id != nil {
		e.b = append(e.b, `,"hub_id":`...)
		e.b = report.AppendString(e.b, m.Get(id).String())
	}
	e.skip = func(f protoreflect.FieldDescriptor) bool { return f.Name() == "id" && f.Parent() == m.Descriptor() }
	e.fields(m, &first)
	if b.o.Authority != "" {
		e.b = append(e.b, `,"authority":`...)
		e.b = report.AppendString(e.b, b.o.Authority)
	}
	o.b = append(e.b, '}', '}')
}

func (b *bundle) head(dst []byte) []byte {
	dst = append(dst, `{"type":"bundle","objects":[`...)
	dst = append(dst, '\n')

	o := start("marking-definition", b.marking)
	o.text("created", "2017-01-20T00:00:00.000Z")
	o.text("definition_type", "tlp")
	name, word := "TLP:AMBER", "amber"
	if b.marking == red {
		name, word = "TLP:RED", "red"
	}
	o.text("name", name)
	o.key("definition")
	o.b = append(append(append(o.b, `{"tlp":"`...), word...), '"', '}')
	dst = b.add(dst, o)

	o = start("identity", hubID())
	o.text("created", made)
	o.text("modified", made)
	o.text("name", "simtrap-hub")
	o.text("identity_class", "system")
	dst = b.add(dst, o)

	o = start("extension-definition", extensionID())
	o.text("created_by_ref", hubID())
	o.text("created", made)
	o.text("modified", made)
	o.text("name", "simtrap")
	o.text("description", "What simtrap knows of a finding, line, box, ring, controller, card, sensor or case and STIX 2.1 has no property for.")
	o.text("schema", "The fields of the message of that name in simtrap.query.v1 (report/proto/simtrap/query/v1/query.proto of simtrap), but for id, which is hub_id; what is unknown is left out.")
	o.text("version", "1.0.0")
	o.texts("extension_types", "property-extension")
	return b.add(dst, o)
}

func (b *bundle) tail(dst []byte) []byte {
	return append(append(append(dst, "\n],\"id\":\"bundle--"...), uuid5(ownSpace, "bundle:"+hex.EncodeToString(b.sum.Sum(nil)))...), "\"}\n"...)
}

// address writes the observable of an address or of a network, unless it was, and
// gives its id; an empty one for what is no address.
func (b *bundle) address(dst []byte, text string) ([]byte, string) {
	kind := "ipv6-addr"
	switch p, err := netip.ParsePrefix(text); {
	case err == nil && p.Addr().Is4():
		kind, text = "ipv4-addr", p.String()
	case err == nil:
		text = p.String()
	default:
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return dst, ""
		}
		if a.Is4() {
			kind = "ipv4-addr"
		}
		text = a.String()
	}
	// Nothing in an address needs an escape of RFC 8785.
	id := kind + "--" + uuid5(observableSpace, `{"value":"`+text+`"}`)
	if !b.once(id) {
		return dst, id
	}
	o := start(kind, id)
	o.texts("object_marking_refs", b.marking)
	o.text("value", text)
	return b.add(dst, o), id
}

// sensor writes the identity of a sensor that rows name, unless it was.
func (b *bundle) sensor(dst []byte, name string) ([]byte, string) {
	if name == "" {
		return dst, hubID()
	}
	id := StixID("identity", "sensor", name)
	if !b.once(id) {
		return dst, id
	}
	o := start("identity", id)
	o.text("created_by_ref", hubID())
	o.text("created", made)
	o.text("modified", made)
	o.texts("object_marking_refs", b.marking)
	o.text("name", name)
	o.text("identity_class", "system")
	return b.add(dst, o), id
}

// relation writes a relationship between two objects of the bundle.
func (b *bundle) relation(dst []byte, from, kind, to string, created, modified *timestamppb.Timestamp) []byte {
	o := b.domain("relationship", StixID("relationship", kind, from+" "+to), hubID(), created, modified)
	o.text("relationship_type", kind)
	o.text("source_ref", from)
	o.text("target_ref", to)
	return b.add(dst, o)
}

// infrastructure begins what a line, a box, a ring or a controller is in STIX.
func (b *bundle) infrastructure(what, id, name, kind string, row proto.Message, first, last *timestamppb.Timestamp) (object, string) {
	ref := StixID("infrastructure", what, id)
	o := b.domain("infrastructure", ref, hubID(), first, last)
	o.text("name", name)
	if kind != "" {
		o.texts("infrastructure_types", kind)
	}
	if first.IsValid() {
		o.text("first_seen", stixTime(first.AsTime()))
		// Not before the first, and a bundle with neither is better than one refused.
		if last.IsValid() && !last.AsTime().Before(first.AsTime()) {
			o.text("last_seen", stixTime(last.AsTime()))
		}
	}
	b.extend(&o, row)
	return o, ref
}

// addressOf gives the address of a line's name, without its realm.
func addressOf(line string) string {
	for {
		if _, err := netip.ParsePrefix(line); err == nil {
			return line
		}
		_, rest, more := strings.Cut(line, "/")
		if !more {
			return line
		}
		line = rest
	}
}

func (b *bundle) row(dst []byte, row proto.Message) []byte {
	switch m := row.(type) {
	case *querypb.Finding:
		return b.finding(dst, m)
	case *querypb.Line:
		dst, addr := b.address(dst, addressOf(m.GetLine()))
		o, ref := b.infrastructure("line", m.GetId(), "subscriber line "+m.GetId(), "", m, m.GetFirstSeen(), m.GetLastSeen())
		dst = b.add(dst, o)
		if addr != "" {
			dst = b.relation(dst, ref, "consists-of", addr, m.GetFirstSeen(), m.GetLastSeen())
		}
		return dst
	case *querypb.Box:
		o, _ := b.infrastructure("box", m.GetId(), "suspected SIM box "+m.GetId(), "sim-box", m, m.GetFirstSeen(), m.GetLastSeen())
		return b.add(dst, o)
	case *querypb.Ring:
		o, ref := b.infrastructure("ring", m.GetId(), "suspected ring of SIM boxes "+m.GetId(), "sim-box-ring", m, m.GetFirstSeen(), m.GetLastSeen())
		dst = b.add(dst, o)
		for _, c := range m.GetControllers() {
			var addr string
			if dst, addr = b.address(dst, c); addr != "" {
				dst = b.relation(dst, ref, "communicates-with", addr, m.GetFirstSeen(), m.GetLastSeen())
			}
		}
		return dst
	case *querypb.Controller:
		dst, addr := b.address(dst, m.GetAddr())
		o, ref := b.infrastructure("controller", m.GetId(), "far end that lines depend on", "", m, m.GetFirstSeen(), m.GetLastSeen())
		dst = b.add(dst, o)
		if addr != "" {
			dst = b.relation(dst, ref, "consists-of", addr, m.GetFirstSeen(), m.GetLastSeen())
		}
		return dst
	case *querypb.Card:
		// The id is hex digits, so that it stands in RFC 8785 as it is.
		id := plainID(m.GetId())
		o := start("user-account", "user-account--"+uuid5(observableSpace, `{"account_type":"sim-card","user_id":"`+id+`"}`))
		o.texts("object_marking_refs", b.marking)
		o.text("user_id", id)
		o.text("account_type", "sim-card")
		b.extend(&o, m)
		return b.add(dst, o)
	case *querypb.Sensor:
		o := b.domain("identity", StixID("identity", "sensor", m.GetId()), hubID(), timestamppb.New(fixed()), m.GetLastReport())
		o.text("name", m.GetId())
		o.text("identity_class", "system")
		b.extend(&o, m)
		return b.add(dst, o)
	case *querypb.Case:
		modified := m.GetClosed()
		if !modified.IsValid() {
			modified = m.GetOpened()
		}
		o := b.domain("incident", StixID("incident", "case", m.GetId()), hubID(), m.GetOpened(), modified)
		name := m.GetTitle()
		if name == "" {
			name = "case " + m.GetId()
		}
		o.text("name", name)
		b.extend(&o, m)
		return b.add(dst, o)
	}
	return dst
}

// plainID gives an id that needs no escape: itself, if it is one of the hub's.
func plainID(id string) string {
	if id != "" && strings.Trim(id, "0123456789abcdef") == "" {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

func fixed() time.Time {
	t, _ := time.Parse(time.RFC3339, made)
	return t
}

// finding is observed data of the line's address and those of its controllers, as
// its sensor saw them. One whose line has no address that STIX could hold is a
// line that somebody made up.
func (b *bundle) finding(dst []byte, m *querypb.Finding) []byte {
	f := m.GetFinding()
	if f == nil {
		f = &reportpb.Finding{}
	}
	dst, sensor := b.sensor(dst, m.GetSensor())
	var refs []string
	add := func(text string) {
		var id string
		if dst, id = b.address(dst, text); id != "" {
			for _, r := range refs {
				if r == id {
					return
				}
			}
			refs = append(refs, id)
		}
	}
	add(addressOf(f.GetLine()))
	for _, c := range f.GetControllers() {
		add(c.GetAddr())
	}
	if len(refs) == 0 {
		o, _ := b.infrastructure("finding", m.GetId(), "finding "+m.GetId(), "", m, f.GetFirstSeen(), f.GetLastSeen())
		return b.add(dst, o)
	}
	o := b.domain("observed-data", StixID("observed-data", "finding", m.GetId()), sensor, f.GetFirstSeen(), m.GetReceived())
	from, to := moment(f.GetFirstSeen()), moment(f.GetLastSeen())
	if to.Before(from) {
		to = from
	}
	o.text("first_observed", stixTime(from))
	o.text("last_observed", stixTime(to))
	o.key("number_observed")
	calls := int64(f.GetCalls().GetInbound()) + int64(f.GetCalls().GetOutbound())
	o.b = strconv.AppendInt(o.b, min(max(calls, 1), 999_999_999), 10)
	o.texts("object_refs", refs...)
	b.extend(&o, m)
	return b.add(dst, o)
}
