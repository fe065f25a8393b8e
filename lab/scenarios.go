package lab

import (
	"slices"
	"time"
)

// Scenario is one kind of capture that Make can make.
type Scenario struct {
	Name string // as in Options.Scenario
	Text string // one line
	Box  bool   // some line holds a box
	// Class is that of the scenario's main line, the first of its truth, when the
	// scenario is one of those that training and evaluation draw from: every
	// parameter of it is drawn. The others, which show one thing each, leave it
	// empty.
	Class string
	Share float64 // of the class's lines, by weight
	Heavy bool    // its lines carry a lot of voice: what boxes are mistaken for
	Hides string  // what a box hides in, such as HideTunnel; empty for all else

	duration time.Duration
	hiding   bool
	build    func(*sim)
}

// Duration is the virtual time the scenario takes unless told otherwise.
func (s Scenario) Duration() time.Duration { return s.duration }

// Scenarios lists what can be made: those that show one thing each, boxes
// first, those that show it together, then those that are drawn from.
func Scenarios() []Scenario {
	return whole(slices.Concat(Shown(), Together(),
		gatewayScenarios(), controlScenarios(), relayScenarios(), bankScenarios(), messagesScenarios(), originationScenarios(),
		homeScenarios(), conferenceScenarios(), officeScenarios(), pbxScenarios(), hostedScenarios(), adapterScenarios(),
		callcentreScenarios(), carrierScenarios(), breakoutScenarios(), vpnScenarios(), smallcellScenarios(), diallerScenarios(),
		hackedScenarios(), m2mScenarios(), cameraScenarios(), Hiding()))
}

// whole makes room in each class for those that hide: their shares are of the
// class, and leave the others so much less.
func whole(list []Scenario) []Scenario {
	hidden := map[string]float64{}
	for _, s := range list {
		if s.hiding {
			hidden[s.Class] += s.Share
		}
	}
	for i := range list {
		if s := &list[i]; !s.hiding {
			s.Share *= 1 - hidden[s.Class]
		}
	}
	return list
}

