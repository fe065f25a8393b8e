package packet

// Reason says why something was not handed on, or what was odd about what was.
// The order matters: ignored, malformed, lost later, merely noted.
type Reason uint8

// Nothing of interest; the result is Ignored.
const (
	UnknownLink  Reason = iota // a link type that is not decoded
	NotARP                     // ARP or RARP
	NotLLC                     // IEEE 802.3 with something else than IP over SNAP
	NotDiscovery               // PPPoE discovery (EtherType 0x8863)
	NotPPP                     // PPP control protocols, compressed or other payload
	NotMPLS                    // an MPLS payload that is neither IP nor Ethernet
	NotMACsec                  // IEEE 802.1AE, encrypted
	NotType                    // any other EtherType
	NotGRE                     // GRE with source routes, with another payload or, in PPTP, none
	NotL2TP                    // L2TP over IP: control, or a payload in which no IP is found for certain
	NotICMP                    // ICMP and ICMPv6
	NotIGMP                    // IGMP
	NotSCTP                    // SCTP
	NotESP                     // ESP
	NoNextHeader               // IPv6 "no next header"
	NotUDPOrTCP                // any other IP protocol
	firstMalformed
)

// The frame contradicts itself or ends too early; the result is Malformed.
const (
	LinkCut        = firstMalformed + iota // the link header is cut
	VLANCut                                // a VLAN tag is cut
	PPPoECut                               // the PPPoE header is cut
	PPPCut                                 // the PPP header is cut
	PPPoEBad                               // PPPoE of another version, or with a code that is no session's
	MPLSCut                                // the label stack is cut or has no end
	VersionBad                             // raw IP that is neither version 4 nor 6
	IPv4Cut                                // the IPv4 header is cut
	IPv4Bad                                // its version or header length is wrong
	IPv4Length                             // its total length is below its header length
	IPv6Cut                                // the IPv6 header is cut
	IPv6Bad                                // its version is wrong
	ExtensionCut                           // an extension or authentication header is cut
	ExtensionBad                           // its length is impossible
	GRECut                                 // the GRE or ERSPAN header is cut
	EtherIPBad                             // EtherIP of another version
	UDPCut                                 // the UDP header is cut
	UDPLength                              // its length is between 1 and 7
	TCPCut                                 // the TCP header is cut within its first 20 bytes
	TCPBad                                 // its data offset is impossible
	TooManyHeaders                         // more headers than the limit
	firstLost
)

// Lost behind the decoder.
const (
	FragmentEmpty      = firstLost + iota // a fragment without data
	FragmentMisaligned                    // not the last, and no multiple of 8 bytes
	FragmentBeyond                        // reaches beyond 65535 bytes
	FragmentCut                           // cut by a snap length
	FragmentConflict                      // a datagram dropped: fragments contradict each other (IPv4), overlap (IPv6), or disagree about its end
	FragmentTooMany                       // a datagram dropped: more fragments than the limit
	FragmentTableFull                     // a datagram dropped: it was the oldest when another came
	FragmentMemoryFull                    // a datagram dropped: it was the oldest when memory ran out
	FragmentTimeout                       // a datagram dropped: not complete in time
	FragmentLate                          // a fragment of a datagram that was dropped before
	StreamTableFull                       // a stream given up: it was the least recently used when another came
	SegmentFar                            // a segment far outside the stream
	SegmentAfterEnd                       // a segment behind the sender's FIN
	SegmentCut                            // a segment cut by a snap length, whose rest is a gap
	GapTimeout                            // a gap skipped: it did not close in time
	GapStreamFull                         // a gap skipped: the stream holds as much as it may
	GapMemoryFull                         // a gap skipped: all streams together hold as much as they may
	GapEnd                                // a gap skipped: the stream ended
	firstNoted
)

// Odd, but nothing was lost.
const (
	IPLengthZero         = firstNoted + iota // IP length 0 (segmentation offload): the frame's is used
	IPLengthLong                             // IP length beyond the frame: the frame's is used
	UDPLengthZero                            // UDP length 0: the IP length is used
	UDPLengthLong                            // UDP length beyond the IP length, which is used
	PPPoELengthLong                          // PPPoE length beyond the frame: the frame's is used
	PPTPLengthLong                           // PPTP length beyond the frame: the frame's is used
	NotTunnel                                // UDP on a tunnel's port that is no such tunnel with IP in it: handed on as UDP
	FragmentDuplicate                        // a fragment seen before
	SegmentRetransmitted                     // a TCP segment seen before
	SegmentKeepalive                         // a TCP keepalive probe
	SegmentHeld                              // a segment out of order, kept for a while
	StreamRestarted                          // a stream taken up anew elsewhere in its sequence
	StreamIdle                               // a stream forgotten after silence
	reasons
)

