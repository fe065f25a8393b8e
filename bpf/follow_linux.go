package bpf

const numMarks = 16384

// canonical turns a key so that both directions of a connection have the same, as
// kernel/follow.h does.
func canonical(k *kernelKey) {
	if k.Src[3] > k.Dst[3] || k.Src[3] == k.Dst[3] && k.Sport > k.Dport {
		k.Src, k.Dst = k.Dst, k.Src
		k.Sport, k.Dport = k.Dport, k.Sport
	}
}

// markOf gives the place of a connection's mark, as kernel/follow.h does.
func markOf(k *kernelKey) uint32 {
	x := k.Src[0] ^ k.Src[1] ^ k.Src[3] ^ k.Dst[0] ^ k.Dst[1] ^ k.Dst[3]
	return (x ^ uint32(k.Sport+k.Dport)<<16) >> 18
}
