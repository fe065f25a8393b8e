package control

import (
	"bytes"

	"simtrap/ident"
)

// Greetings by which a gateway's telnet server names its maker. They come from
// whoever listens there, and say no more than that the port answers so: makers
// build analogue adapters on the same software, and anybody can greet as he
// likes. A greeting is a mark and never evidence. GoIP's own is left out, since
// Green Packet's modems greet the same way, and Boa's name in HTTP, since
// cameras have it.

// MakerBanner names the marks, as in Record.Protocol.
const MakerBanner = "maker-banner"

func makerBanner() reader {
	return reader{
		Protocol: Protocol{
			Name:       MakerBanner,
			Doc:        "a greeting by which the telnet or web server of a gateway names its maker; TCP, any port",
			Vendor:     "Dinstar, 2N, AddPac, DBL/HYBERTONE",
			Source:     "research/gateways.md 1.1.5, 1.2, 1.6: service probes of nmap",
			Confidence: "verbatim; a mark and never sound, since makers have other devices that greet so",
		},
		starts:  []string{"\xff\xfb\x01", "\xff\xfd\x01", "[ M"},
		looks:   bannerLooks,
		stream:  func() streamReader { return bannerReader{} },
		segment: true,
	}
}

// bannerLooks says whether b, which begins with an option of telnet, may be a
// greeting of interest.
func bannerLooks(b []byte) bool {
	maker, _ := bannerOf(b)
	return maker != ""
}

// bannerOf names the maker by the first bytes a telnet server sends, and the
// kind of device.
func bannerOf(b []byte) (maker string, role Role) {
	if len(b) < 24 {
		return "", RoleUnknown
	}
	rest := b
	for range 8 { // IAC, a verb, an option (RFC 854)
		if len(rest) < 3 || rest[0] != 0xff || rest[1] < 0xfb || rest[1] == 0xff {
			break
		}
		rest = rest[3:]
	}
	switch {
	case len(rest) == len(b):
		// 2N VoiceBlue says "[ M113 ]  B-02.54  VIP113 …" and asks below it.
		if bytes.HasPrefix(b, []byte("[ M")) && bytes.Contains(b[:min(len(b), 256)], []byte("\nVB login:")) {
			return "2N", RoleGateway
		}
	case bytes.HasPrefix(rest, []byte("\r\nWelcome to Command Shell!\r\nUsername:")):
		return "Dinstar", RoleGateway
	case bytes.HasPrefix(rest, []byte("Welcome to login the Cloud Server.\r\ndomain:")):
		return "Dinstar", RoleServer
	}
	return "", RoleUnknown
}

// bannerReader needs to remember nothing.
type bannerReader struct{}

func (bannerReader) begins(b []byte) bool { return bannerLooks(b) }

// step reads a greeting; see streamReader.
func (bannerReader) step(b []byte, first, last bool, now int64, emit func(*Record)) (done, want, skip int) {
	maker, role := bannerOf(b)
	if maker == "" || !first {
		return 0, 0, 0
	}
	r := Record{Protocol: MakerBanner, Vendor: maker, Kind: Mark, Sender: role, Digest: ident.Hash(16, []byte(maker)), Detail: "greets as " + maker + "'s gateways do"}
	if role == RoleServer {
		r.Detail = "greets as " + maker + "'s SIMCloud does"
	}
	emit(&r)
	return len(b), 0, 0
}
