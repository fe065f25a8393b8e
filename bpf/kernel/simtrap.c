// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// The first look at every frame of a tap: media is accounted, what needs a mind
// goes up, all else ends here. One source for XDP and for TC.
#include "types.h"
#include "config.h"
#include "counters.h"
#include "parse.h"
#include "flows.h"
#include "sip.h"
#include "control.h"
#include "limit.h"
#include "sample.h"
#include "follow.h"

// reading is what the program read of a frame, for tests.
struct reading {
	struct key key;
	u32 verdict;
	u32 at;
	u32 length;
	u8 proto;
	u8 flags;
	u16 pad;
};

struct {
	__uint(type, MAP_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct reading);
} readings SEC(".maps");

INLINE void tell(const struct packet *k, u32 verdict)
{
	u32 zero = 0;
	struct reading *r = map_lookup(&readings, &zero);
	if (!r)
		return;
	r->key = k->key;
	r->verdict = verdict;
	r->at = k->at;
	r->length = k->length;
	r->proto = k->proto;
	r->flags = k->flags;
}

// thin says whether this frame, one of those that counter which counts, is in
// the sample.
INLINE int thin(const struct counters *c, u32 which)
{
	return sample && !(c->n[which] & (sample - 1));
}

// beginning lets a frame up that begins something on a line, within its budget.
INLINE void beginning(struct seen *s, struct packet *k, u32 why, u32 limited, int from_line)
{
	struct end line;
	end_of(&line, from_line ? k->key.src : k->key.dst, k->v6);
	if (allow_line(&line, clock(s), why))
		push(s, k, why, s->wire);
	else
		count(s->c, limited);
}

// crowd lets a frame up within the CPU's budget.
INLINE void crowd(struct seen *s, struct packet *k, u32 why, u32 limited)
{
	if (allow_cpu(clock(s), why))
		push(s, k, why, s->wire);
	else
		count(s->c, limited);
}

// tcp_segment handles a segment that may be of interest.
APART int tcp_segment(struct seen *s, struct packet *k)
{
	if (k->flags & 2) { // SYN: the line is who began
		beginning(s, k, up_syn, limited_syn, !(k->flags & 16));
		return 0;
	}
	if (followed(&k->key)) {
		push(s, k, up_follow, s->wire);
		return 0;
	}
	if (k->at > FARTHEST)
		return 0;
	u32 at = within(k->at);
	u8 *p = s->data + at;
	if (k->length < 4 || (void *)p + 4 > s->end)
		return 0;
	if (classes[p[0]] & TCP_START) {
		u32 word = load32(p);
		u32 why = control_tcp(p, s->end, k->length, word);
		if (!why && (sip_word(word) || a_method(classes, p, s->end, 1)))
			why = up_sip;
		switch (why) {
		case up_hello:
			beginning(s, k, up_hello, limited_hello, 1);
			return 0;
		case up_http:
			beginning(s, k, up_http, limited_http, word != FIRST('H', 'T', 'T', 'P'));
			return 0;
		case up_sip:
		case up_control:
			follow(&k->key);
			push(s, k, why, s->wire);
			return 0;
		}
	}
	if (thin(s->c, tcp_segments))
		push(s, k, up_sample, at + 8);
	return 0;
}

// plain handles a datagram that does not read as RTP, whatever its length. f is
// the record of its flow if there is one.
APART int plain(struct seen *s, struct packet *k, struct flow *f)
{
	if (k->at > FARTHEST)
		return 0;
	u32 at = within(k->at);
	u8 *p = s->data + at;
	u32 length = k->length;
	if (length >= 4 && (void *)p + 4 <= s->end) {
		u32 word = load32(p);
		u8 class = classes[p[0]];
		if (length >= 8 && p[0] >> 6 == 2 && p[1] >= 192 && p[1] <= 223) {
			push(s, k, up_rtcp, s->wire);
			return 0;
		}
		if ((class & UDP_START) && control_udp(p, s->end, length, word)) {
			push(s, k, up_control, s->wire);
			if (f && p[0] <= 0x17) // RAS ends with messages that tell nothing
				f->s.sent = FOLLOW;
			return 0;
		}
		if ((class & (TOKEN | BREAK)) && length >= 11 &&
		    ((class & BREAK) || sip_word(word) || (length >= 64 && sip_base64(word)) ||
		     a_method(classes, p, s->end, 0))) {
			push(s, k, up_sip, s->wire);
			return 0;
		}
		if (k->key.dport == be16(53) || k->key.sport == be16(53)) {
			beginning(s, k, up_dns, limited_dns, k->key.dport == be16(53));
			return 0;
		}
	}
	if ((f && f->s.sent == FOLLOW) || followed(&k->key)) {
		push(s, k, up_follow, s->wire);
		return 0;
	}
	if (f && f->s.sent < first) {
		f->s.sent++;
		crowd(s, k, up_first, limited_first);
		return 0;
	}
	if (thin(s->c, length > MAX_PAYLOAD ? udp_large : accounted))
		push(s, k, up_sample, at + 8);
	return 0;
}

