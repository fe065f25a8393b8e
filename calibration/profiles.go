package calibration

import "strings"

// startOf names the profile of its class (for a box type, the group) in which
// the lines of a scenario begin, before their own history moves them. It is
// empty for the first of its class.
func startOf(class, scenario string) string {
	for _, s := range starts() {
		if s.class == class && strings.HasPrefix(scenario, s.scenario) {
			return s.profile
		}
	}
	return ""
}

type start struct{ class, scenario, profile string }

// starts lists, for each class, beginnings of scenarios' names; the first that
// fits holds.
func starts() []start {
	return []start{
		{"gateway", "control-", "control"}, {"gateway", "box-low", "slow"}, {"gateway", "box-hbs", "slow"}, {"gateway", "thin-", "slow"}, {"gateway", "hide-", "hidden"},
		{"sim-bank", "bank-site", "site"},
		{"message-box", "message-sip-voice", "voice"}, {"message-box", "message-smpp-voice", "voice"},
		{"two-slot-relay", "relay-busy", "busy"},

		{"home", "home-telephone", "telephone"}, {"home", "home-elderly", "telephone"}, {"home", "home-work", "telephone"},
		{"home", "home-busy", "telephone"}, {"home", "home-server", "telephone"}, {"home", "home-lodging", "many"}, {"home", "home-agent", "many"},
		{"office-phones", "office-depot", "outward"}, {"office-phones", "office-agents", "outward"}, {"office-phones", "office-taxi", "outward"},
		{"hosted-pbx", "hosted-sales", "outward"},
		{"anchored-pbx", "pbx-forwarding", "forwarding"}, {"anchored-pbx", "pbx-masking", "forwarding"}, {"anchored-pbx", "pbx-callback", "forwarding"},
		{"anchored-pbx", "pbx-mobile", "mobile-numbers"}, {"anchored-pbx", "pbx-cellular", "cellular"},
		{"fxs-adapter", "adapter-hotel", "many"}, {"fxs-adapter", "adapter-dormitory", "many"}, {"fxs-adapter", "adapter-house", "many"}, {"fxs-adapter", "adapter-booth", "many"},
		{"call-centre", "callcentre-inbound", "inbound"}, {"call-centre", "callcentre-blended", "blended"}, {"call-centre", "callcentre-remote", "blended"},
		{"carrier-sbc", "carrier-elsewhere", "elsewhere"}, {"carrier-sbc", "carrier-encrypted", "encrypted-onward"}, {"carrier-sbc", "carrier-tunnel", "encrypted-onward"},
		{"carrier-sbc", "carrier-media", "media"}, {"carrier-sbc", "carrier-retail", "retail"},
		{"pstn-breakout", "breakout-termination", "termination"}, {"pstn-breakout", "breakout-local", "local"}, {"pstn-breakout", "breakout-alarm", "local"}, {"pstn-breakout", "breakout-dark", "dark"},
		{"vpn-office", "vpn-voice", "voice"}, {"vpn-office", "vpn-phones", "voice"}, {"vpn-office", "vpn-hub", "voice"}, {"vpn-office", "vpn-trunk", "voice"}, {"vpn-office", "twin-vpn", "voice"}, {"vpn-office", "twin-home", "voice"},
		{"mobile-dialler", "dialler-shop", "shop"}, {"mobile-dialler", "twin-dialler-shop", "shop"},
		{"hacked-pbx", "hacked-through", "through"}, {"hacked-pbx", "hacked-breakout", "breakout"},
		{"m2m-test-farm", "m2m-farm", "farm"}, {"m2m-test-farm", "m2m-probe", "probe"},
		{"camera-platform", "camera-talk", "talk"},
		{"scanner-victim", "victim-pbx", "answers"},
	}
}
