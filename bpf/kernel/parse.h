// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Headers of a frame, read as package packet reads them: Ethernet, two VLAN tags,
// PPPoE, four MPLS labels, IPv4, IPv6 with six extension headers, UDP, TCP; one
// tunnel of GTP-U, VXLAN or GRE where its toggle is on and no subscriber holds it.
// What goes beyond that but package packet could read is "left" to it: such frames go
// up within a budget.
//
// n is how many bytes are on the wire from p on, by the lengths in the headers
// so far; what lies behind is padding. Every read is held to n and to end, the
// end of what the kernel lets us see.
#ifndef SIMTRAP_PARSE_H
#define SIMTRAP_PARSE_H

#include "config.h"
#include "counters.h"
#include "homes.h"

#define UDP 17
#define TCP 6
#define GRE 47
#define ESP 50

enum {
	ETHER_IPV4 = 0x0800,
	ETHER_ARP = 0x0806,
	ETHER_BRIDGED = 0x6558,
	ETHER_VLAN = 0x8100,
	ETHER_PPP = 0x880b,
	ETHER_IPV6 = 0x86dd,
	ETHER_MPLS = 0x8847,
	ETHER_MPLS_MULTI = 0x8848,
	ETHER_PPPOE = 0x8864,
	ETHER_PROVIDER = 0x88a8,
	ETHER_BACKBONE = 0x88e7,
	ETHER_VNTAG = 0x8926,
	ETHER_OLD_QINQ = 0x9100,
	ETHER_OLDER_QINQ = 0x9200,
};

enum {
	TAGS = 2,
	LABELS = 4,
	EXTENSIONS = 6,
	GTP_EXTENSIONS = 4,
	// FARTHEST is how far into a frame a transport header may begin.
	FARTHEST = 0x7ff,
};

// key is a flow: rtp.Flow without realm and tap port, in network byte order.
struct key {
	u32 src[4];
	u32 dst[4];
	u16 sport;
	u16 dport;
};

// packet is what was read of a frame.
struct packet {
	struct key key;
	u32 at;     // where the payload begins in the frame
	u32 length; // of the payload on the wire; where it has no ports, of what follows IP
	u8 proto;
	u8 flags;
	u8 v6;
};

// cursor is where reading stands.
struct cursor {
	void *p;
	void *end;
	u32 n;
};

// view is what a program begins with.
struct view {
	void *ctx;
	void *data;
	void *end;
	u32 wire;
	int tc;
};

// again takes the frame's place anew from the context, so that the verifier forgets
// how far it was looked at on the way: ways that meet then look alike to it.
INLINE void again(struct view *v)
{
	if (v->tc) {
		volatile struct __sk_buff *skb = v->ctx;
		v->data = (void *)(long)skb->data;
		v->end = (void *)(long)skb->data_end;
	} else {
		volatile struct xdp_md *xdp = v->ctx;
		v->data = (void *)(long)xdp->data;
		v->end = (void *)(long)xdp->data_end;
	}
}

// verdict of a step: a counter, or that reading goes on with what comes next.
enum {
	NEXT_IPV4 = counters_max,
	NEXT_IPV6,
	NEXT_ETHERNET,
	NEXT_UDP,
	NEXT_TCP,
	NEXT_GRE,
};

// has says whether size bytes are there to read; if not, cut is why: the frame
// is malformed if the headers say so, else it was not all given to us.
#define WANT(c, size)                           \
	do {                                    \
		if ((c)->n < (size))            \
			return malformed;       \
		if ((c)->p + (size) > (c)->end) \
			return left_cut;        \
	} while (0)

INLINE void skip_bytes(struct cursor *c, u32 size)
{
	c->p += size;
	c->n -= size;
}

INLINE int is_vlan(u16 t)
{
	return t == ETHER_VLAN || t == ETHER_PROVIDER || t == ETHER_OLD_QINQ || t == ETHER_OLDER_QINQ;
}

