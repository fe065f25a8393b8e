package h323

// FramerStats counts what a Framer left aside.
type FramerStats struct {
	Other   uint64 // whole TPKTs that hold no message of H.225.0
	TooLong uint64 // messages above 16 KiB
	Skipped uint64 // bytes passed over in search of a TPKT
}

// Framer cuts one direction of a TCP connection into TPKTs. It holds at most one
// unfinished message, 16 KiB.
type Framer struct {
	Stats FramerStats
	buf   []byte
	skip  int  // bytes of a message too long that are to come
	lost  bool // where the next begins is not known
}

// Held is how many bytes of an unfinished message are held.
func (f *Framer) Held() int { return len(f.buf) }

// Gap says that bytes are missing before the next Push.
func (f *Framer) Gap() {
	f.Stats.Skipped += uint64(len(f.buf))
	f.buf, f.skip, f.lost = f.buf[:0], 0, true
}

// Push takes the next bytes and gives each message with its TPKT header to emit,
// valid during the call.
func (f *Framer) Push(b []byte, emit func([]byte)) {
	if len(f.buf) > 0 {
		f.buf = append(f.buf, b...)
		b = f.buf
	}
	b = b[f.work(b, emit):]
	if len(b) == 0 {
		f.buf = f.buf[:0]
		return
	}
	if len(f.buf) > 0 {
		f.buf = f.buf[:copy(f.buf, b)]
	} else {
		f.buf = append(f.buf, b...)
	}
}

// work gives whole messages to emit and says how many bytes are done with.
func (f *Framer) work(b []byte, emit func([]byte)) (done int) {
	for {
		rest := b[done:]
		if f.skip > 0 {
			n := min(f.skip, len(rest))
			f.skip -= n
			done += n
			rest = rest[n:]
			if f.skip > 0 {
				return done
			}
		}
		if f.lost || len(rest) >= headerSize && (rest[0] != tpktVersion || rest[1] != 0) {
			n, found := search(rest)
			f.Stats.Skipped += uint64(n)
			done += n
			f.lost = !found
			if f.lost {
				return done
			}
			rest = rest[n:]
		}
		if len(rest) < headerSize {
			return done
		}
		n := int(rest[2])<<8 | int(rest[3])
		switch {
		case n < headerSize:
			f.Stats.Skipped += headerSize
			done += headerSize
			f.lost = true
		case n > maxMessage:
			f.Stats.TooLong++
			f.skip = n
		case len(rest) < n:
			return done
		case n == headerSize: // keep-alive of some makers
			done += n
		case Looks(rest[:n]):
			emit(rest[:n:n])
			done += n
		default:
			f.Stats.Other++
			done += n
		}
	}
}

// search gives the place of the next TPKT with a message of Q.931, or of what
// may be the beginning of one at the end. A place is found only once the type of
// its message has been seen, so that how the bytes were cut up changes nothing.
func search(b []byte) (at int, found bool) {
	for i := range b {
		rest := b[i:]
		switch {
		case rest[0] != tpktVersion:
		case len(rest) >= minMessage:
			if Looks(rest) {
				return i, true
			}
		case len(rest) >= headerSize:
			if Looks(rest) {
				return i, false
			}
		case len(rest) < 2 || rest[1] == 0:
			return i, false
		}
	}
	return len(b), false
}
