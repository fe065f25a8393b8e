package fleet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"simtrap/heuristics/catalogue"
	"simtrap/report/fleetpb"
)

// maxPolicy bounds a policy, a pack and the verdicts on controllers included.
const maxPolicy = 24 << 20

// Options of a Follower. The zero value of each but Apply has a default.
type Options struct {
	// Apply takes a policy, and a catalogue with its version where there is a new
	// one. It is called by one goroutine. An error is logged and counted: the policy
	// is kept all the same, for the next start.
	Apply func(ctx context.Context, p *fleetpb.Policy, c *catalogue.Catalogue, version uint64) error

	BackoffMin, BackoffMax time.Duration // of asking again; 1 s and 5 min
	// Renew is after which part of a certificate's life it is renewed, and Jitter is
	// up to which part later, so that many appliances do not come together; 2/3 and
	// 1/20.
	Renew, Jitter float64
	Log           *zap.Logger
}

// Stats says how a follower does.
type Stats struct {
	Sensor      string
	Following   bool      // the hub tells of changes as they come
	Heard       time.Time // when it last said something
	Error       string    // why it is not followed, or what went wrong last
	Policy      uint64    // its version
	Catalogue   uint64    // version of the pack in use, 0 for the built-in one
	Applied     uint64    // policies
	Failed      uint64    // of them, those that could not be applied in full
	PackRefused uint64
	PackError   string // why the last one was
	Renewals    uint64
	RenewFailed uint64
	RenewError  string // empty after a success
	Until       time.Time
}

// Follower keeps an appliance in step with its fleet: it watches the policy and
// renews the certificate.
type Follower struct {
	member *Member
	opt    Options
	renew  chan struct{} // the certificate is a new one

	mu     sync.Mutex
	stats  Stats
	policy *fleetpb.Policy // as kept, without the pack
	pack   uint64
}

// Kept is what the folder has of the last policy.
type Kept struct {
	Policy    *fleetpb.Policy // nil when there was none
	Catalogue *catalogue.Catalogue
	Version   uint64 // of the pack
	// Problem says what could not be used: then the built-in catalogue, or no policy,
	// takes its place.
	Problem error
}

// Kept reads the last policy and the last good pack.
func (m *Member) Kept() (Kept, error) {
	var k Kept
	b, err := readFile(filepath.Join(m.dir, policyFile))
	if err == nil {
		p := &fleetpb.Policy{}
		if err := proto.Unmarshal(b, p); err != nil {
			k.Problem = fmt.Errorf("the policy that was kept: %w", err)
		} else {
			k.Policy = p
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	b, err = readFile(filepath.Join(m.dir, catalogueFile))
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	p := &fleetpb.CataloguePack{}
	if err := proto.Unmarshal(b, p); err != nil {
		k.Problem = errors.Join(k.Problem, fmt.Errorf("the catalogue that was kept: %w", err))
		return k, nil
	}
	c, err := ReadPack(p, m.catalogueKeys(), 0)
	if errors.Is(err, ErrPackContent) {
		// An older or newer program may use it; what comes must be above it all the
		// same.
		k.Version = p.GetVersion()
	}
	if err != nil {
		k.Problem = errors.Join(k.Problem, fmt.Errorf("the catalogue that was kept: %w", err))
		return k, nil
	}
	k.Catalogue, k.Version = c, p.GetVersion()
	return k, nil
}

// NewFollower makes a follower that goes on from what was kept.
func NewFollower(m *Member, k Kept, opt Options) (*Follower, error) {
	if opt.Apply == nil {
		return nil, errors.New("a follower needs somebody who applies the policy")
	}
	if opt.BackoffMin == 0 {
		opt.BackoffMin = time.Second
	}
	if opt.BackoffMax == 0 {
		opt.BackoffMax = 5 * time.Minute
	}
	if opt.Renew == 0 {
		opt.Renew = 2.0 / 3
	}
	if opt.Jitter == 0 {
		opt.Jitter = 1.0 / 20
	}
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	f := &Follower{member: m, opt: opt, renew: make(chan struct{}, 1), policy: k.Policy, pack: k.Version}
	f.stats = Stats{Policy: k.Policy.GetVersion(), Sensor: m.Sensor()}
	if k.Catalogue != nil {
		f.stats.Catalogue = k.Version
	}
	return f, nil
}

// Stats says how things stand.
func (f *Follower) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	_, s.Until = f.member.Valid()
	return s
}

// Run goes on until ctx is done.
func (f *Follower) Run(ctx context.Context) {
	var renewing sync.WaitGroup
	renewing.Go(func() { f.renewals(ctx) })
	defer renewing.Wait()
	wait := f.opt.BackoffMin
	for ctx.Err() == nil {
		heard, err := f.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if heard {
			wait = f.opt.BackoffMin
		}
		f.mu.Lock()
		if f.stats.Following {
			f.opt.Log.Warn("the hub's policy is not followed: what was told last stays", zap.Error(err))
		}
		f.stats.Following, f.stats.Error = false, err.Error()
		f.mu.Unlock()
		if errors.Is(err, errRenewed) {
			continue
		}
		sleep(ctx, jittered(wait))
		wait = min(2*wait, f.opt.BackoffMax)
	}
}

// jittered is any time from half of d to d.
func jittered(d time.Duration) time.Duration { return d/2 + time.Duration(rand.Int64N(int64(d)/2+1)) }

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

var (
	errEnded   = errors.New("the hub ended the stream")
	errRenewed = errors.New("a new certificate takes a new connection")
)

// watch follows one stream to its end.
func (f *Follower) watch(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-f.renew:
			cancel(errRenewed)
		case <-ctx.Done():
		}
	}()
	f.mu.Lock()
	ask := &fleetpb.WatchPolicyRequest{KnownVersion: f.policy.GetVersion(), KnownCatalogue: f.pack}
	f.mu.Unlock()
	stream, err := f.member.service().WatchPolicy(ctx, connect.NewRequest(ask))
	if err != nil {
		return false, err
	}
	defer stream.Close()
	for stream.Receive() {
		heard = true
		f.mu.Lock()
		if !f.stats.Following {
			f.opt.Log.Info("the hub's policy is followed", zap.String("hub", f.member.Hub()))
		}
		f.stats.Following, f.stats.Heard, f.stats.Error = true, time.Now(), ""
		f.mu.Unlock()
		if p := stream.Msg().GetPolicy(); p != nil {
			f.take(ctx, p)
		}
	}
	err = stream.Err()
	if cause := context.Cause(ctx); errors.Is(cause, errRenewed) {
		err = cause
	}
	if err == nil {
		err = errEnded
	}
	return heard, err
}

