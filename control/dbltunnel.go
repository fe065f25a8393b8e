package control

import (
	"slices"

	"simtrap/ident"
)

// DBLTunnel names the protocol, as in Record.Protocol.
const DBLTunnel = "dbl-tunnel"

// dblTunnel is the maker's reverse tunnel for management: the device calls a
// server over TCP (port 1920 by custom) and begins with "RADMIN: " or, on its
// second connection, "TELNET: " and its name, enciphered with RC4 from the start
// of the stream. Under the default key the first eight bytes never change.
// Another key hides them.
func dblTunnel() reader {
	return reader{
		Protocol: Protocol{
			Name:       DBLTunnel,
			Doc:        "equipment of DBL keeps a reverse tunnel to a management server, under the maker's default key; TCP, any port",
			Vendor:     "DBL/HYBERTONE",
			Marks:      true,
			Server:     "management",
			Source:     "research/gateways.md 2.2: the maker's own source, prefixes computed from it; those of a variant of the cipher from a second-hand description",
			Confidence: "what is enciphered is known verbatim, the bytes are computed: a mark; another key could be told by two connections to one server whose first bytes differ as these do, which is inferred, not seen, and left out, as connections are read apart",
		},
		starts: dblTunnelStarts(),
		stream: func() streamReader { return dblTunnelReader{} },
	}
}

// dblTunnelStarts are the first bytes of "RADMIN: ", "TELNET: ", "RLOGIN: " under
// RC4 with the key dbl#admin, then under the variant.
func dblTunnelStarts() []string {
	return []string{
		"\x3c\x39\xac\x9a\xce\xc5\x93\x5a", "\x3a\x3d\xa4\x99\xc2\xdf\x93\x5a", "\x3c\x34\xa7\x90\xce\xc5\x93\x5a",
		"\xbf\x20\x8e\x7b\x9b\xf2\xa0\x81", "\xb9\x24\x86\x78\x97\xe8\xa0\x81", "\xbf\x2d\x85\x71\x9b\xf2\xa0\x81",
	}
}

type dblTunnelReader struct{}

const dblTunnelSize = 8

func (dblTunnelReader) begins(b []byte) bool {
	n := min(len(b), dblTunnelSize)
	return slices.ContainsFunc(dblTunnelStarts(), func(s string) bool { return s[:n] == string(b[:n]) })
}

func (r dblTunnelReader) step(b []byte, first, _ bool, _ int64, emit func(*Record)) (done, want, skip int) {
	if !first {
		return 0, 0, 0
	}
	if len(b) < dblTunnelSize {
		return 0, dblTunnelSize, 0
	}
	if !r.begins(b) {
		return 0, 0, 0
	}
	emit(&Record{
		Protocol: DBLTunnel, Vendor: "DBL/HYBERTONE", Kind: Mark, Sender: RoleGateway,
		Detail: "reverse tunnel for management under the maker's key", Digest: ident.Hash(8, b[:dblTunnelSize]),
	})
	return dblTunnelSize, 0, endOfStream
}
