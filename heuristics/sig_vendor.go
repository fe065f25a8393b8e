package heuristics

import (
	"fmt"
	"strings"

	"simtrap/heuristics/catalogue"
)

// vendorString reads the line's own User-Agent or Server header. The catalogue
// caps it: a setting changes it.
func vendorString() signal {
	return signal{
		id: "vendor-string",
		static: func(p *profile, _ int64) int {
			if p.userAgent == "" || p.counted < 3 {
				return none
			}
			return p.vendorKind
		},
		detail: func(p *profile, _ []uint32) string {
			return fmt.Sprintf("calls itself %q", maskSerials(p.userAgent))
		},
		unseen: func(*profile) string { return "" },
	}
}

// vendorOf tells the kind of equipment by the start of its header value:
// category of vendor-string, and the maker for category 0.
func vendorOf(v *catalogue.Vendors, agent string) (kind int, m catalogue.Maker) {
	for _, g := range v.Gateway {
		if strings.HasPrefix(agent, g.Prefix) {
			return 0, g
		}
	}
	for _, o := range v.Ordinary {
		if strings.HasPrefix(agent, o) {
			return 2, m
		}
	}
	return 1, m
}

// MaskSerials is how header values are shown without an authority.
func MaskSerials(s string) string { return maskSerials(s) }

// maskSerials hides what in a header value may be a serial number, a MAC or a
// telephone number: runs of six digits or more, hexadecimal ones included.
func maskSerials(s string) string {
	b := []byte(s)
	for i := 0; i < len(b); {
		j, digits := i, 0
		for ; j < len(b) && strings.IndexByte("0123456789abcdefABCDEF:-", b[j]) >= 0; j++ {
			if b[j] >= '0' && b[j] <= '9' {
				digits++
			}
		}
		if digits >= 6 {
			for k := i; k < j; k++ {
				b[k] = '*'
			}
		}
		i = max(j, i+1)
	}
	return string(b)
}
