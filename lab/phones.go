package lab

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

var (
	orderSipura  = []string{"Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "*", "Contact", "Expires", "User-Agent", "Content-Length", "Allow", "Supported", "Content-Type"}
	orderPolycom = []string{"Via", "From", "To", "CSeq", "Call-ID", "Contact", "Allow", "User-Agent", "Supported", "*", "Max-Forwards", "Expires", "Content-Type", "Content-Length"}
	orderSnom    = []string{"Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "User-Agent", "Contact", "*", "Allow", "Supported", "Expires", "Content-Type", "Content-Length"}
	orderCisco   = []string{"Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "User-Agent", "*", "Contact", "Expires", "Supported", "Allow", "Content-Length", "Content-Type"}
	orderSofia   = []string{"Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact", "Expires", "User-Agent", "Allow", "Supported", "*", "Content-Type", "Content-Length"}
)

func bigHex(n int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		b := strings.Builder{}
		for b.Len() < n {
			b.WriteString(hex16(r))
		}
		return b.String()[:n]
	}
}

func upperHex8(r *rand.Rand) string { return fmt.Sprintf("%08X", r.Uint32()) }

func pair(r *rand.Rand) string { return fmt.Sprintf("%d %d", 1000+r.IntN(90000), 1000+r.IntN(90000)) }

// dialSipura is the family of Sipura, Linksys and Cisco SPA.
func dialSipura(agent string) *dialect {
	return &dialect{
		name: "sipura", agent: agent, server: true, request: orderSipura, response: orderSipura, forwards: "70",
		allow: "ACK, BYE, CANCEL, INFO, INVITE, NOTIFY, OPTIONS, REFER", support: "x-sipura, replaces", lengthGap: " ",
		branch: before("-", hex8), tag: func(r *rand.Rand) string { return hex16(r) + "o0" },
		callID: atHost(func(r *rand.Rand) string { return hex8(r) + "-" + hex8(r) }),
		cseq:   func(*rand.Rand) int { return 101 }, expires: 240, sdpUser: "-", sdpName: "-", sdpID: pair,
	}
}

func dialPolycom(agent string) *dialect {
	return &dialect{
		name: "polycom", agent: agent, request: orderPolycom, response: orderPolycom, forwards: "70",
		allow:   "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, MESSAGE, SUBSCRIBE, NOTIFY, PRACK, UPDATE, REFER",
		support: "100rel,replaces", lengthGap: " ",
		branch: func(r *rand.Rand) string { return hex8(r) + upperHex8(r) },
		tag:    func(r *rand.Rand) string { return upperHex8(r) + "-" + upperHex8(r) },
		callID: atHost(func(r *rand.Rand) string { return hex8(r) + "-" + hex8(r) + "-" + hex8(r) }),
		cseq:   func(*rand.Rand) int { return 1 }, expires: 3600, sdpUser: "-", sdpName: "Polycom IP Phone", sdpID: unixID,
	}
}

func dialSnom(agent string) *dialect {
	return &dialect{
		name: "snom", agent: agent, request: orderSnom, response: orderSnom, forwards: "70",
		allow:   "INVITE, ACK, CANCEL, BYE, REFER, OPTIONS, NOTIFY, SUBSCRIBE, PRACK, MESSAGE, INFO, UPDATE",
		support: "timer, 100rel, replaces, from-change", rport: true, lengthGap: " ", contactTail: ";line=x5zbqkh4",
		branch: before("-", word(12)), tag: word(10),
		callID: alone(func(r *rand.Rand) string { return bigHex(12)(r) + "-" + word(12)(r) }),
		cseq:   func(*rand.Rand) int { return 1 }, expires: 3600, sdpUser: "root", sdpName: "call",
		sdpID: func(r *rand.Rand) string { n := r.Uint32() >> 2; return fmt.Sprintf("%d %d", n, n) },
	}
}

func dialFanvil(agent string) *dialect {
	d := dialYealink("")
	d.name, d.agent, d.request, d.response = "fanvil", agent, orderGrand, orderOSIPAns
	d.allow = "INVITE, ACK, OPTIONS, BYE, CANCEL, REFER, NOTIFY, INFO, PRACK, UPDATE, MESSAGE, SUBSCRIBE"
	d.support, d.cseq, d.sdpID, d.sdpName = "100rel, replaces, timer", smallCSeq, pair, "A conversation"
	return d
}

// dialCisco is a telephone of the 7900 and 8800 series.
func dialCisco(agent string) *dialect {
	return &dialect{
		name: "cisco", agent: agent, server: true, request: orderCisco, response: orderCisco, forwards: "70",
		allow: "ACK,BYE,CANCEL,INVITE,NOTIFY,OPTIONS,REFER,REGISTER,UPDATE,SUBSCRIBE", support: "replaces,join,sdp-anat,norefersub", lengthGap: " ",
		branch: hex8, tag: func(r *rand.Rand) string { return bigHex(24)(r) + "-" + hex8(r) },
		callID: atHost(func(r *rand.Rand) string {
			return hex8(r) + "-" + hex8(r)[:4] + "0003-" + hex8(r) + "-" + hex8(r)
		}),
		cseq: func(*rand.Rand) int { return 101 }, expires: 3600, sdpUser: "Cisco-SIPUA", sdpName: "SIP Call", sdpID: pair,
	}
}

// dialResip is what softphones on the reSIProcate library write.
func dialResip(agent string) *dialect {
	return &dialect{
		name: "resip", agent: agent, request: orderSoftphone, response: orderSoftphone, forwards: "70",
		allow:   "INVITE, ACK, CANCEL, BYE, REFER, NOTIFY, INFO, MESSAGE, OPTIONS, SUBSCRIBE",
		support: "replaces, outbound", rport: true, lengthGap: " ",
		branch: func(r *rand.Rand) string { return "-524287-1---" + hex16(r) }, tag: hex8,
		callID: alone(word(22)), cseq: func(*rand.Rand) int { return 1 }, expires: 3600,
		sdpUser: "Z", sdpName: "Z", sdpID: func(r *rand.Rand) string { return fmt.Sprintf("%d 1", r.Uint32()) },
	}
}

func dialLinphone(agent string) *dialect {
	return &dialect{
		name: "linphone", agent: agent, request: orderSoftphone, response: orderSoftphone, forwards: "70",
		allow:   "INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO, PRACK, UPDATE",
		support: "replaces, outbound, gruu", rport: true, lengthGap: " ", branch: before(".", word(9)), tag: word(9), callID: alone(word(10)),
		cseq: func(*rand.Rand) int { return 20 }, expires: 3600, sdpUser: "user", sdpName: "Talk", sdpID: pair,
	}
}

// dialBrowser is a web page that telephones with JsSIP or SIP.js.
func dialBrowser(agent string) *dialect {
	return &dialect{
		name: "browser", agent: agent, request: orderSofia, response: orderSofia, forwards: "69",
		allow: "INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY", support: "path,gruu,outbound", lengthGap: " ",
		contactTail: ";transport=ws;ob", branch: func(r *rand.Rand) string { return fmt.Sprint(100000 + r.IntN(9_000_000)) },
		tag: word(10), callID: alone(word(20)), cseq: func(r *rand.Rand) int { return 1 + r.IntN(9000) }, expires: 600,
		sdpUser: "mozilla...THIS_IS_SDPARTA-99.0", sdpName: "-", sdpID: func(r *rand.Rand) string { return fmt.Sprintf("%d 0", r.Uint64()>>2) },
	}
}

// dialSofia is FreeSWITCH and what is built on it.
func dialSofia(agent string) *dialect {
	d := dialKamailio(agent)
	d.name, d.request, d.response, d.forwards = "sofia", orderSofia, orderChanAns, "68"
	d.branch, d.tag = word(13), word(13)
	return d
}

// dialMaker stands for exchanges of the telephone makers: their SIP is
// sparse and names a model.
func dialMaker(r *rand.Rand, agent string) *dialect {
	d := dialQuietSwitch()
	d.name, d.agent, d.server = "maker", agent, true
	d.request, d.response = pick(r, orderSofia, orderCisco, orderPolycom), pick(r, orderSofia, orderVOSAns)
	d.tag, d.branch = pick(r, hex8, hex16, decimal), pick(r, hex16, decimal)
	d.callID = pick(r, atHost(hex16), alone(bigHex(32)), atHost(decimal))
	d.expires = pick(r, 300, 600, 1800, 3600)
	d.sdpUser, d.sdpName, d.sdpID = pick(r, "-", "IPPBX", "MxSIP"), pick(r, "-", "SIP Call", "session"), pick(r, unixID, pair)
	return d
}

// version writes one of the many versions that are about.
func version(r *rand.Rand, format string, n ...int) string {
	v := make([]any, len(n))
	for i := range n {
		v[i] = r.IntN(n[i])
	}
	return fmt.Sprintf(format, v...)
}

// drawPhone draws a desk telephone of one make with a version of its software.
func drawPhone(r *rand.Rand) *dialect {
	switch weighted(r, 34, 18, 11, 8, 7, 9, 4, 3) {
	case 0:
		return dialYealink(pick(r, "SIP-T19P_E2 53", "SIP-T21P_E2 52", "SIP-T23G 44", "SIP-T31P 124", "SIP-T42S 66", "SIP-T46S 66", "SIP-T54W 96", "SIP-T22P 7", "W52P 25", "W60B 77") + version(r, ".%d.0.%d", 90, 130))
	case 1:
		return dialGrandstream(pick(r, "GXP1625 1.0.", "GXP2135 1.0.", "GXP2170 1.0.", "GRP2614 1.0.", "GXP1405 1.0.", "DP750 1.0.") + version(r, "%d.%d", 14, 99))
	case 2:
		return dialFanvil(pick(r, "Fanvil X3S 2.", "Fanvil X4 2.", "Fanvil X5U 2.", "Fanvil X3U 2.", "Fanvil C58P 2.") + version(r, "%d.%d.%d", 15, 9, 9999))
	case 3:
		return dialSipura(pick(r, "Cisco/SPA504G-7.", "Cisco/SPA303-7.", "Cisco/SPA525G2-7.", "Linksys/SPA922-6.", "Linksys/SPA941-5.") + version(r, "%d.%d(%03d)", 7, 9, 30))
	case 4:
		return dialPolycom(pick(r, "PolycomSoundPointIP-SPIP_331-UA/3.3.", "PolycomVVX-VVX_411-UA/5.9.", "PolycomVVX-VVX_250-UA/6.3.", "PolycomSoundPointIP-SPIP_550-UA/4.0.") + version(r, "%d.%04d", 12, 9999))
	case 5:
		d := dialYealink("")
		d.name, d.agent, d.sdpName, d.sdpUser = "house brand", pick(r, "", "", "VoIP Phone 1.1", "SIP Phone V2", "eyeBeam IP Phone", "Escene ES290 V2.0"), pick(r, "-", "SIP Call", "A call"), pick(r, "-", "user", "root")
		d.cseq, d.sdpID = pick(r, smallCSeq, largeCSeq), pick(r, unixID, pair)
		return d
	case 6:
		return dialSnom(pick(r, "snom370/8.7.", "snom320/8.7.", "snomD715/8.9.", "snomD785/10.1.", "snom821/8.9.") + version(r, "%d.%d", 6, 90))
	}
	return dialCisco(pick(r, "Cisco-CP7965G/9.", "Cisco-CP8841/12.", "Cisco-CP7821/11.", "Cisco-CP7942G/9.") + version(r, "%d.%d", 5, 9))
}

// drawSoftphone draws a program on a computer or on a mobile phone.
func drawSoftphone(r *rand.Rand) *dialect {
	switch r.IntN(6) {
	case 0:
		return dialResip(pick(r, "Z 5.", "Zoiper rv2.") + version(r, "%d.%d rv2.10.%d", 7, 20, 25))
	case 1:
		d := dialResip(pick(r, "Bria 6.", "X-Lite release 5.", "Bria iOS release 4.") + version(r, "%d.%d stamp %d", 9, 9, 110000))
		d.sdpUser, d.sdpName = "-", "-"
		return d
	case 2:
		return dialLinphone(pick(r, "Linphone/3.12.0 (belle-sip/1.", "LinphoneAndroid/4.5.1 (belle-sip/5.", "Linphone Desktop/4.4 (belle-sip/5.") + version(r, "%d.%d)", 7, 9))
	case 3:
		return dialApp(version(r, "MicroSIP/3.%d.%d", 22, 9))
	case 4:
		return dialApp(pick(r, "Acrobits/6.", "Groundwire/6.", "PortSIP UC Client  Android - 11.") + version(r, "%d.%d", 12, 9))
	}
	return dialApp(pick(r, "", "Telephone 1."+version(r, "%d", 6), "PJSUA v2."+version(r, "%d Linux-5.4/x86_64", 14)))
}

// drawPBX draws an exchange that an office owns.
func drawPBX(r *rand.Rand) *dialect {
	switch weighted(r, 22, 22, 12, 10, 8, 10, 16) {
	case 0:
		return dialChanSIP(pick(r, "Asterisk PBX 1.8.", "Asterisk PBX 11.", "Asterisk PBX 13.", "Asterisk PBX 16.", "FPBX-2.11.0(11.") + version(r, "%d.%d", 38, 4))
	case 1:
		return dialPJSIP(pick(r, "Asterisk PBX 16.", "Asterisk PBX 18.", "Asterisk PBX 20.", "FPBX-16.0.40.", "FPBX-15.0.") + version(r, "%d.%d", 30, 9))
	case 2:
		return dialPJSIP(pick(r, "Yeastar S20 30.", "Yeastar S50 30.", "Yeastar P550 37.", "Grandstream UCM6202V1.6A 1.0.", "Grandstream UCM6304 1.0.", "ZYCOO CooVox-") + version(r, "%d.%d.%d", 20, 9, 40))
	case 3:
		return dialSofia(pick(r, "FreeSWITCH-mod_sofia/1.10.", "FreeSWITCH-mod_sofia/1.8.", "FusionPBX ", "FreeSWITCH") + version(r, "%d", 12))
	case 4:
		d := dialResip(version(r, "3CXPhoneSystem %d.0.%d.%d", 20, 9, 60000))
		d.name, d.server, d.sdpUser, d.sdpName = "3cx", true, "3cxPS", "3cxPS Audio call"
		return d
	case 5:
		d := dialQuiet()
		d.name = "nameless exchange"
		d.request = pick(r, orderOSIP, orderPJ, orderSofia)
		d.tag, d.branch = pick(r, hex8, decimal, word(10)), pick(r, hex16, decimal)
		return d
	}
	return dialMaker(r, pick(r, "IP Office 11.0.4.2.0", "Panasonic-MPR08-KX-NS500/VSIPGW", "KX-TDE/V5.0", "OpenScape Business V2", "OmniPCX Office", "Mitel Border GW/4.1", "Huawei SoftX U1981", "NEC-i SV9100", "Avaya CM/R017x.00", "ZTE IPPBX", "MX60E Rev.2.1", "Cisco-CUCM11.5", ""))
}

// drawAdapter draws an analogue adapter of n ports.
func drawAdapter(r *rand.Rand, n int) *dialect {
	small := n <= 8
	switch weighted(r, 30, 20, 10, 15, 15, 10) {
	case 0:
		if small {
			return dialGrandstream(pick(r, "HT801 1.0.", "HT802 1.0.", "HT814 1.0.", "HT818 1.0.", "HT503 1.0.", "HT701 1.0.") + version(r, "%d.%d", 60, 20))
		}
		return dialGrandstream(version(r, "GXW42"+fmt.Sprintf("%02d", n)+" 1.0.%d.%d", 30, 99))
	case 1:
		return dialSipura(pick(r, "Cisco/SPA122-1.4.", "Cisco/SPA112-1.4.", "Linksys/PAP2T-3.1.", "Linksys/SPA2102-5.2.", "Cisco/ATA191-11.1.", "Cisco/SPA8000-6.1.") + version(r, "%d(%03d)", 16, 20))
	case 2:
		if small {
			return dialFritz(pick(r, "7490 113.", "7530 164.", "7590 154.", "7390 84.") + version(r, "07.%02d", 60))
		}
		fallthrough
	case 3:
		return dialMaker(r, pick(r, "Audiocodes-Sip-Gateway-MP-118 FXS/v.6.60A.2", "Audiocodes-Sip-Gateway-MP-124 FXS/v.6.40A.07", "Patton SN4118 JS EUI R6.T 2019", "MX8 Rev.1.4", "MX120G Rev.3.1", "Vega 50/11.0", "Mediatrix 4124/v5.0"))
	case 4: // makers of gateways make adapters as well, and write alike
		d := dialQuiet()
		d.name = "adapter of a gateway maker"
		d.agent = pick(r, "", "", "dag 1000-8S v4.1", "DAG2000-32S 2.21", "FXS Gateway V1.1", "VoIP Gateway", "TA800 40.19")
		d.expires = pick(r, 60, 120, 300, 1800)
		return d
	}
	d := dialFanvil("")
	d.name = "nameless adapter"
	return d
}

// drawServer draws what a provider's exchange or proxy writes.
func drawServer(r *rand.Rand) *dialect {
	switch r.IntN(7) {
	case 0, 1:
		return dialKamailio(pick(r, "kamailio (5.6.2 (x86_64/linux))", "OpenSIPS (3.1.5 (x86_64/linux))", "kamailio (4.4.7 (x86_64/linux))", "Sip EXpress router"))
	case 2:
		return dialSofia("FreeSWITCH-mod_sofia/1.10." + version(r, "%d-release", 12))
	case 3:
		return dialPJSIP(version(r, "Asterisk PBX 18.%d.%d", 25, 3))
	case 4:
		return dialMaker(r, pick(r, "BroadWorks", "HUAWEI SoftX3000", "ZTE Softswitch/1.0.0", "Cataleya", "Metaswitch SBC", "Oracle SBC", ""))
	case 5:
		return dialVOS(pick(r, "V2.1.8.05", "V2.1.9.07", "V2.1.6.00"))
	}
	return dialQuietSwitch()
}
