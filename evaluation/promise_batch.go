package evaluation

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"

	"simtrap/heuristics"
)

// promiseScorer gives S and M of evidence: the model's, or a broken one's in
// tests.
type promiseScorer func(e *heuristics.Evidence) (s, m float64)

func promiseScoreOf(m *heuristics.Model) promiseScorer {
	return func(e *heuristics.Evidence) (float64, float64) {
		s := m.Score(e)
		return s.S, s.M
	}
}

// promiseThreshold is one that a line may reach: a score and a margin at the
// same look. of is S or M where the other does not matter, or a verdict, of
// which these are conditions among others.
type promiseThreshold struct {
	of   string
	s, m float64
}

// promiseThresholds are those of the verdicts (VERDICT section 6), and one of
// S that honest lines reach often enough to be counted plainly.
func promiseThresholds() []promiseThreshold {
	free := math.Inf(-1)
	return []promiseThreshold{
		{"S", 2, free}, {"S", 5, free}, {"S", 10, free}, {"S", 14, free},
		{"watch", 5, 0}, {"review", 10, 3}, {"case", 14, 5},
		{"M", free, 0}, {"M", free, 3}, {"M", free, 5},
	}
}

// at is the threshold that the bound is of. A verdict's score has the stricter
// one over the population.
func (t promiseThreshold) at() float64 {
	if t.of == "M" {
		return t.m
	}
	return t.s
}

func (t promiseThreshold) reached(s, m float64) bool { return s >= t.s && m >= t.m }

// promiseHit is a line's weight when it first reached a threshold, by target
// class: the law's likelihood over that of the way it was drawn. nil while it
// has not.
type promiseHit []float64

// promiseBatch draws lines of one law.
type promiseBatch struct {
	name   string
	seed   uint64
	calls  int
	base   *promiseWorld
	tilted *promiseWorld // for the proposal
	law    promiseLaw
	score  promiseScorer
}

// rng gives each line random numbers of its own, whoever draws it.
func (b *promiseBatch) rng(purpose string, line int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(b.name + "\x00" + purpose))
	return rand.New(rand.NewPCG(b.seed+uint64(line)<<20, h.Sum64()))
}

func (b *promiseBatch) proposal() promiseProposal {
	return promiseProposal{b.base, b.tilted, b.law}
}

// weighted draws n lines where what is rare is not, and gives what they reached, by line
// and threshold.
func (b *promiseBatch) weighted(n int) ([][]promiseHit, error) {
	thresholds := promiseThresholds()
	proposal := b.proposal()
	out := make([][]promiseHit, n)
	err := promiseEach(n, func(line int) error {
		r := b.rng("weighted", line)
		hits := make([]promiseHit, len(thresholds))
		s := newPromiseSchedule(r, b.base.cat, b.calls)
		weigh := func(e *promiseEvidence) promiseHit { return proposal.weigh(e).weights() }
		var latents []promiseLatent
		if b.law.rho == 0 {
			latents = proposal.sources(r).latents(r)
		} else {
			hit := make(promiseHit, len(b.law.targets))
			var target int
			var weight float64
			latents, target, weight = b.correlated(r)
			hit[target] = weight
			weigh = func(*promiseEvidence) promiseHit { return hit }
		}
		err := s.live(r, b.base, latents, b.law.reading, func(e *promiseEvidence) bool {
			return b.look(e, thresholds, hits, weigh)
		})
		out[line] = hits
		return err
	})
	return out, err
}

// look notes which thresholds are reached for the first time; false when none
// is left.
func (b *promiseBatch) look(e *promiseEvidence, thresholds []promiseThreshold, hits []promiseHit, weigh func(*promiseEvidence) promiseHit) bool {
	s, m := b.score(e.counts)
	var weights promiseHit
	left := false
	for i, t := range thresholds {
		if hits[i] != nil {
			continue
		}
		if !t.reached(s, m) {
			left = true
			continue
		}
		if weights == nil {
			weights = weigh(e)
		}
		hits[i] = weights
	}
	return left
}

// plain draws n lines of every target class as the law has them and gives how
// many reached each threshold, by class and threshold.
func (b *promiseBatch) plain(n int) ([][]int, error) {
	thresholds := promiseThresholds()
	reached := make([][]bool, n*len(b.law.targets))
	err := promiseEach(len(reached), func(i int) error {
		r := b.rng("plain", i)
		got := make([]bool, len(thresholds))
		s := newPromiseSchedule(r, b.base.cat, b.calls)
		class := b.law.targets[i/n]
		src := b.law.honest(r, class)
		var latents []promiseLatent
		if b.law.rho > 0 && class < b.base.modelled() {
			latents = b.base.coupled(r, src[0].column, b.law.rho, r.NormFloat64())
		} else {
			latents = src.latents(r)
		}
		err := s.live(r, b.base, latents, b.law.reading, func(e *promiseEvidence) bool {
			s, m := b.score(e.counts)
			left := false
			for j, t := range thresholds {
				got[j] = got[j] || t.reached(s, m)
				left = left || !got[j]
			}
			return left
		})
		reached[i] = got
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([][]int, len(b.law.targets))
	for k := range out {
		out[k] = make([]int, len(thresholds))
		for _, got := range reached[k*n : (k+1)*n] {
			for j := range got {
				if got[j] {
					out[k][j]++
				}
			}
		}
	}
	return out, nil
}

// promiseEach runs a task for 0 to n-1 on all processors and gives the first
// error by number.
func promiseEach(n int, task func(i int) error) error {
	errs := make([]error, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for i := range next {
				errs[i] = task(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
