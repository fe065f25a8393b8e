// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// What may be SIP, by its first bytes: whatever package sip takes for a message
// over UDP passes, and some other text.
#ifndef SIMTRAP_SIP_H
#define SIMTRAP_SIP_H

#include "config.h"

enum { MAX_METHOD = 64 };

// TOKEN marks the characters of a token (RFC 3261 section 25.1), which a method
// is, BREAK the line ends that may stand before it.
enum { TOKEN = 1, BREAK = 2, UDP_START = 4, TCP_START = 8 };

INLINE int sip_word(u32 word)
{
	switch (word) {
	case FIRST('S', 'I', 'P', '/'):
	case FIRST('I', 'N', 'V', 'I'):
	case FIRST('R', 'E', 'G', 'I'):
	case FIRST('O', 'P', 'T', 'I'):
	case FIRST('A', 'C', 'K', ' '):
	case FIRST('B', 'Y', 'E', ' '):
	case FIRST('C', 'A', 'N', 'C'):
	case FIRST('S', 'U', 'B', 'S'):
	case FIRST('N', 'O', 'T', 'I'):
	case FIRST('P', 'U', 'B', 'L'):
	case FIRST('M', 'E', 'S', 'S'):
	case FIRST('I', 'N', 'F', 'O'):
	case FIRST('P', 'R', 'A', 'C'):
	case FIRST('U', 'P', 'D', 'A'):
	case FIRST('R', 'E', 'F', 'E'):
		return 1;
	}
	return (word | 0x20202000) == FIRST('s', 'i', 'p', '/');
}

// sip_base64 says whether word begins SIP in Base64.
INLINE int sip_base64(u32 word)
{
	switch (word) {
	case FIRST('U', '0', 'l', 'Q'):
	case FIRST('U', 'k', 'V', 'H'):
	case FIRST('U', '1', 'V', 'C'):
	case FIRST('U', 'k', 'V', 'G'):
	case FIRST('U', 'F', 'V', 'C'):
	case FIRST('U', 'F', 'J', 'B'):
	case FIRST('V', 'V', 'B', 'E'):
	case FIRST('S', 'U', '5', 'W'):
	case FIRST('S', 'U', '5', 'G'):
	case FIRST('Q', 'U', 'N', 'L'):
	case FIRST('Q', 'l', 'l', 'F'):
	case FIRST('Q', '0', 'F', 'O'):
	case FIRST('T', '1', 'B', 'U'):
	case FIRST('T', 'U', 'V', 'T'):
	case FIRST('T', 'k', '9', 'U'):
		return 1;
	}
	return 0;
}

// a_method says whether a token and a blank begin the text at p, of at least
// four bytes, and for TCP whether a URI of telephony follows.
INLINE int a_method(const u8 *classes, void *p, void *end, int tcp)
{
	for (int i = 0; i <= MAX_METHOD; i++) {
		if (p + i + 1 > end)
			return 0;
		u8 ch = ((u8 *)p)[i];
		if (classes[ch] & TOKEN)
			continue;
		if (i == 0 || (ch != ' ' && ch != '\t'))
			return 0;
		if (!tcp)
			return 1;
		if (p + i + 4 > end)
			return 0;
		u32 w = load32(p + i) | 0x202020;
		return w == FIRST(' ', 's', 'i', 'p') || w == FIRST(' ', 't', 'e', 'l');
	}
	return 0;
}

#endif
