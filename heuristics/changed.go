package heuristics

import "math"

// What makes a finding worth telling again while the line goes on.
const (
	changeNats   = 1           // the score moved so far
	retellEvery  = 60 * minute // a line at watch or above that is still active
	quietJudge   = 2 * judgeEvery
	retellSearch = minute // how often such lines are looked for
	// maxTold bounds the findings written for one call of Changed, and maxLooked
	// the lines looked at.
	maxTold   = 256
	maxLooked = 4096
	// maxRetold bounds the lines that are told every hour.
	maxRetold = 1 << 16
)

// told is what was last told of a line.
type told struct {
	at          int64 // packet time; 0 for never
	last        int64 // of the line then
	verdict     Verdict
	score       float64
	cards       int
	controllers uint64 // sum of hashes
	listed      bool   // in changes.standing
	hub         Verdict
}

// changes is what Changed goes by.
type changes struct {
	on       bool
	touched  []*profile // whose counts changed, by first change
	standing []*profile // told at watch or above
	searched int64
	at       int // next of standing to look at, 0 when none is due
}

// touch notes that counts of a line changed.
func (l *Lines) touch(p *profile) {
	p.dirty = true
	if l.changes.on && !p.queued {
		p.queued = true
		l.changes.touched = append(l.changes.touched, p)
	}
}

// FollowChanges says that Changed will be called from now on.
func (l *Lines) FollowChanges() {
	l.changes.on = true
	for _, p := range l.table {
		if p.dirty {
			l.touch(p)
		}
	}
}

// Changed tells of the lines whose finding changed materially since it was last
// told: another verdict, a score that moved by one nat, a new card or controller;
// every hour, of lines at watch or above that are still active; and of lines that
// were dropped or whose epoch ended. Lines that are below watch, and were when
// last told, are not told of. It looks at lines that were touched and not at the
// others, and gives at most some hundreds of findings; the rest come with the
// next call. It stops when tell, which must not keep the finding's profile,
// gives false: that finding comes again.
//
// A line is looked at as the run does anyway; one that fell silent with counts
// not looked at yet is looked at once more.
func (l *Lines) Changed(now int64, tell func(*Finding) bool) {
	l.now = max(l.now, now)
	c := &l.changes
	left := maxTold
	for len(l.closed) > 0 && left > 0 {
		if !tell(&l.closed[0]) {
			return
		}
		l.closed = l.closed[1:]
		left--
	}
	if len(l.closed) == 0 {
		l.closed = nil
	}
	full := false
	kept := c.touched[:0]
	for i, p := range c.touched {
		if i >= maxLooked || full || left == 0 {
			kept = append(kept, p)
			continue
		}
		if p.gone || !p.kept {
			p.queued = false
			continue
		}
		if p.unread() && l.now-p.judged >= quietJudge {
			l.judge(p, false)
		}
		if p.material(l.now) && !l.farEnd(p) {
			if !l.tell(p, tell) {
				full = true
				kept = append(kept, p)
				continue
			}
			left--
		}
		if p.queued = p.unread(); p.queued {
			kept = append(kept, p)
		}
	}
	// Who was looked at and is kept goes behind who was not.
	if n := len(c.touched); n > maxLooked {
		rest := append([]*profile(nil), kept...)
		seen := len(kept) - (n - maxLooked)
		kept = append(append(kept[:0], rest[seen:]...), rest[:seen]...)
	}
	clear(c.touched[len(kept):])
	c.touched = kept
	if !full {
		l.retell(left, tell)
	}
}

// retell tells of standing lines whose hour is over.
func (l *Lines) retell(left int, tell func(*Finding) bool) {
	c := &l.changes
	if c.at == 0 && l.now-c.searched < retellSearch {
		return
	}
	for looked := 0; c.at < len(c.standing); looked++ {
		if left == 0 || looked == maxLooked {
			return
		}
		p := c.standing[c.at]
		if p.gone || max(p.told.verdict, p.told.hub) < Watch {
			p.told.listed = false
			n := len(c.standing) - 1
			c.standing[c.at] = c.standing[n]
			c.standing[n] = nil
			c.standing = c.standing[:n]
			continue
		}
		if l.now-p.told.at >= retellEvery && p.last > p.told.last {
			if !l.tell(p, tell) {
				return
			}
			left--
		}
		c.at++
	}
	c.at, c.searched = 0, l.now
}

// Rest tells, at the end, of every line at watch or above, or told so before, of
// which something was seen since it was last told: so the last that is told of a
// line is how it ended. It comes after the last call of Findings.
func (l *Lines) Rest(tell func(*Finding)) {
	for i := range l.closed {
		tell(&l.closed[i])
	}
	l.closed = nil
	for p := l.kept.root.next; p != &l.kept.root; p = p.next {
		if max(p.standing(), p.hubVerdict(l.now), p.told.verdict, p.told.hub) < Watch || p.last <= p.told.last && !p.material(l.now) || l.farEnd(p) {
			continue
		}
		l.tell(p, func(f *Finding) bool { tell(f); return true })
	}
}

// Verdicts counts the lines with evidence by the verdict they stand at.
func (l *Lines) Verdicts() (n [Case + 1]uint64) {
	far := uint64(0)
	for p := l.kept.root.next; p != &l.kept.root; p = p.next {
		if l.farEnd(p) {
			far++
		} else {
			n[p.standing()]++
		}
	}
	l.counters.FarEnds = max(l.counters.FarEnds, far)
	return n
}

// unread says whether a look at the line may find something new: counts that
// changed, or calls that wait for theirs.
func (p *profile) unread() bool { return p.dirty || len(p.legs) > 0 }

// material says whether the line's finding is another than was told.
func (p *profile) material(now int64) bool {
	v, o := p.standing(), &p.told
	hub := p.hubVerdict(now)
	if max(v, hub) < Watch && max(o.verdict, o.hub) < Watch {
		return false
	}
	if v != o.verdict || hub != o.hub || math.Abs(p.score.S-o.score) >= changeNats {
		return true
	}
	cards, controllers := p.telling()
	return cards > o.cards || controllers != o.controllers
}

// telling counts the cards that evidence holds, and sums up who controls the
// line.
func (p *profile) telling() (cards int, controllers uint64) {
	for _, e := range p.control {
		if p.tap.counts(e) {
			cards += len(e.Cards())
		}
	}
	for _, b := range p.banks {
		cards += len(b.Cards())
	}
	for i := range p.peers {
		x := &p.peers[i]
		for r, n := range x.roles {
			if n > 0 {
				controllers += x.addr.Hash(uint64(r) + 1)
			}
		}
	}
	return cards, controllers
}

func (l *Lines) tell(p *profile, tell func(*Finding) bool) bool {
	f := l.finding(p, true)
	l.telling(p, &f)
	if !tell(&f) {
		return false
	}
	listed := p.told.listed
	p.told = told{at: f.Told, last: p.last, verdict: f.Verdict, score: p.score.S, listed: listed, hub: f.Hub.Verdict}
	p.told.cards, p.told.controllers = p.telling()
	if !listed && max(f.Verdict, f.Hub.Verdict) >= Watch {
		if c := &l.changes; len(c.standing) < maxRetold {
			p.told.listed = true
			c.standing = append(c.standing, p)
		} else {
			l.counters.NotRetold++
		}
	}
	return true
}
