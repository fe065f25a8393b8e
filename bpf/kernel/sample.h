// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// How frames go up: whole, with a word on when and why, through a perf event
// array, which every kernel has and which copies a frame of any length without
// a loop. And the thin sample of what nobody asked for.
#ifndef SIMTRAP_SAMPLE_H
#define SIMTRAP_SAMPLE_H

#include "config.h"
#include "counters.h"
#include "limit.h"
#include "parse.h"

enum { MAX_FRAME = 16384 };

struct {
	__uint(type, MAP_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} frame_events SEC(".maps");

// frame says how the frame behind it came.
struct frame {
	u64 time;
	u32 wire;
	u32 captured;
	u32 why;
	u16 vlan_proto; // of a tag that the network card took out, 0 none
	u16 vlan_tci;
};

// So that the type is told to Go, though it stands in no map.
const struct frame *frame_type __attribute__((unused));

// seen is what a program gave us.
struct seen {
	void *ctx;
	void *data;
	void *end;
	struct counters *c;
	u64 time;
	u32 wire;
	u16 vlan_proto;
	u16 vlan_tci;
};

// clock gives the frame's time, which is not asked for of frames that need none.
INLINE u64 clock(struct seen *s)
{
	if (!s->time)
		s->time = now();
	return s->time;
}

// push sends the first captured bytes of a frame up, within its source's budget.
APART int push(struct seen *s, struct packet *k, u32 why, u32 captured)
{
	struct counters *c = s->c;
	struct end e;
	end_of(&e, k->key.src, k->v6);
	if (!allow_source(&e, clock(s))) {
		count(c, limited_source);
		return 0;
	}
	if (captured > s->wire)
		captured = s->wire;
	if (captured > MAX_FRAME)
		captured = MAX_FRAME;
	struct frame f = {
	    .time = s->time,
	    .wire = s->wire,
	    .captured = captured,
	    .why = why,
	    .vlan_proto = s->vlan_proto,
	    .vlan_tci = s->vlan_tci,
	};
	if (perf_event_output(s->ctx, &frame_events, CURRENT_CPU | (u64)captured << 32, &f, sizeof(f))) {
		count(c, frames_lost);
	} else if (why < counters_max) {
		count(c, why);
	}
	return 0;
}

#endif
