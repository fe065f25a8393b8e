package pipeline

import "sync"

// arenaSize is how many messages one arena holds: some 12 KB. Nearly every shard
// has a message or two in an epoch, and memory that is touched for the first time
// costs more than what is done with it.
const arenaSize = 8

// arena is a piece of room for messages. They are large, so that lists of them
// must neither grow by copying nor be kept by every shard for its worst moment.
type arena [arenaSize]message

// arenas is the room of all shards.
type arenas struct {
	mu   sync.Mutex
	free []*arena
}

// spareArenas is how many are kept when nobody uses them.
const spareArenas = 512

func (a *arenas) get() *arena {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.free); n > 0 {
		last := a.free[n-1]
		a.free = a.free[:n-1]
		return last
	}
	return new(arena)
}

func (a *arenas) put(back []*arena) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range back {
		if len(a.free) < spareArenas {
			a.free = append(a.free, b)
		}
	}
}
