package pipeline

import (
	"simtrap/control"
	"simtrap/h323"
	"simtrap/hidden/hello"
	"simtrap/hidden/tunnel"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sip"
)

// losses lists everything that was passed over or given up, in the order of
// the stages. What is merely not ours (other protocols, foreign TCP) is no
// loss.
func (r *run) losses() []Loss {
	var out []Loss
	add := func(stage, reason string, n uint64) {
		if n > 0 {
			out = append(out, Loss{stage, reason, n})
		}
	}
	var decode packet.Counters
	// All workers see the same frames; one of them speaks for all.
	decode.Merge(&r.workers[0].decoder.Counters)
	decode.Merge(&r.workers[0].defrag.Counters)

	var shard shardLosses
	var framer sip.FramerStats
	var socket sip.WebSocketStats
	var tpkt h323.FramerStats
	var media rtp.Counters
	var set control.Stats
	var hidden sip.HiddenCounters
	var gates tunnel.GateCounters
	var veiled sip.ScrambledCounters
	var steps, checks uint64
	var opened hello.Tunnels
	var hands hello.HandshakeCounters
	for _, s := range r.shards {
		if s == nil {
			continue
		}
		decode.Merge(&s.streams.Counters)
		shard.doubled += s.lost.doubled
		shard.tunnelsTwice += s.lost.tunnelsTwice
		shard.echoed += s.lost.echoed
		shard.unparsed += s.lost.unparsed
		shard.truncated += s.lost.truncated
		shard.unframed += s.lost.unframed
		shard.reportsMany += s.lost.reportsMany
		shard.reportsCut += s.lost.reportsCut
		shard.reportsBroken += s.lost.reportsBroken
		shard.reportsReduced += s.lost.reportsReduced
		shard.reportsSecret += s.lost.reportsSecret
		framer.TooLong += s.framer.TooLong
		framer.Skipped += s.framer.Skipped
		shard.trailing += s.lost.trailing
		shard.unreadQ931 += s.lost.unreadQ931
		shard.unreadRAS += s.lost.unreadRAS
		tpkt.Other += s.tpkt.Other
		tpkt.TooLong += s.tpkt.TooLong
		tpkt.Skipped += s.tpkt.Skipped
		socket.Compressed += s.socket.Compressed
		socket.Other += s.socket.Other
		socket.TooLong += s.socket.TooLong
		socket.Broken += s.socket.Broken
		socket.Skipped += s.socket.Skipped
		m := s.media.Counters()
		media.Cut += m.Cut
		media.StartsForgotten += m.StartsForgotten
		media.Evicted += m.Evicted
		c := s.control.Stats()
		set.Refused += c.Refused
		set.GaveUp += c.GaveUp
		set.Full += c.Full
		set.Garbage += c.Garbage
		set.Unsound += c.Unsound
		set.Doubtful += c.Doubtful
		g := s.gates.Counters()
		gates.Evicted += g.Evicted
		gates.Crowded += g.Crowded
		hidden.Evicted += s.hidden.Counters.Evicted
		hidden.Crowded += s.hidden.Counters.Crowded
		hidden.Echoed += s.hidden.Counters.Echoed
		veiled.Evicted += s.veiled.Counters.Evicted
		veiled.Crowded += s.veiled.Counters.Crowded
		steps += s.tls.tls.crowded
		checks += s.tls.paths.crowded
		opened.Displaced += s.hellos.tunnels.Displaced
		x := &s.hellos.handshakes.Counters
		hands.Displaced += x.Displaced
		hands.Crowded += x.Crowded
		hands.TooLong += x.TooLong
		hands.Holes += x.Holes
		hands.Broken += x.Broken
	}
	for i, n := range decode {
		if reason := packet.Reason(i); reason.Loss() {
			add("decode", reason.String(), n)
		}
	}
	add("sip", "datagrams seen again within 50 ms (a doubled mirror), counted once", shard.doubled)
	add("sip", "datagrams sent back as they came, by a service that does so, left aside", shard.echoed)
	add("sip", "datagrams that begin like SIP and cannot be read", shard.unparsed)
	add("sip", "messages cut by a snap length, read as far as they go", shard.truncated)
	add("sip", "messages on streams above 64 KiB", framer.TooLong)
	add("sip", "unfinished messages on streams dropped: memory full", shard.unframed)
	add("sip", "bytes passed over in search of a start line", framer.Skipped)
	add("sip", "datagrams with more behind the message than it says, not read", shard.trailing)
	add("sip", "compressed WebSocket messages, not read", socket.Compressed)
	add("sip", "WebSocket messages that are no SIP", socket.Other)
	add("sip", "WebSocket messages above 64 KiB", socket.TooLong)
	add("sip", "WebSocket messages without their beginning or their end", socket.Broken)
	add("sip", "bytes passed over in search of a WebSocket frame", socket.Skipped)
	t := r.join.tracker.Counters()
	add("sip", "messages without a Call-ID", t.NoCallID)
	add("sip", "messages inside calls of which nothing else was seen", t.Strays)
	add("sip", "goodbyes with tags of no dialog of their call", t.WrongTags)
	add("sip", "calls dropped: table full", t.CallsEvicted)
	add("sip", "registrations dropped: table full", t.RegistrationsEvicted)
	add("sip", "requests dropped: table full", t.RequestsEvicted)
	add("sip", "dialogs not followed to other addresses: too many with the same tags", t.DialogsCrowded)
	add("sip", "flows not examined for scrambled SIP: too many at once", hidden.Evicted+hidden.Crowded)
	add("sip", "flows that may hide SIP, left aside: one end sends back what it is sent", hidden.Echoed)
	h := r.join.h323.Counters()
	add("sip", "flows not examined for messages under a cipher each: too many at once", veiled.Evicted+veiled.Crowded)
	add("h323", "messages of RAS that cannot be read", shard.unreadRAS)
	add("h323", "messages of call signalling that cannot be read", shard.unreadQ931)
	add("h323", "packets of TPKT that hold no message of call signalling", tpkt.Other)
	add("h323", "messages on streams above 16 KiB", tpkt.TooLong)
	add("h323", "bytes passed over in search of a message", tpkt.Skipped)
	add("h323", "messages of calls of which nothing else was seen", h.Strays)
	add("h323", "calls that do not name H.225.0", h.Unnamed)
	add("h323", "answers of RAS to no request", h.Unasked)
	add("h323", "calls dropped: table full", h.CallsEvicted)
	add("h323", "endpoints dropped: table full", h.EndpointsEvicted)
	add("h323", "names of endpoints beyond what is kept", h.NamesLeft)
	add("h323", "calls whose voice is not looked for: too many at once", r.join.pairs.refused)
	add("media", "first packets of flows displaced before the second: table full", media.StartsForgotten)
	add("media", "flows displaced: table full", media.Evicted)
	add("media", "packets whose header was cut by a snap length", media.Cut)
	add("tunnels", "flows that cannot be read, forgotten before they were looked at: table full", gates.Evicted)
	add("tunnels", "packets of flows that cannot be read, not counted: too many such flows at once", gates.Crowded)
	add("tunnels", "flows whose calls were counted, forgotten: table full", r.join.tunnels.evicted)
	add("tunnels", "packets of flows that cannot be read, seen again within 50 ms (a doubled mirror), counted once", shard.tunnelsTwice)
	add("tunnels", "intervals after their time", r.join.tunnels.late)
	add("tunnels", "openings of tunnels displaced before their answer: table full", opened.Displaced)
	add("tunnels", "openings of tunnels forgotten: table full", r.join.openings.forgotten)
	add("hellos", "handshakes of TLS and QUIC displaced by others: table full", hands.Displaced)
	add("hellos", "handshakes of TLS and QUIC not read: too many in a second", hands.Crowded)
	add("hellos", "first messages of clients above 4 KiB", hands.TooLong)
	add("hellos", "handshakes of TLS with segments missing", hands.Holes)
	add("hellos", "first messages of TLS and QUIC that break their rules", hands.Broken)
	s := r.join.streams.Counters()
	add("media", "streams dropped before they were confirmed: table full", s.Forgotten)
	add("media", "streams ended early: table full", s.Evicted)
	add("media", "sockets of media descriptions not kept: table full, or too many in one call or calls at one socket", r.join.media.refused)
	add("media", "ends of streams that found no call at once: too many at one socket", r.join.crowded)
	add("media", "calls without signalling told before their end: too many at once on one line", r.join.talks.early)
	add("media", "flows with STUN or DTLS forgotten: too many", r.join.talks.paths.forgotten)
	add("media", "exchanges of STUN or DTLS not told of: too many in a second", checks)
	add("sip", "exchanges under TLS not told of: too many in a second", steps)
	add("media", "RTCP not read: too many datagrams in a second", shard.reportsMany)
	add("media", "RTCP not read: encrypted", shard.reportsSecret)
	add("media", "RTCP not read: without a report at its head", shard.reportsReduced)
	add("media", "RTCP not read: cut by a snap length", shard.reportsCut)
	add("media", "RTCP that breaks its rules", shard.reportsBroken)
	add("media", "RTCP about a source forgotten: table full", s.FactsForgotten)
	add("media", "goodbyes of RTCP not followed: too many at once", s.ByesDropped)
	add("media", "streams without a counterpart, on a tap that shows both directions", r.join.unpaired)
	add("control", "datagrams with a gateway's first bytes that are none of its messages", set.Refused)
	add("control", "records that fail a check", set.Unsound)
	add("control", "marks on connections that were not read from their beginning", set.Doubtful)
	add("control", "streams given up after garbage", set.GaveUp)
	add("control", "bytes passed over between messages", set.Garbage)
	add("control", "unfinished messages on streams dropped: memory full", set.Full)
	e := r.join.sessions.Stats()
	add("control", "exact copies within 50 ms", e.Copies)
	add("control", "records that the other end of the flow sent first, or may have", e.Reflected)
	add("control", "answers without a request", e.Unmatched)
	add("control", "requests forgotten before their answer: too many at once", e.Forgotten)
	add("control", "evidence dropped: table full", e.Evidences)
	add("control", "flows dropped: table full", e.Flows)
	add("control", "short messages forgotten before their outcome: table full", e.Texts)
	add("control", "cards without room", e.Cards)
	l := r.join.lines.Counters()
	add("lines", "addresses taken for the network's side and not judged (--home says for sure)", l.FarEnds)
	add("lines", "lines dropped that only others spoke of: table full", l.EvictedYoung)
	add("lines", "lines with evidence dropped: table full", l.EvictedKept)
	add("lines", "openings of enciphered connections of a line forgotten: too many", l.HellosForgotten)
	add("lines", "calls not counted: too many at once on one line", l.CallsDropped)
	add("lines", "legs not compared: too many at once on one line", l.LegsDropped)
	add("lines", "inbound calls that only the far end vouches for, not counted", l.Unsupported)
	add("lines", "lines at watch or above not told of every hour: too many", l.NotRetold)
	add("lines", "findings of lines dropped or of past epochs, beyond what is kept", l.FindingsLost)
	if r.taps != nil {
		r.taps.losses(add)
		if r.told != nil {
			add("findings", "times that a finding waited: too many to be handed on", r.told.waits)
			add("findings", "findings that could not be handed on", r.told.refused.Load())
		}
		if r.keeper != nil {
			add("checkpoint", "checkpoints that could not be written", r.keeper.failed.Load())
			add("checkpoint", "lines that a checkpoint had no room for", r.keeper.left.Load())
		}
		add("live", "intervals of a port after their time", r.join.lateIntervals)
	}
	if r.cfg.Sessions != nil {
		c := r.cfg.Sessions.Counters()
		add("sessions", "records more than an hour out of order, left aside", c.Late)
		add("sessions", "times that too many records waited for others", c.Crowded)
		add("sessions", "accounting records of no session, or without an address", c.Skipped)
		add("sessions", "files that could not be read to their end", c.Broken)
		add("sessions", "sessions of a realm that --realm does not name", r.join.realmless)
		add("sessions", "addresses whose tenant was forgotten: table full", l.TenantsForgotten)
	}
	return out
}
