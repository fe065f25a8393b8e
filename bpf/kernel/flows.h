// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// The accounting of media by docs/interval.md, field by field as rtp.Accounting
// does it; the names are those of rtp/. The sweep is in user space, which only
// reads: see bpf/sweep.go.
#ifndef SIMTRAP_FLOWS_H
#define SIMTRAP_FLOWS_H

#include "config.h"
#include "counters.h"
#include "parse.h"

#define SECOND 1000000000ULL
#define LENGTH (2 * SECOND)
#define IDLE (30 * SECOND)
#define MS 1000000ULL

enum {
	MAX_PAYLOAD = 352,
	NO_PT = 0xff,
	FULL_RECORD = 0xffff,
	MAX_DROPOUT = 3000,
	WINDOW = 64,
	TAKE_OVER = 3,
	MIN_IN_STEP = 4,
	MIN_PACKETS = 24,
	MAX_HIDDEN = 1500, // the longest datagram that SIP under a keystream is looked for in
};

// gate is what is kept of one direction of a flow that cannot be read, see tunnel.h.
struct gate {
	u16 length; // the present one, by its number
	u8 n;       // packets of the size of voice in it, ENOUGH at most
	u8 state;
};

// interval is a record as it is handed over. Its fields stand so that what every
// packet of a voice touches is in one line of the cache, and what it counts in one
// word; see flow and voice.
struct interval {
	u64 last; // stays when the record is closed: it is the flow's newest arrival

	// From here on all is emptied when the record is closed.
	u64 max_gap;
	u64 least_arrival;
	u16 packets; // of the four, none is ever more than this
	u16 source;
	u16 in_step;
	u16 timed;
	u32 least_timestamp;
	u32 jitter;
	u32 bytes;
	u16 duplicates;
	u16 sizes[2];
	u16 size_counts[2];
	u16 gaps[8];
	u16 size_misses;
	u16 others;
	u16 rtcp;
	u16 skips;
	u16 late;
	u16 jumps;
	u16 untimed;
	u16 breaks;
	u16 events;
	u16 sides;
	u16 keys;
	u16 marks;
	u8 pt;
	u8 side_pt;
	u64 first;
	u64 start_arrival; // 0 where least_arrival is
	u32 start_timestamp;
	u32 ssrc;
	u32 rate;
	u32 step;
	u32 lost;

	// To here.
	u32 number;
	u64 epoch;
	struct key key;
	struct gate gate; // not of the record: there was room
};

// source is the source in force, and of its contender what fits.
struct source {
	u64 seen;
	u64 main_at;
	u32 new_ts; // this and the next are written as one
	u32 main_ts;
	u16 newest; // and so are these
	u16 main_seq;
	u8 pt; // these four are asked as one, see STEADY
	u8 set;
	u8 chain; // CHAINED, STRAY
	u8 run;
	u32 ssrc;
	u32 step;
	u32 jitter;
	u8 rival_pt;
	u8 side_pt;
	u8 sided;
	u8 sent; // datagrams that went up as the flow's first; FOLLOW: all of them go
};

// CHAINED says that main_at, main_ts and main_seq are those of the packet before,
// STRAY that other is the last timestamp step, which was not as those before.
enum { CHAINED = 1, STRAY = 2 };

// STEADY is pt, set, chain and run of a source with payload type t, which nobody
// contends with and whose last timestamp step was as those before.
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define STEADY(t) ((t) | 1 << 8 | CHAINED << 16)
#else
#define STEADY(t) ((t) << 24 | 1 << 16 | CHAINED << 8)
#endif

enum { FOLLOW = 255 };

// seldom is what else there is of a source and its contender.
struct seldom {
	u32 other;
	u32 side_ts;
	u32 rival_id;
	u32 rival_ts;
};

// flow is one record, with what is carried from interval to interval. It is 256
// bytes: behind the table's own 48 and a key of 12 it begins a line of the cache,
// and most packets touch two of its four.
struct flow {
	u64 end; // of the interval
	struct source s;
	struct interval iv;
	struct seldom r;
};

// type is an entry of the table of payload types.
struct type {
	u32 rate;
	u32 side;
};

// key4 is a flow of IPv4. It has a table of its own: a hash of 12 bytes takes a
// third of the time that one of 36 does, and neither family displaces the other.
struct key4 {
	u32 src;
	u32 dst;
	u16 sport;
	u16 dport;
};

