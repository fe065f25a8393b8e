// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// What the programs need of the kernel's interface, written down here so that
// the objects do not depend on the headers of whoever builds them: numbers and
// layouts of linux/bpf.h, which never change.
#ifndef SIMTRAP_TYPES_H
#define SIMTRAP_TYPES_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef signed long long s64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define be16(x) __builtin_bswap16(x)
#define be32(x) __builtin_bswap32(x)
#define le16(x) (x)
#else
#define be16(x) (x)
#define be32(x) (x)
#define le16(x) __builtin_bswap16(x)
#endif

enum {
	MAP_HASH = 1,
	MAP_ARRAY = 2,
	MAP_PERF_EVENT_ARRAY = 4,
	MAP_PERCPU_ARRAY = 6,
	MAP_LRU_HASH = 9,
	MAP_LPM_TRIE = 11,
	MAP_RINGBUF = 27,
};

enum { ANY = 0, NOEXIST = 1 };
enum { NO_PREALLOC = 1 };

#define CURRENT_CPU 0xffffffffULL
#define RING_NO_WAKEUP 1

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const map_delete)(void *map, const void *key) = (void *)3;
static u64 (*const ktime_get_ns)(void) = (void *)5;
static u32 (*const get_prandom_u32)(void) = (void *)7;
static long (*const perf_event_output)(void *ctx, void *map, u64 flags, void *data, u64 size) = (void *)25;
static long (*const skb_pull_data)(void *skb, u32 len) = (void *)39;
static u64 (*const jiffies64)(void) = (void *)118;
static long (*const ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;

struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto;
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
};

enum { XDP_DROP = 1, XDP_PASS = 2 };
enum { TC_NEXT = -1, TC_DROP = 2 }; // TCX_NEXT is TC_ACT_UNSPEC

INLINE u16 load16(const void *p)
{
	return be16(*(const u16 *)p);
}
INLINE u32 load32(const void *p)
{
	return be32(*(const u32 *)p);
}

// FIRST gives four characters as load32 reads them.
#define FIRST(a, b, c, d) ((u32)(u8)(a) << 24 | (u32)(u8)(b) << 16 | (u32)(u8)(c) << 8 | (u32)(u8)(d))

#endif
