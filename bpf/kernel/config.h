// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Toggles, set before the programs are loaded: the verifier takes out what a
// toggle leaves no way to. And the words that change while they run.
#ifndef SIMTRAP_CONFIG_H
#define SIMTRAP_CONFIG_H

#include "types.h"

// Tunnels whose inside is read.
const volatile u8 gtp = 0;
const volatile u8 vxlan = 0;
const volatile u8 gre = 0;

// home says that homes knows subscribers: tunnels of theirs are left to user space.
const volatile u8 home = 0;

// tunnel says that flows are metered of which nothing can be read, see tunnel.h.
const volatile u8 tunnel = 1;

// ring says that intervals go through the ring buffer (Linux 5.8), not through
// a perf event array.
const volatile u8 ring = 1;

// sample is of how many frames that nobody asked for one goes up; 0 none.
// It is a power of two.
const volatile u32 sample = 0;

// Budgets in about a second (2^30 ns), see limit.h.
const volatile u32 budget_source = 4096;
const volatile u32 budget_syn = 8;
const volatile u32 budget_hello = 4;
const volatile u32 budget_dns = 8;
const volatile u32 budget_http = 8;
// These three are of one CPU, whatever the source.
const volatile u32 budget_left = 1024;
const volatile u32 budget_first = 8192;
const volatile u32 budget_fragment = 8192;

// first is how many first datagrams of a flow that do not read as RTP go up, at
// most 254.
const volatile u32 first = 96;

// test makes the program take test_now for the time of every packet, and tell
// what it read in the map readings.
const volatile u8 test = 0;

// dull_mask sends one segment of TCP in so many to the longer look that else would have
// ended at the first, whose only question about toggles this is: where sample is set,
// those that may be in it; in tests all of them. It has all bits set else.
const volatile u64 dull_mask = ~0ULL;

// bench replaces flow, sequence number and timestamp of RTP by those of one flow or of
// 100,000 in an order that looks random, for make bench-live.
const volatile u32 bench = 0;
enum { ONE_FLOW = 1, MANY_FLOWS = 2 };

// clock_offset is what wall time is ahead of CLOCK_MONOTONIC, ns; user space
// sets it anew all the time.
volatile u64 clock_offset = 0;
volatile u64 test_now = 0;

// drop keeps frames from the machine's own network. User space sets it on a port
// without address and route only, and looks again all the time.
volatile u8 drop = 0;

// drop_until is when the TC program ceases to drop, whatever drop says, ns of
// CLOCK_MONOTONIC: user space puts it off all the time, as long as it lives. The program
// keeps in the other two whether that is over, and at which tick it looked.
volatile u64 drop_until = 0;
volatile u64 drop_tick = 0;
volatile u8 drop_over = 1;

// one_way says that no flow's other direction comes by this port. User space sets it
// when it finds that out.
volatile u8 one_way = 0;

// opaque is zero, which the verifier cannot know: offsets that it is added to
// are no constants any more, so that ways through the parser which meet again
// look alike to the verifier, and what follows is looked at once.
volatile u32 opaque = 0;

INLINE u64 now(void)
{
	u64 t = test ? test_now : ktime_get_ns() + clock_offset;
	if (unlikely((s64)t < 1))
		return 1;
	return t > 1ULL << 62 ? 1ULL << 62 : t;
}

#endif