// inner_ip says whether an IP header that makes sense begins at the cursor:
// 4 or 6, or 0.
INLINE int inner_ip(const struct cursor *c)
{
	const u8 *b = c->p;
	if (c->n < 20 || c->p + 20 > c->end)
		return 0;
	if (b[0] >> 4 == 4) {
		u32 h = (b[0] & 15) * 4, total = load16(b + 2);
		return h >= 20 && total >= h && total <= c->n ? 4 : 0;
	}
	if (b[0] >> 4 == 6 && c->n >= 40 && c->p + 40 <= c->end)
		return 40 + (u32)load16(b + 4) <= c->n ? 6 : 0;
	return 0;
}

INLINE int after_inner(int version)
{
	return version == 4 ? NEXT_IPV4 : NEXT_IPV6;
}

INLINE int mpls_labels(struct cursor *c)
{
	u8 bottom = 0;
#pragma unroll
	for (int i = 0; i < LABELS; i++) {
		if (bottom)
			break;
		WANT(c, 4);
		bottom = ((u8 *)c->p)[2] & 1;
		skip_bytes(c, 4);
	}
	if (!bottom)
		return left_labels;
	// Ethernet may be inside, and a MAC address may look like IP.
	int version = inner_ip(c);
	if (!version)
		return left_labels;
	u16 t = load16(c->p + 12);
	u8 inside = ((u8 *)c->p)[14] >> 4;
	if (is_vlan(t) || t == ETHER_PPPOE || (t == ETHER_IPV4 && inside == 4) || (t == ETHER_IPV6 && inside == 6))
		return left_labels;
	return after_inner(version);
}

INLINE int pppoe(struct cursor *c)
{
	WANT(c, 7);
	u8 *b = c->p;
	if (b[0] != 0x11 || b[1] != 0)
		return malformed;
	u32 length = load16(b + 4);
	skip_bytes(c, 6);
	if (length < c->n)
		c->n = length;
	// The address may be there, and the protocol in one byte (RFC 1661).
	b = c->p;
	if (c->n >= 2 && c->p + 2 <= c->end && b[0] == 0xff && b[1] == 3)
		skip_bytes(c, 2);
	b = c->p;
	u16 protocol;
	if (c->n > 1 && c->p + 2 <= c->end && !(b[0] & 1)) {
		protocol = load16(b);
		skip_bytes(c, 2);
	} else if (c->n > 0 && c->p + 1 <= c->end && (b[0] & 1)) {
		protocol = b[0];
		skip_bytes(c, 1);
	} else {
		return malformed;
	}
	switch (protocol) {
	case 0x0021:
		return NEXT_IPV4;
	case 0x0057:
		return NEXT_IPV6;
	case 0x0281:
	case 0x0283:
		return mpls_labels(c);
	}
	return not_ip;
}

INLINE int ethernet(struct cursor *c)
{
	WANT(c, 14);
	u16 t = load16(c->p + 12);
	skip_bytes(c, 14);
	if (likely(t == ETHER_IPV4))
		return NEXT_IPV4;
#pragma unroll
	for (int i = 0; i < TAGS; i++) {
		if (!is_vlan(t))
			break;
		WANT(c, 4);
		t = load16(c->p + 2);
		skip_bytes(c, 4);
	}
	switch (t) {
	case ETHER_IPV4:
		return NEXT_IPV4;
	case ETHER_IPV6:
		return NEXT_IPV6;
	case ETHER_PPPOE:
		return pppoe(c);
	case ETHER_MPLS:
	case ETHER_MPLS_MULTI:
		return mpls_labels(c);
	case ETHER_BACKBONE:
		return left_link;
	case ETHER_VNTAG:
		return left_tags;
	}
	if (is_vlan(t))
		return left_tags;
	if (t < 0x0600) // IEEE 802.3, rarely with IP
		return left_link;
	return not_ip;
}

// transport gives the step that an IP protocol leads to; IPv6's own headers
// have been passed.
INLINE int transport(u8 proto, int tunnels)
{
	switch (proto) {
	case UDP:
		return NEXT_UDP;
	case TCP:
		return NEXT_TCP;
	case GRE:
		return (gre || tunnel) && tunnels ? NEXT_GRE : left_tunnel;
	case ESP:
		return esp;
	case 4:   // IP in IP
	case 41:  // IPv6
	case 97:  // EtherIP
	case 115: // L2TP
	case 137: // MPLS
	case 143: // Ethernet
		return left_tunnel;
	case 51: // authentication header, in IPv4
		return left_extensions;
	}
	return not_transport;
}

