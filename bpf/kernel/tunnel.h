// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Flows of which nothing can be read, as package hidden/tunnel keeps them: a gate for
// each, and behind an open one how many packets of which size came at which moment.
// Each direction is kept by itself: the two come on different CPUs, and where a tap has
// a port for each, to different programs.
#ifndef SIMTRAP_TUNNEL_H
#define SIMTRAP_TUNNEL_H

#include "config.h"
#include "counters.h"
#include "flows.h"
#include "follow.h"
#include "parse.h"

#define SPAN (2400 * MS) // of an interval, which begins at a multiple of it

enum {
	SLOT = 100 * 1000000,
	FOLD = 120 * 1000000, // SPAN is a multiple of it
	SLOTS = 24,
	PHASES = 120,
	BINS = 48,
	BIN_BYTES = 8,
	VOICE_BYTES = BIN_BYTES * BINS,
	LEAST_BYTES = 24,

	ENOUGH = 48, // packets in SPAN, either way
	OPENS = 3,   // spans with enough in a row
	STAYS = 11,  // spans without

	// Spans are known by 16 bits. What is so many ahead is a little behind: packets of
	// two CPUs may overtake each other.
	EARLIER = 0xff00,
	NEVER = 0xffff,
};

// State of a gate: spans in a row that had enough, spans for which it stays open; that
// it opened in this span, which is not metered; that there is one.
enum { RUN = 3, STAY_SHIFT = 2, STAY = 15 << STAY_SHIFT, FRESH = 64, KNOWN = 128 };

// way_key is one direction of a flow. What has no ports has zero for them.
struct way_key {
	struct key key;
	u8 proto;
	u8 pad[3];
};

// way is one direction of a flow in one interval, tunnel.Way.
struct way {
	u64 start;

	// From here on all is emptied when it is told.
	u32 bytes;
	u16 packets;
	u16 large;
	u16 sizes[BINS];
	u16 slot_bytes[SLOTS]; // in units of 16
	u8 slot_count[SLOTS];
	u8 phase[PHASES];

	// To here.
	struct way_key key;
};

struct {
	__uint(type, MAP_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct way_key);
	__type(value, struct way);
} ways SEC(".maps");

// bare are gates of ESP and of GRE; those of UDP are in the record of media.
struct {
	__uint(type, MAP_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct way_key);
	__type(value, struct gate);
} bare SEC(".maps");

struct {
	__uint(type, MAP_RINGBUF);
	__uint(max_entries, 4 << 20);
} way_ring SEC(".maps");