struct {
	__uint(type, MAP_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct key4);
	__type(value, struct flow);
} flows4 SEC(".maps");

struct {
	__uint(type, MAP_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct key);
	__type(value, struct flow);
} flows6 SEC(".maps");

// starts are the first packets of flows: when they came.
struct {
	__uint(type, MAP_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct key);
	__type(value, u64);
} starts_seen SEC(".maps");

struct {
	__uint(type, MAP_RINGBUF);
	__uint(max_entries, 8 << 20);
} interval_ring SEC(".maps");

struct {
	__uint(type, MAP_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} interval_events SEC(".maps");

// types is the table of payload types, set before the programs are loaded.
const volatile struct type types[128] = {};

// blank is a new flow. What is not zero in it is set where it is used.
const struct flow blank = {};

// clear leaves f without a source.
INLINE void clear(struct flow *f)
{
	u8 sent = f->s.sent;
	__builtin_memset(&f->s, 0, sizeof(f->s));
	__builtin_memset(&f->r, 0, sizeof(f->r));
	f->s.sent = sent;
}

// close ends the record of f and emits it if there is enough in it.
APART int close(void *ctx, struct flow *f, struct counters *c)
{
	struct interval *iv = &f->iv;
	if (!(iv->packets | iv->duplicates))
		return 0;
	if (iv->packets) {
		iv->pt = NO_PT;
		if (iv->source) {
			iv->ssrc = f->s.ssrc;
			iv->pt = f->s.pt;
			iv->step = f->s.step;
			if (f->s.pt != NO_PT)
				iv->rate = types[f->s.pt & 127].rate;
		}
		if (iv->in_step >= MIN_IN_STEP || iv->packets >= MIN_PACKETS) {
			long err;
			if (ring)
				err = ringbuf_output(&interval_ring, iv, sizeof(*iv), RING_NO_WAKEUP);
			else
				err = perf_event_output(ctx, &interval_events, CURRENT_CPU, iv, sizeof(*iv));
			count(c, err ? intervals_lost : intervals);
		} else {
			count(c, sparse);
			c->n[sparse_packets] += iv->packets;
		}
	}
	if (!(iv->source | iv->duplicates))
		clear(f);
	__builtin_memset(&iv->max_gap, 0,
	                 __builtin_offsetof(struct interval, number) - __builtin_offsetof(struct interval, max_gap));
	return 0;
}

// header is what is read of an RTP packet.
struct header {
	u32 ssrc;
	u32 timestamp;
	u16 seq;
	u8 first; // byte
	u8 pt;
	u8 marker;
};

enum kind { UNREADABLE, RTCP, READABLE };

// read_rtp reads the payload of length bytes at p, of which at least twelve are
// there.
INLINE enum kind read_rtp(void *p, void *end, u32 length, struct header *h)
{
	u8 *b = p;
	if (p + 12 > end || b[0] >> 6 != 2)
		return UNREADABLE;
	h->first = b[0];
	if (b[1] >= 192 && b[1] <= 223)
		return RTCP;
	h->pt = b[1] & 0x7f;
	if (h->pt >= 72 && h->pt <= 76)
		return UNREADABLE;
	h->marker = b[1] >> 7;
	h->seq = load16(b + 2);
	h->timestamp = load32(b + 4);
	h->ssrc = load32(b + 8);
	if (unlikely(b[0] & 0x3f)) {
		u32 need = 12 + 4 * (b[0] & 0xf);
		if (b[0] & 0x10) {
			if (length < need + 4 || p + need + 4 > end)
				return UNREADABLE;
			need += 4 + 4 * (u32)load16(p + need + 2);
		}
		if (b[0] & 0x20)
			need++;
		if (length < need)
			return UNREADABLE;
	}
	return READABLE;
}

enum place { IN_STEP, SKIP, LATE, COPIED, JUMP, BEGIN };

INLINE enum place locate(const struct source *s, u16 seq, u32 ts, u16 *dist)
{
	u16 d = seq - s->newest, back = -d;
	*dist = d;
	if (likely(d == 1))
		return IN_STEP;
	if (d == 0)
		return ts == s->new_ts ? COPIED : JUMP;
	if (d <= MAX_DROPOUT)
		return SKIP;
	if (back < WINDOW) {
		*dist = back;
		return s->seen >> back & 1 ? COPIED : LATE;
	}
	return JUMP;
}

// rival hears of a packet of another source and says whether that takes over.
INLINE int rival(struct flow *f, const struct header *h)
{
	struct source *s = &f->s;
	if (s->run == 0 || f->r.rival_id != h->ssrc || s->rival_pt != h->pt)
		s->run = 1;
	else if (f->r.rival_ts != h->timestamp)
		s->run++;
	f->r.rival_id = h->ssrc;
	s->rival_pt = h->pt;
	f->r.rival_ts = h->timestamp;
	return s->run == TAKE_OVER;
}

INLINE void start(struct flow *f, const struct header *h, int side)
{
	clear(f);
	f->s.set = 1;
	f->s.ssrc = h->ssrc;
	f->s.pt = side ? NO_PT : h->pt;
}

INLINE void advance(struct flow *f, enum place at, u16 d, const struct header *h)
{
	struct source *s = &f->s;
	switch (at) {
	case IN_STEP:
		f->iv.in_step++;
		s->seen = s->seen << 1 | 1;
		break;
	case SKIP:
		f->iv.skips++;
		f->iv.lost += (u32)d - 1;
		s->seen = d < WINDOW ? s->seen << d | 1 : 1;
		break;
	case LATE:
		f->iv.late++;
		s->seen |= 1ULL << (d & 63);
		return;
	case JUMP:
		f->iv.jumps++;
	default:
		s->seen = 1;
		s->chain &= ~CHAINED;
	}
	s->newest = h->seq;
	s->new_ts = h->timestamp;
}

// beside counts a packet of the source in force that is not of its main type.
INLINE void beside(struct flow *f, const struct header *h)
{
	struct source *s = &f->s;
	struct interval *iv = &f->iv;
	if (iv->events == 0)
		iv->side_pt = h->pt;
	iv->events++;
	if (h->pt == iv->side_pt) {
		iv->sides++;
		if (!s->sided || f->r.side_ts != h->timestamp || s->side_pt != h->pt)
			iv->keys++;
	}
	s->sided = 1;
	s->side_pt = h->pt;
	f->r.side_ts = h->timestamp;
}

// judge counts timestamp step dt as timed or not.
INLINE void judge(struct flow *f, u32 dt, int neighbours)
{
	struct source *s = &f->s;
	int forward = dt != 0 && dt < 1U << 31;
	if (s->step == 0) {
		if (!forward || !neighbours)
			return;
		s->step = dt;
		f->iv.timed++;
	} else if (dt == s->step || (forward && dt % s->step == 0)) {
		f->iv.timed++;
		s->chain &= ~STRAY;
	} else {
		f->iv.untimed++;
		if (forward && s->chain & STRAY && dt == f->r.other) {
			s->step = dt;
			s->chain &= ~STRAY;
		} else {
			f->r.other = dt;
			s->chain |= STRAY;
		}
	}
}

// per_second is x / 10^9. A division is the dearest thing in the program; where x is
// below 2^40, as between packets of voice, x / 2^9 / 5^9 is the product with
// 2^52 / 5^9, exactly.
INLINE u64 per_second(u64 x)
{
	if (likely(x < 1ULL << 40))
		return (x >> 9) * 2305843010ULL >> 52;
	return x / SECOND;
}

// timing keeps the timing of the source in force, for a main packet that is not
// late.
INLINE void timing(struct flow *f, u64 t, const struct header *h, u32 rate)
{
	struct source *s = &f->s;
	struct interval *iv = &f->iv;
	int whole = s->chain & CHAINED;
	if (likely(whole)) {
		u32 dt = h->timestamp - s->main_ts;
		judge(f, dt, (u16)(h->seq - s->main_seq) == 1);
		u64 since = t - s->main_at;
		if (rate && since <= IDLE) {
			s64 off = (s64)per_second(since * rate) - (s32)dt;
			if (off < 0)
				off = -off;
			if (off >= 2 * (s64)rate) {
				iv->breaks++;
				whole = 0;
			} else {
				s->jitter += (u32)off - ((s->jitter + 8) >> 4);
				if (s->jitter > iv->jitter)
					iv->jitter = s->jitter;
			}
		}
	}
	if (!whole || iv->least_arrival == 0) {
		iv->start_arrival = iv->least_arrival = t;
		iv->start_timestamp = iv->least_timestamp = h->timestamp;
	} else if (rate) {
		s64 transit = (s64)((t - iv->least_arrival) * rate) -
		              (s64)(s32)(h->timestamp - iv->least_timestamp) * (s64)SECOND;
		if (transit < 0) {
			iv->least_arrival = t;
			iv->least_timestamp = h->timestamp;
		}
	}
	s->chain |= CHAINED;
	s->main_at = t;
	s->main_ts = h->timestamp;
	s->main_seq = h->seq;
}

// bin gives the bin of a time between packets.
INLINE u32 bin(u64 gap)
{
	if (gap < 18 * MS)
		return gap < 5 * MS ? 0 : gap < 12 * MS ? 1 : 2;
	if (gap < 22 * MS)
		return 3;
	if (gap < 28 * MS)
		return 4;
	if (gap < 32 * MS)
		return 5;
	return gap < 42 * MS ? 6 : 7;
}

INLINE void size(struct interval *iv, u16 n)
{
	if (iv->sizes[0] == n && iv->size_counts[0]) {
		iv->size_counts[0]++;
	} else if (iv->sizes[1] == n && iv->size_counts[1]) {
		iv->size_counts[1]++;
	} else if (!iv->size_counts[0]) {
		iv->sizes[0] = n;
		iv->size_counts[0] = 1;
	} else if (!iv->size_counts[1]) {
		iv->sizes[1] = n;
		iv->size_counts[1] = 1;
	} else {
		iv->size_counts[0]--;
		iv->size_counts[1]--;
		iv->size_misses++;
	}
}

// account adds one packet to the record of f, and takes it from meter if it goes on
// with the sequence of the source in force: then it is readable for certain. A copy is
// in a record in which others are.
INLINE void account(void *ctx, struct flow *f, struct counters *c, u64 t, u32 length, enum kind k,
                    const struct header *h)
{
	struct interval *iv = &f->iv;
	if (unlikely(t >= f->end || (u32)iv->packets + iv->duplicates == FULL_RECORD)) {
		close(ctx, f, c);
		if (t >= f->end) {
			u64 n = (t - iv->epoch) / LENGTH;
			iv->number = n;
			f->end = iv->epoch + ((u64)iv->number + 1) * LENGTH;
		}
	}
	struct source *s = &f->s;
	enum place at = BEGIN;
	u16 d = 0;
	int ours = 0, main = 0;
	u32 rate = 0;
	if (likely(k == READABLE)) {
		int side = types[h->pt & 127].side;
		rate = types[h->pt & 127].rate;
		if (unlikely(!s->set)) {
			start(f, h, side);
		} else if (h->ssrc == s->ssrc) {
			at = locate(s, h->seq, h->timestamp, &d);
			if (at == COPIED) {
				iv->duplicates++;
				if (iv->in_step)
					c->passed.proto = 0;
				return;
			}
		}
		if (!side) {
			if (likely(h->ssrc == s->ssrc && (h->pt == s->pt || s->pt == NO_PT))) {
				s->pt = h->pt;
				s->run = 0;
				main = 1;
			} else if (rival(f, h)) {
				struct source old = *s;
				u32 old_side_ts = f->r.side_ts;
				close(ctx, f, c);
				start(f, h, 0);
				if (h->ssrc == old.ssrc) {
					s->seen = old.seen;
					s->newest = old.newest;
					s->new_ts = old.new_ts;
					s->sided = old.sided;
					s->side_pt = old.side_pt;
					f->r.side_ts = old_side_ts;
				}
				main = 1;
			}
		}
		ours = h->ssrc == s->ssrc;
	}

	if (iv->packets == 0)
		iv->first = t;
	u64 gap = t - iv->last;
	iv->last = t;
	iv->packets++;
	iv->bytes += length;
	iv->gaps[bin(gap)]++;
	if (gap > iv->max_gap)
		iv->max_gap = gap;
	size(iv, length);

	if (k == RTCP) {
		iv->rtcp++;
	} else if (k == READABLE) {
		if (!ours) {
			iv->others++;
			return;
		}
		iv->source++;
		if (at <= LATE)
			c->passed.proto = 0;
		advance(f, at, d, h);
		if (!main) {
			beside(f, h);
			return;
		}
		if (h->marker)
			iv->marks++;
		if (at != LATE)
			timing(f, t, h, rate);
	}
}

// voice adds one packet to the record of f if it is what nearly all of a voice's are:
// the next one of the only source there is, a timestamp step after the last, not the
// first in its interval. Payload type, sequence number, timestamp and ssrc are pt to
// ssrc. It does what account would, in half the time, and if it gives 0 it did nothing.
INLINE int voice(struct flow *f, u64 t, u32 length, u32 pt, u16 seq, u32 ts, u32 ssrc)
{
	struct source *s = &f->s;
	struct interval *iv = &f->iv;
	u32 state, rate = types[pt & 127].rate, step = ts - s->main_ts;
	u64 gap = t - iv->last, since = t - s->main_at;
	__builtin_memcpy(&state, &s->pt, sizeof(state));
	if (state != STEADY(pt) || s->ssrc != ssrc || (u16)(seq - s->newest) != 1 || step != s->step || !step || !rate)
		return 0;
	// What is backwards is much. That of IDLE there is less, flows are told by gap;
	// and since times any rate of RTP is below 2^63.
	if (t >= f->end || gap > IDLE || since > IDLE || iv->packets + iv->duplicates >= FULL_RECORD ||
	    !iv->least_arrival || iv->sizes[0] != length || !iv->size_counts[0])
		return 0;
	s64 off = (s64)per_second(since * rate) - (s32)step;
	if (off < 0)
		off = -off;
	if (off >= 2 * (s64)rate)
		return 0;

	u64 four;
	__builtin_memcpy(&four, &iv->packets, sizeof(four));
	four += 0x0001000100010001; // none of them overflows
	__builtin_memcpy(&iv->packets, &four, sizeof(four));
	iv->last = t;
	iv->bytes += length;
	iv->size_counts[0]++;
	iv->gaps[bin(gap)]++;
	if (gap > iv->max_gap)
		iv->max_gap = gap;
	u32 jitter = s->jitter;
	jitter += (u32)off - ((jitter + 8) >> 4);
	s->jitter = jitter;
	if (jitter > iv->jitter)
		iv->jitter = jitter;
	if ((s64)((t - iv->least_arrival) * rate) < (s64)(s32)(ts - iv->least_timestamp) * (s64)SECOND) {
		iv->least_arrival = t;
		iv->least_timestamp = ts;
	}
	s->seen = s->seen << 1 | 1;
	s->main_at = t;
	u64 both = ts * 0x100000001ULL;
	__builtin_memcpy(&s->new_ts, &both, sizeof(both));
	u32 seqs = seq * 0x10001U;
	__builtin_memcpy(&s->newest, &seqs, sizeof(seqs));
	return 1;
}

INLINE void key4_of(struct key4 *four, const struct key *k)
{
	four->src = k->src[3];
	four->dst = k->dst[3];
	four->sport = k->sport;
	four->dport = k->dport;
}

// find gives the record of a flow, or 0.
INLINE struct flow *find(const struct packet *k)
{
	if (unlikely(k->v6))
		return map_lookup(&flows6, &k->key);
	struct key4 four;
	key4_of(&four, &k->key);
	return map_lookup(&flows4, &four);
}

// forget takes a flow out.
APART int forget(const struct packet *k)
{
	if (k->v6)
		return map_delete(&flows6, &k->key);
	struct key4 four;
	key4_of(&four, &k->key);
	return map_delete(&flows4, &four);
}

// second looks whether a flow without a record is known by its first packet; if
// so a record is made, else this packet is the first.
APART struct flow *second(const struct packet *k, struct counters *c, u64 t)
{
	u64 *began = map_lookup(&starts_seen, &k->key);
	if (!began || (s64)(t - *began) > (s64)IDLE) {
		if (!began)
			count(c, starts_kept);
		map_update(&starts_seen, &k->key, &t, ANY);
		return 0;
	}
	u64 epoch = *began;
	map_delete(&starts_seen, &k->key);
	long err;
	if (k->v6) {
		err = map_update(&flows6, &k->key, &blank, ANY);
	} else {
		struct key4 four;
		key4_of(&four, &k->key);
		err = map_update(&flows4, &four, &blank, ANY);
	}
	struct flow *f = err ? 0 : find(k);
	if (!f) {
		count(c, records_refused);
		return 0;
	}
	count(c, records);
	f->iv.key = k->key;
	f->iv.epoch = epoch;
	f->end = epoch + LENGTH;
	f->iv.last = epoch;
	return f;
}

#endif
