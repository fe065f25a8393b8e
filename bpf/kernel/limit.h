// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Budgets on what goes up, in windows of 2^30 ns: of frames from one source, of
// beginnings of connections and questions from one line, and of what anybody can
// make much of, for each CPU. What is over a budget is counted.
#ifndef SIMTRAP_LIMIT_H
#define SIMTRAP_LIMIT_H

#include "config.h"
#include "counters.h"
#include "parse.h"

// end is a source or a line: an address, of IPv6 its /64.
struct end {
	u32 addr[4];
};

struct source_budget {
	u32 window;
	u32 frames;
};

struct line_budget {
	u32 window;
	u16 syn;
	u16 hello;
	u16 dns;
	u16 http;
	u32 pad;
};

struct cpu_budget {
	u32 window;
	u32 left;
	u32 first;
	u32 fragment;
};

struct {
	__uint(type, MAP_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct end);
	__type(value, struct source_budget);
} sources SEC(".maps");

struct {
	__uint(type, MAP_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct end);
	__type(value, struct line_budget);
} lines SEC(".maps");

struct {
	__uint(type, MAP_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu_budget);
} cpus SEC(".maps");

INLINE u32 window_of(u64 t)
{
	return t >> 30;
}

INLINE void end_of(struct end *e, const u32 *addr, int v6)
{
	e->addr[0] = addr[0];
	e->addr[1] = addr[1];
	e->addr[2] = v6 ? 0 : addr[2];
	e->addr[3] = v6 ? 0 : addr[3];
}

// allow_source says whether source may push another frame.
APART int allow_source(const struct end *e, u64 t)
{
	struct source_budget *b = map_lookup(&sources, e);
	u32 window = window_of(t);
	if (!b) {
		struct source_budget fresh = {.window = window, .frames = 1};
		map_update(&sources, e, &fresh, ANY);
		return 1;
	}
	if (b->window != window) {
		b->window = window;
		b->frames = 0;
	}
	if (b->frames >= budget_source)
		return 0;
	b->frames++;
	return 1;
}

// allow_line takes one from the line's budget for why, which is one of up_syn,
// up_hello, up_dns and up_http.
APART int allow_line(const struct end *e, u64 t, u32 why)
{
	struct line_budget *b = map_lookup(&lines, e);
	u32 window = window_of(t);
	if (!b) {
		struct line_budget fresh = {.window = window};
		map_update(&lines, e, &fresh, ANY);
		b = map_lookup(&lines, e);
		if (!b)
			return 0;
	}
	if (b->window != window) {
		b->window = window;
		b->syn = b->hello = b->dns = b->http = 0;
	}
	switch (why) {
	case up_syn:
		return b->syn < budget_syn ? ++b->syn : 0;
	case up_hello:
		return b->hello < budget_hello ? ++b->hello : 0;
	case up_dns:
		return b->dns < budget_dns ? ++b->dns : 0;
	}
	return b->http < budget_http ? ++b->http : 0;
}

// allow_cpu takes one from this CPU's budget for why, which is one of up_left,
// up_first and up_fragment.
APART int allow_cpu(u64 t, u32 why)
{
	u32 zero = 0, window = window_of(t);
	struct cpu_budget *b = map_lookup(&cpus, &zero);
	if (!b)
		return 0;
	if (b->window != window) {
		b->window = window;
		b->left = b->first = b->fragment = 0;
	}
	switch (why) {
	case up_left:
		return b->left < budget_left ? ++b->left : 0;
	case up_first:
		return b->first < budget_first ? ++b->first : 0;
	}
	return b->fragment < budget_fragment ? ++b->fragment : 0;
}

#endif
