// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// TCP connections that are followed: those that began with known bytes, and those
// that user space names, which may be flows of UDP too. Of all others nothing is kept. Whether a connection may
// be among them is asked of a table of marks, which costs next to nothing.
#ifndef SIMTRAP_FOLLOW_H
#define SIMTRAP_FOLLOW_H

#include "config.h"
#include "counters.h"
#include "parse.h"

enum { MARKS = 16384 };

struct {
	__uint(type, MAP_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct key);
	__type(value, u32);
} follows SEC(".maps");

// marks are set for connections in follows; user space takes out the old ones.
volatile u8 marks[MARKS] = {};

// mark_of gives the place of a connection's mark: of its addresses, exclusive or, and
// of its ports as they stand beside each other, whose sum is in the upper half of the
// product: it is the same for both directions.
INLINE u32 mark_of(u32 x, u32 ports)
{
	return (x ^ ports * 0x10001) >> 18;
}

INLINE u32 mark(const struct key *k)
{
	return mark_of(k->src[0] ^ k->src[1] ^ k->src[3] ^ k->dst[0] ^ k->dst[1] ^ k->dst[3],
	               (u32)k->sport << 16 | k->dport);
}

INLINE int lower_first(struct key *out, const struct key *k)
{
	int turn = k->src[3] > k->dst[3] || (k->src[3] == k->dst[3] && k->sport > k->dport);
	if (!turn) {
		*out = *k;
		return 0;
	}
	__builtin_memcpy(out->src, k->dst, sizeof(out->src));
	__builtin_memcpy(out->dst, k->src, sizeof(out->dst));
	out->sport = k->dport;
	out->dport = k->sport;
	return 1;
}

APART int known(const struct key *k)
{
	struct key both;
	lower_first(&both, k);
	return map_lookup(&follows, &both) != 0;
}

INLINE int followed(const struct key *k)
{
	return unlikely(marks[mark(k)]) && known(k);
}

INLINE void follow(const struct key *k)
{
	struct key both;
	u32 one = 1;
	lower_first(&both, k);
	map_update(&follows, &both, &one, ANY);
	marks[mark(k)] = 1;
}

#endif