// Shown lists the scenarios that show one thing each, boxes first.
func Shown() []Scenario {
	const m = time.Minute
	return []Scenario{
		{Name: "demo", Text: "a dozen lines side by side: three boxes and what they are mistaken for", Box: true, duration: 25 * m, build: demo},
		{Name: "goip-line", Text: "GoIP-8 in line mode: 8 accounts on one socket, SMS-server keepalives with card identities", Box: true, duration: 30 * m, build: func(s *sim) { goipLine(s, 8, nil) }},
		{Name: "goip-group", Text: "GoIP in group mode: one account for each group of channels, nothing but SIP", Box: true, duration: 30 * m, build: goipGroup},
		{Name: "trunk-32", Text: "32-channel trunk gateway: no account, no vendor string, a softswitch abroad, 503 when full", Box: true, duration: 30 * m, build: func(s *sim) { trunkBox(s, 32, nil) }},
		{Name: "disguised-single", Text: "4 to 16 channels behind one account that calls itself a desk phone", Box: true, duration: 30 * m, build: func(s *sim) { disguised(s, pick(s.rng("size"), 4, 8, 16), nil) }},
		{Name: "dinstar", Text: "Dinstar-like gateway: an account for each port, TCP API keepalives", Box: true, duration: 30 * m, build: dinstarBox},
		{Name: "goip-hidden", Text: "gateway whose SIP is scrambled with a fixed keystream, nothing else readable", Box: true, duration: 30 * m, build: hiddenBox},
		{Name: "simbank", Text: "gateway whose cards sit in a SIM bank elsewhere: SMB sessions beside SIP", Box: true, duration: 30 * m, build: bankBox},
		{Name: "h323-gateway", Text: "8 to 32-channel trunk gateway that speaks H.323 and no SIP", Box: true, duration: 30 * m, build: h323Gateway},
		{Name: "ejoin", Text: "Ejoin-like gateway: reports of its cards over HTTP, SIP in Base64", Box: true, duration: 30 * m, build: ejoinBox},
		{Name: "two-slot", Text: "household with a two-slot board that dials by remote command", Box: true, duration: 30 * m, build: twoSlot},
		{Name: "goip-swap", Text: "GoIP-8 whose cards are changed all day: channels stay away one by one, keepalives tell new cards", Box: true, duration: 30 * m, build: goipSwap},
		{Name: "box-household", Text: "trunk gateways in a home where people live and on a line of their own, and a plain household", Box: true, duration: 30 * m, build: lived},
		{Name: "message-box", Text: "multi-SIM box for short messages: handed to it over SIP for ever-new mobiles", Box: true, duration: 30 * m, build: messageBox},
		{Name: "office-nat", Text: "24 phones behind NAT at a hosted exchange: own numbers, busy lamps, repeats, internal calls", duration: 30 * m, build: func(s *sim) { officeNAT(s, 24, 20*time.Second, 70*time.Second) }},
		{Name: "office-ippbx", Text: "office exchange on a trunk: own numbers, anchored media, one clock", duration: 30 * m, build: func(s *sim) { officePBX(s) }},
		{Name: "office-busy", Text: "16 phones with busy lamps and presence, colleagues, holds, people at computers", duration: 30 * m, build: officeBusy},
		{Name: "office-notices", Text: "office exchange that sends short notices to ever-new customers", duration: 30 * m, build: notices},
		{Name: "voice-access", Text: "exchange and home telephone on accesses for voice alone, and a plain household", duration: 30 * m, build: voiceAccess},
		{Name: "camera", Text: "camera site that reports to its platform (GB/T 28181)", duration: 30 * m, build: cameras},
		{Name: "ata-24", Text: "24-port analogue adapter: 24 accounts on one socket, calls to their own numbers", duration: 30 * m, build: func(s *sim) { ata(s, 24, 20*time.Second, 70*time.Second) }},
		{Name: "call-centre-outbound", Text: "dialler calling ever-new mobiles over a trunk", duration: 30 * m, build: func(s *sim) { callCentreOut(s, 8*time.Second, 50*time.Second, pick(s.rng("codec"), pcma, g729)) }},
		{Name: "call-centre-inbound", Text: "many strangers calling a few numbers", duration: 30 * m, build: func(s *sim) { callCentreIn(s) }},
		{Name: "carrier-sbc", Text: "session border controller: every call in and out again", duration: 30 * m, build: func(s *sim) { carrierSBC(s, true, 12*time.Second, 60*time.Second, pick(s.rng("codec"), pcma, g729)) }},
		{Name: "carrier-sbc-elsewhere", Text: "session border controller whose onward legs leave elsewhere", duration: 30 * m, build: func(s *sim) { carrierSBC(s, false, 12*time.Second, 60*time.Second, pick(s.rng("codec"), pcma, g729)) }},
		{Name: "pstn-breakout", Text: "licensed FXO or E1 gateway: mixed callees, repeats, calls from the telephone side", duration: 30 * m, build: func(s *sim) { breakout(s, false) }},
		{Name: "pstn-breakout-dark", Text: "licensed gateway that looks its worst: inbound to ever-new mobiles, nothing else on the line", duration: 30 * m, build: func(s *sim) { breakout(s, true) }},
		{Name: "home-voip", Text: "household with one VoIP line", duration: 60 * m, build: func(s *sim) { homeVoIP(s) }},
		{Name: "home-plain", Text: "household without telephony: web, QUIC, DNS, a game, a chat app's call", duration: 30 * m, build: func(s *sim) { homePlain(s) }},
		{Name: "scanner-victim", Text: "home exchange under a SIP scan", duration: 30 * m, build: func(s *sim) { scannerVictim(s) }},
		{Name: "framed-home", Text: "household at which spoofed calls and gateway keepalives are thrown", duration: 30 * m, build: framedHome},
		{Name: "hacked-pbx", Text: "office exchange over which a thief calls premium numbers", duration: 30 * m, build: hackedPBX},
		{Name: "mobile-dialler", Text: "cheap-calls app on a phone, account abroad", duration: 60 * m, build: func(s *sim) { diallerApp(s, nil) }},
		{Name: "mobile-dialler-hidden", Text: "cheap-calls app on a phone that scrambles its SIP", duration: 60 * m, build: func(s *sim) { diallerApp(s, drawKeystream(s.rng("keystream"))) }},
		{Name: "conference", Text: "voice chat and game server at home", duration: 20 * m, build: conference},
		{Name: "h323-office", Text: "office exchange on an H.323 trunk: own numbers, its people called and calling", duration: 30 * m, build: h323Office},
		{Name: "media-variety", Text: "phones of every kind of media: RTCP both ways, SRTP, fax, comfort noise, other codecs in mid-call, late offers, media proxies elsewhere", duration: 20 * m, build: mediaVariety},
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