// within gives at, which is at most FARTHEST, so that verifiers before Linux 6.2 see
// that it is: they forget what a comparison said of a copy of it on the stack.
INLINE u32 within(u32 at)
{
	asm volatile("" : "+r"(at));
	return at & FARTHEST;
}

// hide makes where the cursor stands, and what is behind it, no constants, and takes
// the frame's place anew; see opaque and again.
INLINE int hide(struct cursor *c, struct view *v)
{
	u64 at = c->p - v->data;
	asm volatile("" : "+r"(at)); // or the compiler subtracts in 32 bits, which the verifier forbids
	at += opaque;
	if (at > FARTHEST)
		return 0;
	at = within(at);
	again(v);
	c->p = v->data + at;
	c->end = v->end;
	c->n += opaque;
	return 1;
}

INLINE int ipv4(struct cursor *c, struct packet *k, int tunnels)
{
	WANT(c, 20);
	u8 *b = c->p;
	u32 h = (b[0] & 15) * 4;
	if (b[0] >> 4 != 4 || h < 20)
		return malformed;
	if (c->n < h)
		return malformed;
	u32 total = load16(b + 2);
	if (total != 0 && total < c->n) {
		if (total < h)
			return malformed;
		c->n = total;
	}
	u32 zero = opaque; // again so that the verifier looks at what follows once
	k->v6 = zero & 1;
	k->key.src[0] = k->key.src[1] = k->key.dst[0] = k->key.dst[1] = zero;
	k->key.src[2] = k->key.dst[2] = be32(0xffff) | zero;
	k->key.src[3] = *(u32 *)(b + 12);
	k->key.dst[3] = *(u32 *)(b + 16);
	if (load16(b + 6) & 0x3fff)
		return fragments;
	u8 proto = b[9];
	if (likely(h == 20)) {
		skip_bytes(c, 20);
	} else {
		if (c->p + h > c->end)
			return left_cut;
		skip_bytes(c, h);
	}
	k->length = c->n;
	return transport(proto, tunnels);
}

INLINE int ipv6(struct cursor *c, struct packet *k, struct view *v, int tunnels)
{
	WANT(c, 40);
	u8 *b = c->p;
	if (b[0] >> 4 != 6)
		return malformed;
	u32 total = 40 + (u32)load16(b + 4);
	if (total != 40 && total < c->n)
		c->n = total;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		k->key.src[i] = *(u32 *)(b + 8 + 4 * i);
		k->key.dst[i] = *(u32 *)(b + 24 + 4 * i);
	}
	// Mapped addresses of IPv4 at both ends are those everywhere else, too.
	k->v6 = (k->key.src[0] | k->key.src[1] | k->key.dst[0] | k->key.dst[1] | (k->key.src[2] ^ be32(0xffff)) |
	         (k->key.dst[2] ^ be32(0xffff))) != 0;
	u8 proto = b[6];
	skip_bytes(c, 40);
	for (int i = 0; i < EXTENSIONS; i++) {
		u32 h;
		switch (proto) {
		case 0:
		case 43:
		case 60:
			WANT(c, 8);
			h = (((u8 *)c->p)[1] + 1) * 8;
			break;
		case 51:
			WANT(c, 12);
			h = (((u8 *)c->p)[1] + 2) * 4;
			if (h < 12)
				return malformed;
			break;
		case 44:
			WANT(c, 8);
			if (load16(c->p + 2) & 0xfff9)
				return fragments;
			h = 8;
			break;
		default:
			k->length = c->n;
			return transport(proto, tunnels);
		}
		if (h > c->n)
			return malformed;
		if (h > 256) // the verifier adds up how far this may lead
			return left_extensions;
		if (c->p + h > c->end)
			return left_cut;
		proto = *(u8 *)c->p;
		skip_bytes(c, h);
		if (!hide(c, v))
			return left_extensions;
	}
	switch (proto) {
	case 0:
	case 43:
	case 44:
	case 51:
	case 60:
		return left_extensions;
	}
	k->length = c->n;
	return transport(proto, tunnels);
}