struct {
	__uint(type, MAP_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} way_events SEC(".maps");

const struct way blank_way = {};

// way_marks say in which span the gate of a flow with such a mark was open last, 0
// never: only soon after the tables are asked about a large datagram.
volatile u8 way_marks[MARKS] = {};

INLINE u8 stamp(u16 span)
{
	return 128 | (span & 127);
}

// pass leaves a frame to meter. What has no ports has none to copy.
INLINE void pass(struct counters *c, const struct packet *k, u8 proto, u64 t)
{
	struct passed *p = &c->passed;
	p->time = t;
	__builtin_memcpy(p->src, k->key.src, sizeof(p->src));
	__builtin_memcpy(p->dst, k->key.dst, sizeof(p->dst));
	p->length = k->length;
	p->v6 = k->v6;
	p->proto = proto;
}

INLINE void pass_datagram(struct counters *c, const struct packet *k, u64 t)
{
	pass(c, k, UDP, t);
	c->passed.sport = k->key.sport;
	c->passed.dport = k->key.dport;
}

INLINE void way_key_of(struct way_key *w, const struct passed *p, int turn)
{
	__builtin_memcpy(w->key.src, turn ? p->dst : p->src, sizeof(w->key.src));
	__builtin_memcpy(w->key.dst, turn ? p->src : p->dst, sizeof(w->key.dst));
	w->key.sport = w->key.dport = 0;
	if (p->proto == UDP) {
		w->key.sport = turn ? p->dport : p->sport;
		w->key.dport = turn ? p->sport : p->dport;
	}
	w->proto = p->proto;
	__builtin_memset(w->pad, 0, sizeof(w->pad));
}

// reach moves a direction's gate to a span, with the other direction's if there is one.
// The state is of both: whichever comes to a span first finds it out from what both
// counted, the other takes it over.
INLINE void reach(struct gate *g, const struct gate *o, u16 span)
{
	u16 mine = g->state & KNOWN ? span - g->length : NEVER, other = NEVER;
	if (o && o->state & KNOWN)
		other = span - o->length;
	u8 state = mine <= other ? g->state : o ? o->state : 0;
	if (other != 0) {
		u16 missed = (mine <= other ? mine : other) - 1;
		u8 run = state & RUN, stay = (state & STAY) >> STAY_SHIFT, was = stay;
		if (g->n >= ENOUGH && mine <= other && (one_way || (o && mine == other && o->n >= ENOUGH))) {
			if (run + 1 >= OPENS) {
				run = OPENS;
				stay = STAYS;
			} else {
				run++;
			}
		} else {
			missed++;
		}
		if (missed) {
			run = 0;
			stay = missed < stay ? stay - missed : 0;
		}
		state = run | stay << STAY_SHIFT | (stay && !was ? FRESH : 0);
	}
	g->length = span;
	g->n = 0;
	g->state = state | KNOWN;
}

INLINE void bump8(u8 *c)
{
	if (*c != 0xff)
		++*c;
}
INLINE void bump16(u16 *c)
{
	if (*c != 0xffff)
		++*c;
}

// weigh adds a packet that came so many ns after the interval began.
INLINE void weigh(struct way *w, u32 since, u32 size)
{
	u32 slot = since / SLOT, bin = size / BIN_BYTES, phase = since % FOLD / 1000000;
	asm volatile("" : "+r"(slot)); // so that the bounds below stay
	asm volatile("" : "+r"(bin));
	asm volatile("" : "+r"(phase));
	if (slot >= SLOTS || phase >= PHASES)
		return;
	bump16(&w->packets);
	w->bytes += size; // 2^16 datagrams of 2^16 bytes take a faster port than there is
	u32 units = w->slot_bytes[slot] + (size + 8) / 16;
	w->slot_bytes[slot] = units < 0xffff ? units : 0xffff;
	if (bin >= BINS) {
		bump16(&w->large);
		return;
	}
	bump16(&w->sizes[bin]);
	if (size < LEAST_BYTES)
		return;
	bump8(&w->slot_count[slot]);
	bump8(&w->phase[phase]);
}

// show tells of an interval and empties it.
INLINE void show(void *ctx, struct way *w, struct counters *c)
{
	if (w->packets) {
		long err;
		if (ring)
			err = ringbuf_output(&way_ring, w, sizeof(*w), RING_NO_WAKEUP);
		else
			err = perf_event_output(ctx, &way_events, CURRENT_CPU, w, sizeof(*w));
		count(c, err ? way_intervals_lost : way_intervals);
	}
	__builtin_memset(&w->bytes, 0, __builtin_offsetof(struct way, key) - __builtin_offsetof(struct way, bytes));
}

// gate_of gives the gate of one direction, which for UDP stands in the record of media.
INLINE struct gate *gate_of(const struct way_key *w, u8 v6)
{
	if (w->proto != UDP)
		return map_lookup(&bare, w);
	struct flow *f;
	if (v6) {
		f = map_lookup(&flows6, &w->key);
	} else {
		struct key4 four;
		key4_of(&four, &w->key);
		f = map_lookup(&flows4, &four);
	}
	if (!f)
		return 0;
	asm volatile("" : "+r"(f)); // or it is added to before it is asked for
	return &f->iv.gate;
}

// metered takes the frame that was left to it.
INLINE void metered(void *ctx, struct counters *c)
{
	struct passed *p = &c->passed;
	struct way_key key;
	way_key_of(&key, p, 0);
	u64 t = p->time;
	u32 size = p->length;
	u64 span = t / SPAN, start = span * SPAN;
	if (key.proto == UDP && size > MAX_PAYLOAD) {
		u32 at = mark(&key.key);
		u8 m = way_marks[at];
		if (((span - m) & 127) > STAYS + 2) {
			way_marks[at] = 0;
			return;
		}
	}
	struct gate *g = gate_of(&key, p->v6);
	if (!g) {
		struct gate none = {};
		if (key.proto == UDP)
			return;
		if (!map_update(&bare, &key, &none, ANY))
			count(c, bare_begun);
		g = map_lookup(&bare, &key);
		if (!g) {
			count(c, bare_refused);
			return;
		}
	}
	u8 was = g->state;
	if (!(was & KNOWN) || (u16)((u16)span - g->length - 1) < EARLIER) {
		struct way_key other;
		way_key_of(&other, p, 1);
		const struct gate *o = gate_of(&other, p->v6);
		if (g->n >= ENOUGH)
			count(c, o ? ways_paired : ways_alone);
		reach(g, o, span);
		if (g->state & STAY)
			way_marks[mark(&key.key)] = stamp(span);
	}
	if (size >= LEAST_BYTES && size <= MAX_PAYLOAD && g->n < ENOUGH)
		g->n++;
	if (!((was | g->state) & STAY))
		return;
	int open = (g->state & STAY) && !(g->state & FRESH);
	struct way *w = map_lookup(&ways, &key);
	if (w && w->start < start) {
		show(ctx, w, c);
		w->start = start;
		if (!open) {
			map_delete(&ways, &key);
			count(c, ways_closed);
			return;
		}
	}
	if (!open)
		return;
	if (!w) {
		map_update(&ways, &key, &blank_way, ANY);
		w = map_lookup(&ways, &key);
		if (!w) {
			count(c, ways_refused);
			return;
		}
		count(c, ways_opened);
		w->key = key;
		w->start = start;
	}
	weigh(w, t > w->start ? t - w->start : 0, size);
}

APART int meter(void *ctx)
{
	u32 zero = 0;
	struct counters *c = map_lookup(&counts, &zero);
	if (!c || !c->passed.proto)
		return 0;
	metered(ctx, c);
	c->passed.proto = 0;
	return 0;
}

#endif
