package control

import "strings"

// Softswitch names the switch that a User-Agent or Server header of SIP comes
// from, if it is one that the masters of gateways like to run: VOS2009 and
// VOS3000 of Linknat, which sign "VOS3000 V2.1.4.0". Coming from the far end it
// says what controls a line, not what the line is: the same switch serves
// wholesalers everywhere, and any of them may write what it likes there. So it
// is worth no more than a vendor's string, and nothing towards a case. A line
// that signs so itself is a carrier's equipment.
func Softswitch(agent string) (name string, ok bool) {
	for _, s := range [...]string{"VOS3000", "VOS2009"} {
		rest, is := strings.CutPrefix(agent, s)
		if !is || rest != "" && !strings.HasPrefix(rest, " V") {
			continue
		}
		for _, c := range strings.TrimPrefix(rest, " V") {
			if c != '.' && (c < '0' || c > '9') {
				return "", false
			}
		}
		return s, true
	}
	return "", false
}
