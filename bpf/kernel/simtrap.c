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
#include "tunnel.h"

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

INLINE int tell(struct view *v)
{
	struct packet k;
	__builtin_memset(&k, 0, sizeof(k));
	int what = read_frame(v, &k);
	u32 zero = 0;
	struct reading *r = map_lookup(&readings, &zero);
	if (!r)
		return 0;
	r->key = k.key;
	r->verdict = what;
	r->at = k.at;
	r->length = k.length;
	r->proto = k.proto;
	r->flags = k.flags;
	return 0;
}

// The frame is read anew for it, apart, so that the verifier looks at what follows in a
// test as often as else.
APART int tell_xdp(void *ctx)
{
	struct view v = {.ctx = ctx};
	again(&v);
	v.wire = v.end - v.data;
	return tell(&v);
}

APART int tell_tc(void *ctx)
{
	struct view v = {.ctx = ctx, .wire = ((volatile struct __sk_buff *)ctx)->len, .tc = 1};
	again(&v);
	return tell(&v);
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

// large_flow gives the record of a large datagram's flow if one is there that has no
// RTP: SIP under a keystream may be in it. QUIC, which is most of what is large, is not
// asked about, nor is the table for what tells itself what it is.
APART struct flow *large_flow(const struct packet *k)
{
	if (k->length > MAX_HIDDEN || k->key.sport == be16(443) || k->key.dport == be16(443))
		return 0;
	struct flow *f = find(k);
	return f && !f->s.set ? f : 0;
}

// plain handles a datagram that does not read as RTP, whatever its length. f is
// the record of its flow if there is one; of a large one it is looked for here.
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
			if (p[0] <= 0x17) { // RAS ends with messages that tell nothing
				if (length > MAX_PAYLOAD)
					f = large_flow(k);
				if (f)
					f->s.sent = FOLLOW;
			}
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
	if (length > MAX_PAYLOAD)
		f = large_flow(k);
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

// hundred_thousands gives n / 100000, for n below 2^36, without dividing.
INLINE u64 hundred_thousands(u64 n)
{
	return (n >> 5) * 2814749768ULL >> 43;
}

// disguise makes the packet, the nth, one of as many flows as bench says, each in step,
// for the measurement of costs. Each pass over the flows has an order of its own, or
// records would be used in the order that they lie in.
INLINE void disguise(u32 *src, u16 *seq, u32 *timestamp, u64 n)
{
	if (bench == ONE_FLOW) {
		*seq = n;
		*timestamp = (u32)n * 160;
		return;
	}
	u64 pass = hundred_thousands(n);
	u64 at = (n - pass * 100000) * ((pass * 7919 & 8191) * 10 + 3) + (pass * 31337 & 0xffff);
	*src ^= (u32)(at - hundred_thousands(at) * 100000);
	*seq = pass;
	*timestamp = (u32)pass * 160;
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

INLINE void udp_datagram(const struct view *v, struct counters *c, struct packet *k)
{
	if (unlikely(k->length == 0)) {
		count(c, udp_empty);
		return;
	}
	if (unlikely(k->length > MAX_PAYLOAD)) {
		count(c, udp_large);
		if (tunnel && unlikely(way_marks[mark(&k->key)]))
			pass_datagram(c, k, now());
		struct seen s;
		seen_of(&s, v, c, 0);
		plain(&s, k, 0);
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
		disguise(&k->key.src[3], &h.seq, &h.timestamp, c->n[accounted] + c->n[starts]);
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
		if (tunnel)
			pass_datagram(c, k, t);
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

// dull ends what most frames are: segments of TCP that nobody asks for, in the shape
// that most have. It says nothing that look would not, but sooner: in a program's own
// frame of the stack, which is small, with no register to save, and every question of
// the header put as one where it can be.
INLINE int dull(const u8 *b, const void *end, u32 wire, int in_test)
{
	if ((const void *)b + 54 > end || !plain_ipv4(b) || !plain_proto(b, TCP))
		return 0;
	u32 total = load16(b + 16);
	// The header's length must be 20 or more, and SYN not set.
	u32 more = (le16(*(const u16 *)(b + 46)) & 0x2f0) - 0x50;
	if (total > wire - 14 || more > 0xa0)
		return 0;
	more >>= 2;
	s32 length = (s32)(total - more);
	if (unlikely(length < 40))
		return 0;
	if (likely(length >= 44)) {
		const u8 *p = b + 54 + more;
		if ((const void *)p + 1 > end || classes[*p] & TCP_START)
			return 0;
		if (marks[mark_of(*(const u32 *)(b + 26) ^ *(const u32 *)(b + 30), *(const u32 *)(b + 34))])
			return 0;
	}
	u32 zero = 0;
	struct counters *c = map_lookup(&counts, &zero);
	if (unlikely(!c))
		return 0;
	u64 n = c->n[tcp_segments] + 1; // as thin will find it
	if (unlikely(!(n & (in_test ? (u64)sample - 1 : dull_mask))))
		return 0;
	c->n[tcp_segments] = n;
	return 1;
}

// spoken accounts a packet of a voice in the shape that most have, if there is a record
// of its flow: 1 if that is all there is to do. Like dull, it is there for speed alone.
INLINE int spoken(void *data, void *end, u32 wire)
{
	u8 *b = data;
	if (data + 54 > end || !plain_ipv4(b) || !plain_proto(b, UDP))
		return 0;
	u32 total = load16(b + 16), n = load16(b + 38), word = load32(b + 42);
	if (total > wire - 14 || n + 20 > total || n < 8 + 12 || n > 8 + MAX_PAYLOAD || word >> 23 != 0x100)
		return 0;
	struct key4 k = {
	    .src = *(u32 *)(b + 26), .dst = *(u32 *)(b + 30), .sport = *(u16 *)(b + 34), .dport = *(u16 *)(b + 36)};
	if (be16(k.sport) <= PORT_MPLS || be16(k.dport) <= PORT_MPLS)
		return 0;
	u32 zero = 0;
	struct counters *c = map_lookup(&counts, &zero);
	if (!c)
		return 0;
	u16 seq = word;
	u32 ts = load32(b + 46), ssrc = load32(b + 50);
	if (sample && !((c->n[accounted] + 1) & (sample - 1)))
		return 0;
	if (bench)
		disguise(&k.src, &seq, &ts, c->n[accounted] + c->n[starts]);
	u64 t = now();
	struct flow *f = map_lookup(&flows4, &k);
	if (!f || !voice(f, t, n - 8, word >> 16 & 0x7f, seq, ts, ssrc))
		return 0;
	count(c, accounted);
	return 1;
}

APART int spoken_xdp(void *ctx)
{
	struct view v = {.ctx = ctx};
	again(&v);
	return spoken(v.data, v.end, v.end - v.data);
}

APART int spoken_tc(void *ctx)
{
	struct view v = {.ctx = ctx, .tc = 1};
	again(&v);
	return spoken(v.data, v.end, ((volatile struct __sk_buff *)ctx)->len);
}

INLINE void look(struct view *v)
{
	u32 zero = 0;
	struct counters *c = map_lookup(&counts, &zero);
	if (!c)
		return;
	struct packet k;
	int what = read_frame(v, &k);
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
	if (tunnel && (what == esp || what == pptp))
		pass(c, &k, what == esp ? ESP : GRE, now());
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

APART int look_xdp(void *ctx)
{
	struct view v = {.ctx = ctx};
	again(&v);
	v.wire = v.end - v.data;
	look(&v);
	return 0;
}

// HEADERS is how much of a frame TC is to see at once.
enum { HEADERS = 256 };

// pull makes it so. It is apart, or the verifier looks at what follows once for frames
// that are shorter and once for those that are not.
APART int pull(struct __sk_buff *skb)
{
	u32 want = skb->len < HEADERS ? skb->len : HEADERS;
	if ((void *)(long)skb->data + want > (void *)(long)skb->data_end)
		skb_pull_data(skb, want);
	return 0;
}

APART int look_tc(void *ctx)
{
	struct view v = {.ctx = ctx, .wire = ((volatile struct __sk_buff *)ctx)->len, .tc = 1};
	again(&v);
	look(&v);
	return 0;
}

// A test is told what was read before anything else is done, then all goes the way that
// it goes else.
// Not apart: on the longest way each call takes 32 bytes of the stack in Linux 5.10, and
// one more would take them above 512.
INLINE int test_xdp(struct xdp_md *ctx)
{
	tell_xdp(ctx);
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (!dull(data, end, end - data, 1) && !spoken_xdp(ctx)) {
		look_xdp(ctx);
		if (tunnel)
			meter(ctx);
	}
	return 0;
}

INLINE int test_tc(struct __sk_buff *skb)
{
	pull(skb);
	tell_tc(skb);
	if (!dull((void *)(long)skb->data, (void *)(long)skb->data_end, skb->len, 1) && !spoken_tc(skb)) {
		look_tc(skb);
		if (tunnel)
			meter(skb);
	}
	return 0;
}

SEC("xdp")
int simtrap_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (unlikely(!dull(data, end, end - data, 0))) {
		if (test)
			test_xdp(ctx);
		else if (!spoken_xdp(ctx)) {
			look_xdp(ctx);
			if (tunnel)
				meter(ctx);
		}
	}
	return XDP_PASS - drop; // which is XDP_DROP where it is 1
}

// heard says whether user space is still there to want frames dropped: a filter of clsact
// outlives a process that is killed, and would cut a port off that is used for something
// else by then. The clock is read once in a tick of the kernel's. What XDP and TCX attach
// ends with the process.
APART int heard(void)
{
	u64 tick = jiffies64();
	if (unlikely(tick != drop_tick)) {
		drop_tick = tick;
		drop_over = (s64)(ktime_get_ns() - drop_until) >= 0;
	}
	if (likely(!drop_over))
		return 1;
	u32 zero = 0;
	struct counters *c = map_lookup(&counts, &zero);
	if (c)
		count(c, unheard);
	return 0;
}

SEC("tc")
int simtrap_tc(struct __sk_buff *skb)
{
	if (unlikely(!dull((void *)(long)skb->data, (void *)(long)skb->data_end, skb->len, 0))) {
		if (test) {
			test_tc(skb);
		} else if (!spoken_tc(skb)) {
			pull(skb);
			look_tc(skb);
			if (tunnel)
				meter(skb);
		}
	}
	return drop && heard() ? TC_DROP : TC_NEXT;
}

char terms[] SEC("license") = "Dual BSD/GPL";