// take keeps a policy and has it applied.
func (f *Follower) take(ctx context.Context, p *fleetpb.Policy) {
	var c *catalogue.Catalogue
	version := uint64(0)
	if pack := p.GetCatalogue(); pack != nil {
		var err error
		c, err = ReadPack(pack, f.member.catalogueKeys(), f.pack)
		if err == nil {
			err = f.store(catalogueFile, pack)
		}
		f.mu.Lock()
		if err != nil {
			c = nil
			f.stats.PackRefused++
			f.stats.PackError = err.Error()
			f.opt.Log.Error("a catalogue of the hub is refused: the one in use stays", zap.Uint64("version", pack.GetVersion()), zap.Error(err))
		} else {
			version = pack.GetVersion()
			f.pack = version
			f.stats.Catalogue, f.stats.PackError = version, ""
			f.opt.Log.Info("a new catalogue of the hub", zap.Uint64("version", version))
		}
		f.mu.Unlock()
	}
	rest := proto.CloneOf(p)
	rest.Catalogue = nil
	err := f.store(policyFile, rest)
	err = errors.Join(err, f.opt.Apply(ctx, rest, c, version))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.policy = rest
	f.stats.Policy = rest.GetVersion()
	f.stats.Applied++
	if err != nil {
		f.stats.Failed++
		f.stats.Error = err.Error()
		f.opt.Log.Error("the policy could not be applied in full", zap.Uint64("version", rest.GetVersion()), zap.Error(err))
		return
	}
	f.opt.Log.Info("policy applied", zap.Uint64("version", rest.GetVersion()))
}

func (f *Follower) store(name string, m proto.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(f.member.dir, name), b)
}

// renewals renews the certificate before it ends.
func (f *Follower) renewals(ctx context.Context) {
	wait := time.Duration(0)
	for {
		if wait == 0 {
			from, until := f.member.Valid()
			life := until.Sub(from)
			due := from.Add(time.Duration(float64(life) * (f.opt.Renew + rand.Float64()*f.opt.Jitter)))
			wait = max(time.Until(due), f.opt.BackoffMin)
		}
		sleep(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		err := f.member.Renew(ctx)
		if ctx.Err() != nil {
			return
		}
		f.mu.Lock()
		if err != nil {
			f.stats.RenewFailed++
			f.stats.RenewError = err.Error()
			f.opt.Log.Error("certificate not renewed: it is tried again", zap.Error(err))
			_, until := f.member.Valid()
			// The nearer its end the more often.
			wait = min(max(time.Until(until)/20, 20*f.opt.BackoffMin), 12*f.opt.BackoffMax)
			wait = jittered(wait)
		} else {
			f.stats.Renewals++
			f.stats.RenewError = ""
			_, until := f.member.Valid()
			f.opt.Log.Info("certificate renewed", zap.Time("until", until))
			wait = 0
			select {
			case f.renew <- struct{}{}:
			default:
			}
		}
		f.mu.Unlock()
	}
}
