// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Counters, per CPU, one for each reason. The names are those of bpf/counters.go
// and docs/bpf.md; a test holds them together.
#ifndef SIMTRAP_COUNTERS_H
#define SIMTRAP_COUNTERS_H

#include "types.h"

enum counter {
	// What a frame was: each is in exactly one of these.
	not_ip,
	not_transport,
	esp,
	pptp,
	malformed,
	fragments,
	left_link,
	left_tags,
	left_labels,
	left_extensions,
	left_tunnel,
	left_held,
	left_cut,
	tcp_segments,
	udp_empty,
	udp_large,
	// These three are small UDP.
	starts,
	accounted,
	records_refused,

	// About flows and intervals.
	backwards,
	header_cut,
	starts_kept,
	records,
	flows_idle,
	intervals,
	intervals_lost,
	sparse,
	sparse_packets,

	// About flows that cannot be read, one direction each.
	ways_opened,
	ways_closed,
	ways_refused,
	way_intervals,
	way_intervals_lost,
	ways_paired,
	ways_alone,
	bare_begun,
	bare_refused,

	// Why frames went up.
	up_sip,
	up_control,
	up_rtcp,
	up_fragment,
	up_first,
	up_syn,
	up_hello,
	up_dns,
	up_http,
	up_follow,
	up_left,
	up_sample,

	// Why frames did not.
	limited_source,
	limited_syn,
	limited_hello,
	limited_dns,
	limited_http,
	limited_left,
	limited_first,
	limited_fragment,
	frames_lost,

	// Frames that were passed on since nobody was there to have them dropped.
	unheard,

	counters_max,
};

// passed is what is left to do for a frame when all else is done: it belongs to a flow
// that cannot be read, see tunnel.h. Here it takes no room on the stack.
struct passed {
	u64 time;
	u32 src[4];
	u32 dst[4];
	u16 sport;
	u16 dport;
	u32 length;
	u8 proto; // 0 nothing
	u8 v6;
	u16 pad;
	u32 pad2;
};

struct counters {
	u64 n[counters_max];
	struct passed passed;
};

struct {
	__uint(type, MAP_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct counters);
} counts SEC(".maps");

INLINE void count(struct counters *c, u32 which)
{
	c->n[which]++;
}

#endif
