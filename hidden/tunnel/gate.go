package tunnel

// Gate says of one flow whether its intervals are worth keeping, from how many
// packets of the size of voice (24 to 383 bytes of payload) go each way in each
// Length of the clock. It is integers alone and the norm for kernel programs: it
// opens with the first packet after Opens lengths in a row with Least of them
// either way, and closes with the first packet after Stays lengths without as
// many. The zero value is shut.
type Gate struct {
	length uint32   // number of the present one since the Unix epoch
	n      [2]uint8 // packets either way in it, Least at most
	run    uint8    // lengths in a row that had enough, Opens at most
	stay   uint8    // lengths for which it stays open, 0 shut
}

// Of a Gate.
const (
	Least = 48 // in Length: 20 a second
	Opens = 3  // 7.2 s
	Stays = 25 // a minute
)

// Packet takes a packet of the size of voice at t, ns since the Unix epoch, and
// says whether the gate is open. Packets come in order of time; one from before
// counts in the present length.
func (g *Gate) Packet(t int64, up bool) bool {
	if now := uint32(t / int64(Length)); now > g.length {
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
		g.length, g.n = now, [2]uint8{}
	}
	way := 0
	if up {
		way = 1
	}
	if g.n[way] < Least {
		g.n[way]++
	}
	return g.stay > 0
}

// Voice says whether a packet of size bytes of payload is of the size of voice.
func Voice(size int) bool { return size >= least && size < VoiceBytes }