// disguise makes the packet one of 2^(bench - 1) flows, each in step, for the
// measurement of costs.
INLINE void disguise(struct packet *k, struct header *h, u64 n)
{
	u32 shift = (bench - 1) & 31;
	if (bench > 1)
		k->key.src[3] ^= ((u32)n * 1103515245 + 12345) & ((1U << shift) - 1);
	h->seq = n >> shift;
	h->timestamp = (u32)(n >> shift) * 160;
}

// seen_of makes what the slow ways need; the fast ones never get here.
INLINE void seen_of(struct seen *s, const struct view *v, struct counters *c, u64 t)
{
	s->ctx = v->ctx;
	s->data = v->data;
	s->end = v->end;
	s->c = c;
	s->time = t;
	s->wire = v->wire;
	s->vlan_proto = s->vlan_tci = 0;
	if (v->tc) {
		struct __sk_buff *skb = v->ctx;
		if (skb->vlan_present) {
			s->vlan_proto = be16((u16)skb->vlan_proto);
			s->vlan_tci = skb->vlan_tci;
		}
	}
}

// tcp_fast says whether a segment may be of interest: next to none is.
INLINE int tcp_fast(const struct view *v, const struct counters *c, const struct packet *k)
{
	if (unlikely(k->flags & 2))
		return 1;
	if (k->length < 4)
		return 0;
	if (k->at > FARTHEST)
		return 0;
	u32 at = within(k->at);
	u8 *p = v->data + at;
	if ((void *)p + 1 > v->end)
		return 0;
	return classes[*p] & TCP_START || marks[mark(&k->key)] || thin(c, tcp_segments);
}

// dull says whether the frame is a segment of TCP that nobody asks for, in the shape
// that most have. It says nothing that tcp_fast would not, but sooner.
INLINE int dull(const struct view *v, const struct counters *c)
{
	u8 *b = v->data;
	if (v->data + 54 > v->end)
		return 0;
	if (!plain_ipv4(b) || !plain_proto(b, TCP))
		return 0;
	u32 total = load16(b + 16), control = load16(b + 46), h = control >> 12 << 2;
	s32 length = (s32)total - 20 - (s32)h;
	if (total > v->wire - 14 || h < 20 || control & 2)
		return 0;
	if (length < 4)
		return length >= 0;
	u8 *p = b + 34 + h;
	if ((void *)p + 1 > v->end || classes[*p] & TCP_START)
		return 0;
	u32 x = *(u32 *)(b + 26) ^ *(u32 *)(b + 30), y = (u32) * (u16 *)(b + 34) ^ *(u16 *)(b + 36);
	// The sample goes by how many there were with this one.
	return !marks[mark_of(x, y)] && !(sample && !((c->n[tcp_segments] + 1) & (sample - 1)));
}

