package lab

import "time"

// Scenario is one kind of capture that Make can make.
type Scenario struct {
	Name string // as in Options.Scenario
	Text string // one line
	Box  bool   // some line holds a box

	duration time.Duration
	build    func(*sim)
}

// Duration is the virtual time the scenario takes unless told otherwise.
func (s Scenario) Duration() time.Duration { return s.duration }

// Scenarios lists what can be made, boxes first.
func Scenarios() []Scenario {
	const m = time.Minute
	return []Scenario{
		{"demo", "a dozen lines side by side: three boxes and what they are mistaken for", true, 25 * m, demo},
		{"goip-line", "GoIP-8 in line mode: 8 accounts on one socket, SMS-server keepalives with card identities", true, 30 * m, func(s *sim) { goipLine(s, 8, nil) }},
		{"goip-group", "GoIP in group mode: one account for each group of channels, nothing but SIP", true, 30 * m, goipGroup},
		{"trunk-32", "32-channel trunk gateway: no account, no vendor string, a softswitch abroad, 503 when full", true, 30 * m, func(s *sim) { trunkBox(s, 32, nil) }},
		{"disguised-single", "4 to 16 channels behind one account that calls itself a desk phone", true, 30 * m, func(s *sim) { disguised(s, pick(s.rng("size"), 4, 8, 16), nil) }},
		{"dinstar", "Dinstar-like gateway: an account for each port, TCP API keepalives", true, 30 * m, dinstarBox},
		{"goip-hidden", "gateway whose SIP is scrambled with a fixed keystream, nothing else readable", true, 30 * m, hiddenBox},
		{"simbank", "gateway whose cards sit in a SIM bank elsewhere: SMB sessions beside SIP", true, 30 * m, bankBox},
		{"h323-gateway", "8 to 32-channel trunk gateway that speaks H.323 and no SIP", true, 30 * m, h323Gateway},
		{"ejoin", "Ejoin-like gateway: reports of its cards over HTTP, SIP in Base64", true, 30 * m, ejoinBox},
		{"two-slot", "household with a two-slot board that dials by remote command", true, 30 * m, twoSlot},
		{"goip-swap", "GoIP-8 whose cards are changed all day: channels stay away one by one, keepalives tell new cards", true, 30 * m, goipSwap},
		{"box-household", "trunk gateways in a home where people live and on a line of their own, and a plain household", true, 30 * m, lived},
		{"message-box", "multi-SIM box for short messages: handed to it over SIP for ever-new mobiles", true, 30 * m, messageBox},
		{"office-nat", "24 phones behind NAT at a hosted exchange: own numbers, busy lamps, repeats, internal calls", false, 30 * m, func(s *sim) { officeNAT(s, 24, 20*time.Second, 70*time.Second) }},
		{"office-ippbx", "office exchange on a trunk: own numbers, anchored media, one clock", false, 30 * m, func(s *sim) { officePBX(s) }},
		{"office-busy", "16 phones with busy lamps and presence, colleagues, holds, people at computers", false, 30 * m, officeBusy},
		{"office-notices", "office exchange that sends short notices to ever-new customers", false, 30 * m, notices},
		{"voice-access", "exchange and home telephone on accesses for voice alone, and a plain household", false, 30 * m, voiceAccess},
		{"camera", "camera site that reports to its platform (GB/T 28181)", false, 30 * m, cameras},
		{"ata-24", "24-port analogue adapter: 24 accounts on one socket, calls to their own numbers", false, 30 * m, func(s *sim) { ata(s, 24, 20*time.Second, 70*time.Second) }},
		{"call-centre-outbound", "dialler calling ever-new mobiles over a trunk", false, 30 * m, func(s *sim) { callCentreOut(s, 8*time.Second, 50*time.Second, pick(s.rng("codec"), pcma, g729)) }},
		{"call-centre-inbound", "many strangers calling a few numbers", false, 30 * m, func(s *sim) { callCentreIn(s) }},
		{"carrier-sbc", "session border controller: every call in and out again", false, 30 * m, func(s *sim) { carrierSBC(s, true, 12*time.Second, 60*time.Second, pick(s.rng("codec"), pcma, g729)) }},
		{"carrier-sbc-elsewhere", "session border controller whose onward legs leave elsewhere", false, 30 * m, func(s *sim) { carrierSBC(s, false, 12*time.Second, 60*time.Second, pick(s.rng("codec"), pcma, g729)) }},
		{"pstn-breakout", "licensed FXO or E1 gateway: mixed callees, repeats, calls from the telephone side", false, 30 * m, func(s *sim) { breakout(s, false) }},
		{"pstn-breakout-dark", "licensed gateway that looks its worst: inbound to ever-new mobiles, nothing else on the line", false, 30 * m, func(s *sim) { breakout(s, true) }},
		{"home-voip", "household with one VoIP line", false, 60 * m, func(s *sim) { homeVoIP(s) }},
		{"home-plain", "household without telephony: web, QUIC, DNS, a game, a chat app's call", false, 30 * m, func(s *sim) { homePlain(s) }},
		{"scanner-victim", "home exchange under a SIP scan", false, 30 * m, func(s *sim) { scannerVictim(s) }},
		{"framed-home", "household at which spoofed calls and gateway keepalives are thrown", false, 30 * m, framedHome},
		{"hacked-pbx", "office exchange over which a thief calls premium numbers", false, 30 * m, hackedPBX},
		{"mobile-dialler", "cheap-calls app on a phone, account abroad", false, 60 * m, func(s *sim) { diallerApp(s, nil) }},
		{"mobile-dialler-hidden", "cheap-calls app on a phone that scrambles its SIP", false, 60 * m, func(s *sim) { diallerApp(s, drawKeystream(s.rng("keystream"))) }},
		{"conference", "voice chat and game server at home", false, 20 * m, conference},
		{"h323-office", "office exchange on an H.323 trunk: own numbers, its people called and calling", false, 30 * m, h323Office},
		{"media-variety", "phones of every kind of media: RTCP both ways, SRTP, fax, comfort noise, other codecs in mid-call, late offers, media proxies elsewhere", false, 20 * m, mediaVariety},
	}
}

func find(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}

// demo puts boxes and lookalikes side by side, with loads that keep the file
// small and still give every box some fifty calls.
func demo(s *sim) {
	goipLine(s, 8, &load{gap: 12 * time.Second, asr: 0.55, talk: 40 * time.Second})
	trunkBox(s, 32, &load{gap: 11 * time.Second, asr: 0.5, talk: 40 * time.Second, rush: true})
	disguised(s, 8, &load{gap: 13 * time.Second, asr: 0.55, talk: 40 * time.Second})
	officeNAT(s, 24, 24*time.Second, 45*time.Second)
	ata(s, 24, 26*time.Second, 45*time.Second)
	callCentreOut(s, 9*time.Second, 40*time.Second, g729)
	carrierSBC(s, true, 18*time.Second, 40*time.Second, g729)
	scannerVictim(s)
	homePlain(s)
	homePlain(s)
	homeVoIP(s)
	homeVoIP(s)
}
