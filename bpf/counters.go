package bpf

// The counters of kernel/counters.h, in its order. The names here are those that
// are shown, equal in C, in Go and in docs/bpf.md.
const (
	notIP = iota
	notTransport
	esp
	pptpSealed
	malformed
	fragments
	leftLink
	leftTags
	leftLabels
	leftExtensions
	leftTunnel
	leftHeld
	leftCut
	tcpSegments
	udpEmpty
	udpLarge
	starts
	accounted
	recordsRefused
	backwards
	headerCut
	startsKept
	records
	flowsIdle
	intervals
	intervalsLost
	sparse
	sparsePackets
	waysOpened
	waysClosed
	waysRefused
	wayIntervals
	wayIntervalsLost
	waysPaired
	waysAlone
	bareBegun
	bareRefused
	upSIP
	upControl
	upRTCP
	upFragment
	upFirst
	upSYN
	upHello
	upDNS
	upHTTP
	upFollow
	upLeft
	upSample
	limitedSource
	limitedSYN
	limitedHello
	limitedDNS
	limitedHTTP
	limitedLeft
	limitedFirst
	limitedFragment
	framesLost
	unheard
	numCounters
)

// counterNames gives the names of the counters in their order.
func counterNames() [numCounters]string {
	return [numCounters]string{
		notIP: "not_ip", notTransport: "not_transport", esp: "esp", pptpSealed: "pptp", malformed: "malformed", fragments: "fragments",
		leftLink: "left_link", leftTags: "left_tags", leftLabels: "left_labels", leftExtensions: "left_extensions",
		leftTunnel: "left_tunnel", leftHeld: "left_held", leftCut: "left_cut", tcpSegments: "tcp_segments",
		udpEmpty: "udp_empty", udpLarge: "udp_large",
		starts: "starts", accounted: "accounted", recordsRefused: "records_refused",
		backwards: "backwards", headerCut: "header_cut", startsKept: "starts_kept", records: "records", flowsIdle: "flows_idle",
		intervals: "intervals", intervalsLost: "intervals_lost", sparse: "sparse", sparsePackets: "sparse_packets",
		waysOpened: "ways_opened", waysClosed: "ways_closed", waysRefused: "ways_refused",
		wayIntervals: "way_intervals", wayIntervalsLost: "way_intervals_lost",
		waysPaired: "ways_paired", waysAlone: "ways_alone", bareBegun: "bare_begun", bareRefused: "bare_refused",
		upSIP: "up_sip", upControl: "up_control", upRTCP: "up_rtcp", upFragment: "up_fragment", upFirst: "up_first",
		upSYN: "up_syn", upHello: "up_hello", upDNS: "up_dns", upHTTP: "up_http", upFollow: "up_follow",
		upLeft: "up_left", upSample: "up_sample",
		limitedSource: "limited_source", limitedSYN: "limited_syn", limitedHello: "limited_hello", limitedDNS: "limited_dns",
		limitedHTTP: "limited_http", limitedLeft: "limited_left", limitedFirst: "limited_first",
		limitedFragment: "limited_fragment", framesLost: "frames_lost", unheard: "unheard",
	}
}

// lossCounters are those of them that are losses: what was seen and not looked
// at, or not whole.
func lossCounters() []int {
	return []int{
		malformed, leftCut, headerCut, recordsRefused, intervalsLost, waysRefused, wayIntervalsLost, bareRefused,
		limitedSource, limitedSYN, limitedHello, limitedDNS, limitedHTTP, limitedLeft, limitedFirst, limitedFragment, framesLost,
	}
}