INLINE void udp_datagram(const struct view *v, struct counters *c, struct packet *k)
{
	if (unlikely(k->length == 0)) {
		count(c, udp_empty);
		return;
	}
	if (unlikely(k->length > MAX_PAYLOAD)) {
		count(c, udp_large);
		// SIP under a keystream may be in here, of a flow that has small packets too
		// and no RTP; QUIC, which is most of what is large, is not asked about.
		struct flow *f = 0;
		if (k->length <= MAX_HIDDEN && k->key.sport != be16(443) && k->key.dport != be16(443))
			f = find(k);
		if (f && f->s.set)
			f = 0;
		struct seen s;
		seen_of(&s, v, c, 0);
		plain(&s, k, f);
		return;
	}
	u64 t = now();
	struct header h = {};
	enum kind reads = UNREADABLE;
	u32 at = within(k->at);
	if (k->at <= FARTHEST && k->length >= 12) {
		reads = read_rtp(v->data + at, v->end, k->length, &h);
		if (reads == UNREADABLE && v->data + at + 12 > v->end)
			count(c, header_cut);
	}
	// The verifier forgets here what it knows of these by the branches so far, so
	// that it looks at what follows once for each kind.
	u32 zero = opaque;
	h.first ^= zero;
	h.pt ^= zero;
	k->length ^= zero;
	if (bench)
		disguise(k, &h, c->n[accounted] + c->n[starts]);
	struct flow *f = find(k);
	if (unlikely(f && (s64)(t - f->iv.last) > (s64)IDLE)) {
		count(c, flows_idle);
		close(v->ctx, f, c);
		forget(k);
		f = 0;
	}
	if (unlikely(!f))
		f = second(k, c, t);
	if (likely(f)) {
		u64 when = t;
		if (unlikely((s64)(t - f->iv.last) < 0)) {
			count(c, backwards);
			when = f->iv.last;
		}
		count(c, accounted);
		account(v->ctx, f, c, when, k->length, reads, &h);
	} else {
		count(c, starts);
	}
	if (likely(reads == READABLE && !(classes[h.first] & UDP_START) && !thin(c, accounted)))
		return;
	struct seen s;
	seen_of(&s, v, c, t);
	if (reads == READABLE && !(classes[h.first] & UDP_START))
		push(&s, k, up_sample, at + 12);
	else
		plain(&s, k, f);
}

INLINE void look(struct view *v)
{
	u32 zero = 0;
	struct counters *c = map_lookup(&counts, &zero);
	if (!c)
		return;
	if (!test && dull(v, c)) {
		count(c, tcp_segments);
		return;
	}
	struct packet k;
	if (test)
		__builtin_memset(&k, 0, sizeof(k));
	int what = read_frame(v, &k);
	if (test)
		tell(&k, what);
	again(v);
	if (what == NEXT_UDP) {
		udp_datagram(v, c, &k);
		return;
	}
	struct seen s;
	if (what == NEXT_TCP) {
		count(c, tcp_segments);
		if (unlikely(tcp_fast(v, c, &k))) {
			seen_of(&s, v, c, 0);
			tcp_segment(&s, &k);
		}
		return;
	}
	if (what < 0 || what >= counters_max)
		return;
	count(c, what);
	if (what == fragments) {
		seen_of(&s, v, c, 0);
		crowd(&s, &k, up_fragment, limited_fragment);
	} else if (what >= left_link && what <= left_cut) {
		__builtin_memset(&k.key, 0, sizeof(k.key)); // not all of it may have been read
		k.v6 = 0;
		seen_of(&s, v, c, 0);
		crowd(&s, &k, up_left, limited_left);
	}
}

SEC("xdp")
int simtrap_xdp(struct xdp_md *ctx)
{
	struct view v = {
	    .ctx = ctx,
	    .data = (void *)(long)ctx->data,
	    .end = (void *)(long)ctx->data_end,
	};
	v.wire = v.end - v.data;
	look(&v);
	return drop ? XDP_DROP : XDP_PASS;
}

// HEADERS is how much of a frame TC is to see at once.
enum { HEADERS = 256 };

SEC("tc")
int simtrap_tc(struct __sk_buff *skb)
{
	u32 want = skb->len < HEADERS ? skb->len : HEADERS;
	if ((void *)(long)skb->data + want > (void *)(long)skb->data_end)
		skb_pull_data(skb, want);
	struct view v = {
	    .ctx = skb,
	    .data = (void *)(long)skb->data,
	    .end = (void *)(long)skb->data_end,
	    .wire = skb->len,
	    .tc = 1,
	};
	look(&v);
	return drop ? TC_DROP : TC_NEXT;
}

char terms[] SEC("license") = "Dual BSD/GPL";
