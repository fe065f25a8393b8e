// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Whose a tunnel is. What comes out of one that a subscriber holds is his, whatever
// addresses stand inside (package pipeline), so that such tunnels are left to user
// space. Asked of tunnels alone.
#ifndef SIMTRAP_HOMES_H
#define SIMTRAP_HOMES_H

#include "config.h"

// prefix is one of IPv6, or of IPv4 behind ::ffff:0:0/96, in network byte order.
struct prefix {
	u32 bits;
	u32 addr[4];
};

// homes says of a prefix whether its addresses are subscribers'. That ::ffff:0:0/96
// as a whole is none stands there too: prefixes of IPv6 do not speak of IPv4.
struct {
	__uint(type, MAP_LPM_TRIE);
	__uint(map_flags, NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct prefix);
	__type(value, u32);
} homes SEC(".maps");

INLINE int at_home(struct prefix *p, const u32 *addr)
{
	__builtin_memcpy(p->addr, addr, sizeof(p->addr));
	u32 *is = map_lookup(&homes, p);
	return is && *is;
}

// held says whether an end of a tunnel is a subscriber's.
APART int held(const u32 *src, const u32 *dst)
{
	struct prefix p = {.bits = 128};
	return at_home(&p, src) || at_home(&p, dst);
}

#endif
