// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// The known first bytes of protocols that gateways speak, those of package
// control and of H.323. Right in favour too often, never wrong against: a test
// feeds both the same bytes.
#ifndef SIMTRAP_CONTROL_H
#define SIMTRAP_CONTROL_H

#include "config.h"
#include "counters.h"
#include "sip.h"

#define T TOKEN
#define U UDP_START
#define C TCP_START
#define B BREAK

// classes says by its first byte what a payload may be.
// clang-format off
const u8 classes[256] = {
	[0x00 ... 0x03] = U | C,
	[0x04 ... 0x06] = U,
	[0x07] = U | C,
	[0x08 ... 0x09] = U,
	[0x0a] = U | C | B,
	[0x0b ... 0x0c] = U,
	[0x0d] = U | C | B,
	[0x0e ... 0x14] = U,
	[0x15 ... 0x16] = U | C,
	[0x17] = U,
	[0x1b ... 0x1c] = U,
	['!'] = T,
	['$'] = U,
	['%'] = T,
	['\''] = T | U | C,
	['('] = U | C,
	['*'] = T,
	['+'] = T,
	['-'] = T,
	['.'] = T,
	['0' ... '9'] = T,
	[':'] = C,
	['<'] = C,
	['A' ... 'Z'] = T | U | C,
	['['] = C,
	['_'] = T,
	['`'] = T,
	['a' ... 'z'] = T | U | C,
	['{'] = C,
	['~'] = T,
	[0x86] = U,
	[0xa0] = U | C,
	[0xb9] = C,
	[0xbf] = C,
	[0xff] = C,
};
// clang-format on

#undef T
#undef U
#undef C
#undef B

// pair gives the two bytes at p + at, where at is less than 16384, or more than
// two bytes hold.
INLINE u32 pair(const u8 *p, const void *end, u32 at)
{
	asm volatile("" : "+r"(at)); // so that the bound below stays, and the sum is one
	at &= 0x3fff;
	const u8 *q = p + at;
	if ((const void *)q + 2 > end)
		return 0xffffffff;
	return load16(q);
}

// sim_command says whether a short payload may be a command to a SIM card or
// its answer.
INLINE int sim_command(u8 *p, void *end, u32 length)
{
	if (length > 56 || length < 2)
		return 0;
	if (length <= 19) {
		u32 status = pair(p, end, length - 2);
		if ((status >> 8 == 0x9f || status >> 8 == 0x61) ? status & 0xff : status == 0x9000)
			return 1;
	}
	if (length >= 7 && pair(p, end, length - 7) == 0xa0a4)
		return 1;
	if (length >= 21 && pair(p, end, length - 21) == 0xa088)
		return 1;
	if (length >= 40 && pair(p, end, length - 40) == 0x0088)
		return 1;
	return length >= 39 && pair(p, end, length - 39) == 0x0088;
}

// control_udp says whether a datagram of length bytes, at least four of which
// are at p, may be a gateway's.
INLINE int control_udp(u8 *p, void *end, u32 length, u32 word)
{
	switch (word) {
	// goip-sms
	case FIRST('r', 'e', 'q', ':'):
	case FIRST('r', 'e', 'g', ':'):
	case FIRST('S', 'T', 'A', 'T'):
	case FIRST('R', 'E', 'C', 'O'):
	case FIRST('H', 'A', 'N', 'G'):
	case FIRST('R', 'E', 'M', 'A'):
	case FIRST('E', 'X', 'P', 'I'):
	case FIRST('R', 'E', 'C', 'E'):
	case FIRST('D', 'E', 'L', 'I'):
	case FIRST('U', 'S', 'S', 'N'):
	case FIRST('U', 'S', 'S', 'D'):
	case FIRST('G', 'S', 'M', ':'):
	case FIRST('G', 'S', 'M', ' '):
	case FIRST('B', 'C', 'C', 'H'):
	case FIRST('C', 'E', 'L', 'L'):
	case FIRST('C', 'G', 'A', 'T'):
	case FIRST('M', 'S', 'G', ' '):
	case FIRST('P', 'A', 'S', 'S'):
	case FIRST('S', 'E', 'N', 'D'):
	case FIRST('W', 'A', 'I', 'T'):
	case FIRST('D', 'O', 'N', 'E'):
	case FIRST('E', 'R', 'R', 'O'):
	case FIRST('g', 'e', 't', '_'):
	case FIRST('s', 'e', 't', '_'):
	case FIRST('s', 'v', 'r', '_'):
	case FIRST('r', 'e', 's', 'e'):
	case FIRST('m', 'o', 'd', 'u'):
	case FIRST('C', 'U', 'R', 'C'):
	case FIRST('A', 'T', 'S', 'T'):
	case FIRST('A', 'T', 'A', 'L'):
	case FIRST('A', 'T', 'C', 'M'):
	case FIRST('C', 'F', 'O', 'K'):
	case FIRST('C', 'F', 'E', 'R'):
	case FIRST('C', 'W', 'O', 'K'):
	case FIRST('C', 'W', 'E', 'R'):
	// dbl-echo, goip-simbank, dbl-ddns
	case FIRST('E', 'C', 'H', 'O'):
	case 0x78562143:
	case 0x86701413:
	// sim-commands
	case 0xa0a40000:
	case 0xa0880000:
		return 1;
	}
	switch (word >> 8) {
	case FIRST(0, 'O', 'K', ' '):
	case FIRST(0, 'C', 'F', ' '):
	case FIRST(0, 'C', 'W', ' '):
	case FIRST(0, 'A', 'T', ':'):
		return 1;
	}
	u8 b = word >> 24;
	// dbl-time
	if (word == 0x1b000000 && (length == 64 || length == 1072))
		return 1;
	if ((b == 0x1c || b == 0x24) && length == 64)
		return 1;
	// H.225.0 RAS names itself.
	if (b <= 0x17 && length >= 11 && (void *)p + 10 <= end && load32(p + 4) == 0x06000891 && p[8] == 0x4a &&
	    p[9] == 0)
		return 1;
	switch (b) {
	case 0x00:
	case 0x02:
	case 0x03:
	case 0x07:
	case 0x15:
	case 0x27:
	case 0x28:
		return sim_command(p, end, length);
	}
	return 0;
}