// ppp_protocol reads the protocol of PPP at p, of which four bytes are there. Address
// and control may be left out, and the protocol be in one byte (RFC 1661).
INLINE u16 ppp_protocol(const u8 *p)
{
	u32 word = load32(p);
	if (word >> 16 == 0xff03)
		word <<= 16;
	return word >> 24 & 1 ? word >> 24 : word >> 16;
}

// sealed_pptp says whether GRE carries PPP with something enciphered in it (RFC 2637
// section 4.1, RFC 3078).
INLINE int sealed_pptp(const struct cursor *c, u16 flags)
{
	const u8 *b = c->p;
	if ((flags & ~0x80) != 0x3001)
		return 0;
	u32 h = flags & 0x80 ? 16 : 12;
	asm volatile("" : "+r"(h)); // so that the sum is one
	h &= 31;
	if (c->n < h + 4 || (void *)b + h + 4 > c->end || !load16(b + 4))
		return 0;
	u32 word = load32(b + h); // all forms at once, or the verifier looks at each from here on
	return word >> 16 == 0xfd || word >> 24 == 0xfd || word == 0xff0300fd || word >> 8 == 0xff03fd;
}

// gre_header reads GRE of version 0 with IP or Ethernet inside, and knows PPTP.
INLINE int gre_header(struct cursor *c)
{
	WANT(c, 4);
	u16 flags = load16(c->p), t = load16(c->p + 2);
	if (flags & 0x4007)
		return tunnel && t == ETHER_PPP && sealed_pptp(c, flags) ? pptp : left_tunnel;
	if (!gre)
		return left_tunnel;
	u32 h = 4 + (flags & 0x8000 ? 4 : 0) + (flags & 0x2000 ? 4 : 0) + (flags & 0x1000 ? 4 : 0);
	WANT(c, h);
	skip_bytes(c, h);
	switch (t) {
	case ETHER_IPV4:
		return NEXT_IPV4;
	case ETHER_IPV6:
		return NEXT_IPV6;
	case ETHER_BRIDGED:
		return NEXT_ETHERNET;
	}
	return left_tunnel;
}

// gtp_header reads GTP-U of version 1 with a T-PDU (3GPP TS 29.281 section 5.1).
// NEXT_UDP says that it is none.
INLINE int gtp_header(struct cursor *c, struct view *v)
{
	struct cursor t = *c;
	u8 *b = t.p;
	if (t.n < 8)
		return NEXT_UDP;
	if (t.p + 8 > t.end)
		return left_cut;
	u8 flags = b[0];
	if ((flags & 0xf0) != 0x30 || b[1] != 255)
		return NEXT_UDP;
	u32 length = load16(b + 2);
	if (length > t.n - 8)
		return NEXT_UDP;
	skip_bytes(&t, 8);
	t.n = length;
	if (flags & 7) {
		if (t.n < 4)
			return NEXT_UDP;
		if (t.p + 4 > t.end)
			return left_cut;
		u8 next = flags & 4 ? ((u8 *)t.p)[3] : 0;
		skip_bytes(&t, 4);
		for (int i = 0; i < GTP_EXTENSIONS && next; i++) {
			if (t.n < 4)
				return NEXT_UDP;
			if (t.p + 4 > t.end)
				return left_cut;
			u32 h = *(u8 *)t.p * 4;
			if (h == 0 || t.n < h)
				return NEXT_UDP;
			if (h > 64)
				return left_tunnel;
			u32 last = h - 1;
			asm volatile("" : "+r"(last)); // so that the bound below stays, and the sum is one
			last &= 63;
			u8 *q = t.p + last;
			if ((void *)q + 1 > t.end)
				return left_cut;
			next = *q;
			skip_bytes(&t, h);
			if (!hide(&t, v))
				return left_tunnel;
		}
		if (next)
			return left_tunnel;
	}
	int version = inner_ip(&t);
	if (!version)
		return NEXT_UDP;
	*c = t;
	return after_inner(version);
}