// Counters counts by Reason. The zero value is ready; it is for one goroutine,
// and Merge adds what several counted.
type Counters [reasons]uint64

// Merge adds o to c.
func (c *Counters) Merge(o *Counters) {
	for i, n := range o {
		c[i] += n
	}
}

// Loss says whether r means that something on the wire was not understood or
// not handed on although it might have mattered.
func (r Reason) Loss() bool { return r == UnknownLink || r >= firstMalformed && r < firstNoted }

// String names r as a closing summary prints it.
func (r Reason) String() string {
	if r >= reasons {
		return "unknown reason"
	}
	return [reasons]string{
		UnknownLink:          "unknown link type",
		NotARP:               "not ip: arp",
		NotLLC:               "not ip: 802.3",
		NotDiscovery:         "not ip: pppoe discovery",
		NotPPP:               "not ip: ppp control",
		NotMPLS:              "not ip: mpls payload",
		NotMACsec:            "not ip: macsec",
		NotType:              "not ip: other ethertype",
		NotGRE:               "not ip: gre payload",
		NotL2TP:              "not ip: l2tp payload",
		NotICMP:              "not udp or tcp: icmp",
		NotIGMP:              "not udp or tcp: igmp",
		NotSCTP:              "not udp or tcp: sctp",
		NotESP:               "not udp or tcp: esp",
		NoNextHeader:         "not udp or tcp: no next header",
		NotUDPOrTCP:          "not udp or tcp: other protocol",
		LinkCut:              "link header cut",
		VLANCut:              "vlan tag cut",
		PPPoECut:             "pppoe header cut",
		PPPCut:               "ppp header cut",
		PPPoEBad:             "pppoe header bad",
		MPLSCut:              "mpls labels cut",
		VersionBad:           "ip version bad",
		IPv4Cut:              "ipv4 header cut",
		IPv4Bad:              "ipv4 header bad",
		IPv4Length:           "ipv4 length bad",
		IPv6Cut:              "ipv6 header cut",
		IPv6Bad:              "ipv6 header bad",
		ExtensionCut:         "ip extension header cut",
		ExtensionBad:         "ip extension header bad",
		GRECut:               "gre header cut",
		EtherIPBad:           "etherip header bad",
		UDPCut:               "udp header cut",
		UDPLength:            "udp length bad",
		TCPCut:               "tcp header cut",
		TCPBad:               "tcp header bad",
		TooManyHeaders:       "too many headers",
		FragmentEmpty:        "fragment empty",
		FragmentMisaligned:   "fragment length not a multiple of 8",
		FragmentBeyond:       "fragment beyond 65535 bytes",
		FragmentCut:          "fragment cut by the snap length",
		FragmentConflict:     "fragments conflict, datagram dropped",
		FragmentTooMany:      "too many fragments, datagram dropped",
		FragmentTableFull:    "fragment table full",
		FragmentMemoryFull:   "fragment memory full",
		FragmentTimeout:      "fragments missing after the time limit",
		FragmentLate:         "fragment of a dropped datagram",
		StreamTableFull:      "tcp stream table full",
		SegmentFar:           "tcp segment far out of sequence",
		SegmentAfterEnd:      "tcp segment after the end",
		SegmentCut:           "tcp segment cut by the snap length",
		GapTimeout:           "tcp gap open after the time limit",
		GapStreamFull:        "tcp gap open with the stream's buffer full",
		GapMemoryFull:        "tcp gap open with all buffers full",
		GapEnd:               "tcp gap open at the end",
		IPLengthZero:         "ip length zero",
		IPLengthLong:         "ip length beyond the frame",
		UDPLengthZero:        "udp length zero",
		UDPLengthLong:        "udp length beyond ip",
		PPPoELengthLong:      "pppoe length beyond the frame",
		PPTPLengthLong:       "pptp length beyond the frame",
		NotTunnel:            "udp on a tunnel's port, no tunnel",
		FragmentDuplicate:    "fragment repeated",
		SegmentRetransmitted: "tcp segment retransmitted",
		SegmentKeepalive:     "tcp keepalive probe",
		SegmentHeld:          "tcp segment out of order",
		StreamRestarted:      "tcp stream taken up anew",
		StreamIdle:           "tcp stream idle",
	}[r]
}
