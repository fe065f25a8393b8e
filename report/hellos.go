package report

import (
	"fmt"
	"strings"

	"simtrap/heuristics"
	"simtrap/report/reportpb"
)

// hello gives an opening of an enciphered connection as it leaves this machine. The
// name that is asked for tells what somebody calls up, and the issuer of a certificate
// may be an authority of somebody's own that names him: both are pseudonyms without an
// authority.
func (o Options) hello(h *heuristics.Hello) *reportpb.Hello {
	return &reportpb.Hello{
		Protocol: h.Protocol.String(), Far: address(h.Far), Port: int32(h.Port), Asked: h.Asked,
		Ja3: h.JA3, Ja4: h.JA4, Bare: h.Bare, Name: wellFormed(o.Names.Text("name", h.Name)),
		Version: tlsVersion(h.Version), Issuer: wellFormed(o.Names.Text("issuer", h.Issuer)), SelfIssued: h.SelfIssued,
		Times: saturated(h.Times), FirstSeen: moment(h.First), LastSeen: moment(h.Last),
	}
}

// tlsVersion names a version of TLS, empty when none was seen.
func tlsVersion(v uint16) string {
	switch {
	case v == 0:
		return ""
	case v == 0x0300:
		return "3.0"
	case v > 0x0300 && v <= 0x0304:
		return fmt.Sprintf("1.%d", v-0x0301)
	}
	return fmt.Sprintf("%04x", v)
}

func (e *encoder) hellos(list []*reportpb.Hello) {
	e.key("hellos")
	e.open('[')
	for _, h := range list {
		e.open('{')
		e.text("protocol", h.GetProtocol())
		e.text("far", h.GetFar())
		e.int("port", int64(h.GetPort()))
		e.bool("asked", h.GetAsked())
		e.text("ja3", h.GetJa3())
		e.text("ja4", h.GetJa4())
		e.bool("bare", h.GetBare())
		e.text("name", h.GetName())
		e.text("version", h.GetVersion())
		e.text("issuer", h.GetIssuer())
		e.bool("self_issued", h.GetSelfIssued())
		e.int("times", int64(h.GetTimes()))
		e.time("first_seen", h.GetFirstSeen())
		e.time("last_seen", h.GetLastSeen())
		e.shut('}')
	}
	e.shut(']')
}

// opening is what people read of one.
func (o Options) opening(h *heuristics.Hello) string {
	parts := []string{h.Protocol.String() + " with " + address(h.Far)}
	if h.Version != 0 && h.JA4 != "" {
		parts = append(parts, "TLS "+tlsVersion(h.Version))
	}
	if h.JA4 != "" {
		parts = append(parts, "client "+h.JA4)
	}
	if h.Bare {
		parts = append(parts, "a device's or daemon's library")
	}
	if h.Name != "" {
		parts = append(parts, "asks for "+o.Names.Text("name", h.Name))
	}
	switch {
	case h.SelfIssued:
		parts = append(parts, "certificate of its own making")
	case h.Issuer != "":
		parts = append(parts, "certificate by "+h.Issuer)
	}
	return strings.Join(parts, ", ")
}