// vxlan_header reads VXLAN (RFC 7348 section 5). NEXT_UDP says that it is none.
INLINE int vxlan_header(struct cursor *c)
{
	u8 *b = c->p;
	if (c->n < 8 + 14)
		return NEXT_UDP;
	if (c->p + 8 > c->end)
		return left_cut;
	if (!(b[0] & 8))
		return NEXT_UDP;
	if ((b[0] & ~0x88) || b[7] || (!(b[0] & 0x80) && (b[1] | b[2] | b[3])))
		return left_tunnel;
	skip_bytes(c, 8);
	return NEXT_ETHERNET;
}

enum {
	PORT_L2TP = 1701,
	PORT_GTPU = 2152,
	PORT_TEREDO = 3544,
	PORT_GRE = 4754,
	PORT_VXLAN = 4789,
	PORT_VXLANGPE = 4790,
	PORT_GENEVE = 6081,
	PORT_MPLS = 6635,
};

// l2tp_header gives NEXT_UDP for what is no data of L2TP with IP in it for certain:
// relays of gateways use its port too, and what PPP enciphered cannot be read (RFC 2661
// section 3.1). What may be is left.
INLINE int l2tp_header(const struct cursor *c)
{
	const u8 *b = c->p;
	if (c->n < 6)
		return NEXT_UDP;
	if ((void *)b + 6 > c->end)
		return left_tunnel;
	u16 flags = load16(b);
	if (flags == 3)
		return b[2] | b[3] ? NEXT_UDP : left_tunnel;
	if ((flags & ~0x4b00) != 2)
		return NEXT_UDP;
	if (flags & 0x0200)
		return left_tunnel;
	u32 at = 6 + (flags & 0x4000 ? 2 : 0) + (flags & 0x0800 ? 4 : 0);
	asm volatile("" : "+r"(at)); // so that the sum is one
	at &= 15;
	if (c->n < at + 4)
		return NEXT_UDP;
	if ((void *)b + at + 4 > c->end)
		return left_tunnel;
	u16 protocol = ppp_protocol(b + at);
	return protocol == 0x21 || protocol == 0x57 ? left_tunnel : NEXT_UDP;
}

// tunnel_port gives the step that UDP between these ports leads to.
INLINE int tunnel_port(struct cursor *c, struct view *v, u16 sport, u16 dport, int tunnels)
{
	u16 port = dport;
	switch (dport) {
	case PORT_L2TP:
	case PORT_GTPU:
	case PORT_TEREDO:
	case PORT_GRE:
	case PORT_VXLAN:
	case PORT_VXLANGPE:
	case PORT_GENEVE:
	case PORT_MPLS:
		break;
	default:
		if (sport != PORT_L2TP && sport != PORT_GTPU && sport != PORT_TEREDO)
			return NEXT_UDP;
		port = sport;
	}
	if (gtp && port == PORT_GTPU && tunnels)
		return gtp_header(c, v);
	if (vxlan && port == PORT_VXLAN && tunnels)
		return vxlan_header(c);
	if (port == PORT_L2TP)
		return l2tp_header(c);
	return left_tunnel;
}

// udp_header reads a UDP header. NEXT_UDP says that a datagram was found.
INLINE int udp_header(struct cursor *c, struct packet *k, struct view *v, int tunnels)
{
	WANT(c, 8);
	u8 *b = c->p;
	u32 length = load16(b + 4);
	if (length != 0 && length < c->n) {
		if (length < 8)
			return malformed;
		c->n = length;
	}
	k->key.sport = *(u16 *)b;
	k->key.dport = *(u16 *)(b + 2);
	u16 sport = be16(k->key.sport), dport = be16(k->key.dport);
	skip_bytes(c, 8);
	if (unlikely(sport <= PORT_MPLS || dport <= PORT_MPLS)) {
		int next = tunnel_port(c, v, sport, dport, tunnels);
		if (next != NEXT_UDP)
			return next;
	}
	k->proto = UDP;
	k->flags = 0;
	k->at = c->p - v->data;
	k->length = c->n;
	return NEXT_UDP;
}

INLINE int tcp_header(struct cursor *c, struct packet *k, struct view *v)
{
	WANT(c, 20);
	u8 *b = c->p;
	u32 h = (b[12] >> 4) * 4;
	if (h < 20 || h > c->n)
		return malformed;
	k->key.sport = *(u16 *)b;
	k->key.dport = *(u16 *)(b + 2);
	k->proto = TCP;
	k->flags = b[13] & 31;
	k->at = c->p - v->data + h;
	k->length = c->n - h;
	return NEXT_TCP;
}

