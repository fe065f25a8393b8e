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

struct counters {
	u64 n[counters_max];
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