// control_tcp says why a segment of length bytes, at least four of which are at
// p, is worth going up: up_control for a gateway's, up_http for what may be and
// is much else, up_hello, or 0.
INLINE u32 control_tcp(u8 *p, void *end, u32 length, u32 word)
{
	u8 b = word >> 24;
	if (word >> 16 == 0x1603)
		return length > 5 && (void *)p + 6 <= end && p[5] == 1 ? up_hello : 0;
	switch (word) {
	// ejoin and others over HTTP, WebSocket
	case FIRST('G', 'E', 'T', ' '):
	case FIRST('P', 'O', 'S', 'T'):
	case FIRST('H', 'T', 'T', 'P'):
	// dbl-mail
	case FIRST('E', 'H', 'L', 'O'):
	case FIRST('H', 'E', 'L', 'O'):
	case FIRST('M', 'A', 'I', 'L'):
	case FIRST('D', 'A', 'T', 'A'):
		return up_http;
	// gsm-ami
	case FIRST('A', 's', 't', 'e'):
	case FIRST('A', 'c', 't', 'i'):
	case FIRST('a', 'c', 't', 'i'):
	case FIRST('E', 'v', 'e', 'n'):
	case FIRST('R', 'e', 's', 'p'):
	// goip-simbank, dbl-tunnel
	case 0x78562143:
	case 0x3c39ac9a:
	case 0x3a3da499:
	case 0x3c34a790:
	case 0xbf208e7b:
	case 0xb9248678:
	case 0xbf2d8571:
	// sim-commands
	case 0xa0a40000:
	case 0xa0880000:
		return up_control;
	}
	switch (word >> 8) {
	// maker-banner
	case 0xfffb01:
	case 0xfffd01:
	case FIRST(0, '[', ' ', 'M'):
		return up_control;
	}
	// two-slot-board: JSON between marks of its own
	if (b == '{') {
		return length >= 12 && length <= 0x3fff && pair(p, end, length - 2) == 0x1112 ? up_control : 0;
	}
	// remote-sim (Osmocom RSPRO in IPA)
	if (b <= 1 && (word & 0xffff) == 0xee07)
		return up_control;
	// H.225.0 call signalling in TPKT
	if (word >> 16 == 0x0300) {
		if (length == 4)
			return up_control;
		if ((void *)p + 5 <= end && p[4] == 8)
			return up_control;
	}
	if (word >> 16 == 0 && length >= 16 && (void *)p + 16 <= end) {
		// smpp
		if (!(p[5] | p[6] | (p[4] & 0x7f)) && word >= 16 && word <= 4096)
			return up_control;
		// dinstar-api
		if (length >= 24 && !(p[10] | p[11] | (p[4] & 1)) && (load32(p + 4) | p[8] | p[9]))
			return up_control;
	}
	switch (b) {
	case 0x00:
	case 0x02:
	case 0x03:
	case 0x07:
	case 0x15:
	case 0x27:
	case 0x28:
		return sim_command(p, end, length) ? up_control : 0;
	}
	return 0;
}

#endif