// read_ip reads from an IP header on.
INLINE int read_ip(int next, struct cursor *c, struct packet *k, struct view *v, int tunnels)
{
	if (next == NEXT_IPV4)
		next = ipv4(c, k, tunnels);
	else if (next == NEXT_IPV6)
		next = ipv6(c, k, v, tunnels);
	if (next != NEXT_UDP && next != NEXT_TCP && next != NEXT_GRE)
		return next;
	if (!hide(c, v))
		return left_extensions;
	if (next == NEXT_UDP)
		return udp_header(c, k, v, tunnels);
	if (next == NEXT_TCP)
		return tcp_header(c, k, v);
	return gre_header(c);
}

// plain_ipv4 says whether IPv4 without options is in Ethernet at b.
INLINE int plain_ipv4(const u8 *b)
{
	return (*(u32 *)(b + 12) & be32(0xffffff00)) == be32(ETHER_IPV4 << 16 | 0x4500);
}

// plain_proto says whether it is no fragment and carries proto.
INLINE int plain_proto(const u8 *b, u8 proto)
{
	return (*(u32 *)(b + 20) & be32(0x3fff00ff)) == be32(proto);
}

// read_plain reads the frame that most are: Ethernet, IPv4 without options, UDP or
// TCP, whose lengths agree. 0 says that it is another, or that it takes more than a
// look. It is there for speed alone.
INLINE int read_plain(void *data, void *end, u32 wire, struct packet *k)
{
	u8 *b = data;
	if (data + 54 > end)
		return 0;
	if (!plain_ipv4(b))
		return 0;
	u32 total = load16(b + 16);
	if (total > wire - 14 || total < 40)
		return 0;
	u16 sport = *(u16 *)(b + 34), dport = *(u16 *)(b + 36);
	u32 at = 42, length;
	int next = NEXT_UDP;
	if (plain_proto(b, UDP)) {
		u32 n = load16(b + 38);
		if (n > total - 20 || n < 8)
			return 0;
		if (be16(sport) <= PORT_MPLS || be16(dport) <= PORT_MPLS)
			return 0;
		length = n - 8;
		k->proto = UDP;
		k->flags = 0;
	} else if (plain_proto(b, TCP)) {
		u32 h = (b[46] >> 4) * 4;
		if (h < 20 || h > total - 20)
			return 0;
		at = 34 + h;
		length = total - 20 - h;
		k->proto = TCP;
		k->flags = b[47] & 31;
		next = NEXT_TCP;
	} else {
		return 0;
	}
	u32 zero = opaque;
	k->v6 = zero & 1;
	k->key.src[0] = k->key.src[1] = k->key.dst[0] = k->key.dst[1] = zero;
	k->key.src[2] = k->key.dst[2] = be32(0xffff) | zero;
	k->key.src[3] = *(u32 *)(b + 26);
	k->key.dst[3] = *(u32 *)(b + 30);
	k->key.sport = sport;
	k->key.dport = dport;
	k->at = at + zero;
	k->length = length;
	return next;
}

// read_frame reads a frame into k: NEXT_UDP, NEXT_TCP, or the counter that says what
// else it is.
INLINE int read_frame(struct view *v, struct packet *k)
{
	int next = read_plain(v->data, v->end, v->wire, k);
	if (likely(next))
		return next;
	struct cursor c = {.p = v->data, .end = v->end, .n = v->wire};
	next = ethernet(&c);
	if (next < counters_max)
		return next;
	if (!hide(&c, v))
		return left_link;
	next = read_ip(next, &c, k, v, 1);
	if (next < counters_max || next == NEXT_UDP || next == NEXT_TCP)
		return next;
	if (!gtp && !vxlan && !gre)
		return left_tunnel;
	if (home && held(k->key.src, k->key.dst))
		return left_held;
	if (!hide(&c, v))
		return left_tunnel;
	if (next == NEXT_ETHERNET) {
		next = ethernet(&c);
		if (next < counters_max)
			return next;
		if (!hide(&c, v))
			return left_link;
	}
	return read_ip(next, &c, k, v, 0);
}

#endif
