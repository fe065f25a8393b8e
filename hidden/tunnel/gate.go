package tunnel

// Gate says of one flow whether its intervals are worth keeping, from how many
// packets of the size of voice (24 to 352 bytes of payload) go each way in each
// Length of the clock. It is integers alone and the norm for kernel programs: it
// opens after Opens lengths in a row with Least of them either way, and closes after
// Stays lengths without as many. What is kept are whole lengths: the one in which it
// is found that it opens is not. The zero value is shut.
type Gate struct {
	length uint32   // number of the present one since the Unix epoch
	n      [2]uint8 // packets either way in it, Least at most
	run    uint8    // lengths in a row that had enough, Opens at most
	stay   uint8    // lengths for which it stays open, 0 shut; with fresh in that in which it opens
}

const fresh = 0x80

// Of a Gate.
const (
	Least = 48 // in Length: 20 a second
	Opens = 3  // 7.2 s
	Stays = 11 // 26 s: less than the silence after which a record of media is forgotten
)

// Packet takes a packet of size bytes of payload at t, ns since the Unix epoch, and
// says whether to keep it. Packets come in order of time; one from before counts in
// the present length.
func (g *Gate) Packet(t int64, up bool, size int) bool {
	if now := uint32(t / int64(Length)); now > g.length {
		was := g.stay &^ fresh
		g.stay = was
		missed := now - g.length - 1 // lengths without a packet
		enough := g.n[0] >= Least && g.n[1] >= Least
		switch {
		case enough && g.run+1 >= Opens:
			g.run, g.stay = Opens, Stays
		case enough:
			g.run++
		default:
			missed++
		}
		if missed > 0 {
			g.run = 0
			g.stay -= uint8(min(missed, uint32(g.stay)))
		}
		if was == 0 && g.stay > 0 {
			g.stay |= fresh
		}
		g.length, g.n = now, [2]uint8{}
	}
	if !Voice(size) {
		return g.kept()
	}
	way := 0
	if up {
		way = 1
	}
	if g.n[way] < Least {
		g.n[way]++
	}
	return g.kept()
}

func (g *Gate) kept() bool { return g.stay > 0 && g.stay&fresh == 0 }

// GateBytes is how large a payload may be to count for a gate, as it may for a record
// of media (docs/interval.md): a kernel program looks no other flow up while the gate
// is shut.
const GateBytes = 352

// Voice says whether a packet of size bytes of payload counts for a gate.
func Voice(size int) bool { return size >= least && size <= GateBytes }
