package lab

import "math/rand/v2"

// gatewayStack draws the SIP software of a gateway.
func gatewayStack(r *rand.Rand) *dialect {
	switch r.IntN(10) {
	case 0, 1, 2:
		d := dialDBL()
		d.agent = pick(r, "DBL", "DBL", "H", "W", "Voptech", "dble", "HYBERTONE", "DBL SIP", "")
		d.lengthGap = pick(r, "  ", " ")
		d.phoneOutside = r.IntN(3) > 0
		if r.IntN(3) == 0 {
			d.sdpUser, d.sdpName, d.sdpID = "-", pick(r, "DBL Session", "-"), unixID
		}
		return d
	case 3, 4:
		d := dialQuiet()
		d.tag, d.agent = hex8, pick(r, "", "", "DWG2000-8G 02010607", "UC2000-VE 01.18", "HG4000/4.5", "SIP UA 1.2")
		d.name = "dinstar-like"
		d.rport = r.IntN(2) == 0
		return d
	case 5:
		d := dialGrandstream(pick(r, "GXW4104 1.4.1.5", "HT813 1.0.17.5", "HT503 1.0.15.5", "UCM6202 1.0.20.20"))
		d.sdpUser = pick(r, "8000", "-", "user")
		return d
	case 6, 7:
		return dialQuiet()
	case 8:
		return deskStack(r)
	}
	return modemStack(r)
}

// modemStack draws software that people put together with radio modems.
func modemStack(r *rand.Rand) *dialect {
	switch r.IntN(5) {
	case 0, 1:
		return dialChanSIP(pick(r, "Asterisk PBX 11.25.3", "Asterisk PBX 13.38.3", "FPBX-2.11.0(11.17.1)", "Asterisk PBX 1.8.32.3", "PBX", ""))
	case 2, 3:
		d := dialPJSIP(pick(r, "Asterisk PBX 16.28.0", "Asterisk PBX 18.9.0", "FPBX-16.0.40.9(18.24.2)", "Asterisk PBX 20.5.2", ""))
		d.lengthGap = " "
		return d
	}
	d := dialKamailio(pick(r, "FreeSWITCH-mod_sofia/1.10.7-release~64bit", "FreeSWITCH-mod_sofia/1.6.20~64bit", "FreeSWITCH", ""))
	d.name, d.server, d.forwards, d.request, d.response = "freeswitch", false, "70", orderSoftphone, orderPJAns
	d.support = "timer, path, replaces"
	return d
}

// deskStack draws a gateway that has the stack, or at least the words, of a desk
// phone.
func deskStack(r *rand.Rand) *dialect {
	switch r.IntN(4) {
	case 0:
		return dialGrandstream(pick(r, "GXP2135 1.0.11.48", "GXP1625 1.0.7.49", "GRP2612 1.0.5.60"))
	case 1:
		return dialFritz(pick(r, "7590 154.07.57", "7490 113.07.29", "7530 164.07.50"))
	case 2: // only the name
		d := dialQuiet()
		d.agent = pick(r, "Cisco/SPA504G-7.6.2b", "snomD345/10.1.64.14", "PolycomVVX-VVX_411-UA/5.9.7", "Yealink SIP-T21P_E2 52.84.0.125", "Htek UC903 V2.0.4")
		return d
	}
	d := dialYealink(pick(r, "SIP-T46S 66.85.0.5", "SIP-T42S 66.85.0.15", "SIP-T19P_E2 53.84.0.15", "SIP-T22P 7.73.0.50", "SIP-T31P 124.86.0.40"))
	d.expires = pick(r, 3600, 600, 300)
	return d
}

// softswitchStack draws the softswitch's.
func softswitchStack(r *rand.Rand) *dialect {
	switch r.IntN(8) {
	case 0, 1, 2:
		return dialVOS(pick(r, "V2.1.2.0", "V2.1.3.2", "V2.1.4.0", "V2.1.6.00", "V2.1.8.00", "V2.1.8.05", "V2.1.9.07"))
	case 3, 4:
		return dialQuietSwitch()
	case 5:
		return dialKamailio(pick(r, "kamailio (5.5.4 (x86_64/linux))", "OpenSIPS (3.2.5 (x86_64/linux))", "sip proxy", ""))
	case 6:
		d := dialQuietSwitch()
		d.agent, d.tag, d.branch = pick(r, "Sippy Softswitch v5.2", "Oasis SBC", "MERA MVTS3G v.4.4.0", ""), hex16, hex16
		return d
	}
	return modemStack(r)
}
