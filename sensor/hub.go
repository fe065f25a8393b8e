package sensor

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/pipeline"
	"simtrap/report"
	"simtrap/report/controllers"
	"simtrap/report/fleet"
	"simtrap/report/outbox"
	"simtrap/report/reportpb"
	"simtrap/report/uplink"
	"simtrap/sensor/config"
)

// What the hub's side has in the state folder.
const (
	fleetFolder     = "fleet"
	outboxFolder    = "outbox"
	controllersFile = "controllers"
)

const (
	// maxItems bounds the calls and hours that wait to be written.
	maxItems = 4096
	// lastSending is how long an ending daemon goes on sending.
	lastSending = 2 * time.Second
	// unreachable is how long reports may wait before that is an alarm.
	unreachable = 10 * time.Minute
	// dropping is how long the alarm of reports that were dropped stands.
	dropping = 10 * time.Minute
	// certificateEnds is the part of a certificate's life that is left when it is
	// an alarm that it was not renewed.
	certificateEnds = 0.2
	// startSlack is by how much a call of which the beginning was not seen may have
	// begun before what was.
	startSlack = 10 * time.Second
	// stampSlack is by how much a time may be off by how frames are stamped.
	stampSlack = time.Millisecond
)

// FleetFolder is where simtrapd enroll keeps what the hub gave.
func FleetFolder(c *config.Config) string { return filepath.Join(c.StateFolder(), fleetFolder) }

// hub is the way to the centre: what is found goes into an outbox, from which it
// is sent.
type hub struct {
	log      *zap.Logger
	member   *fleet.Member
	box      *outbox.Outbox
	sender   *uplink.GRPC
	up       *uplink.Uplink
	follower *fleet.Follower
	hours    *controllers.Table
	declared register
	updates  *updates
	options  report.Options // Names are of each record's key
	realms   pipeline.Realms
	plan     *ident.Plan
	folder   string
	limit    int64
	every    time.Duration
	tables   atomic.Uint64 // version of the catalogue in use
	hourKey  atomic.Pointer[fleet.Key]

	hurry   chan struct{}    // closed when the daemon ends
	items   chan any         // *heuristics.CallRecord or *controllers.Hour
	lost    [2]atomic.Uint64 // calls and hours that found no room in items
	missed  [2]uint64        // of these, how many the outbox was told of
	failed  atomic.Uint64    // records that the outbox did not take, for its own reasons
	packets atomic.Int64     // packet time

	mu      sync.Mutex
	names   map[uint32]*ident.Pseudonymizer // by epoch
	alarms  *monitor
	dropped uint64
	droppedAt,
	begun time.Time
}

// openHub opens the way to the hub. It is nil where there is none to report to.
func openHub(c *config.Config, kept *fleet.Kept, o report.Options, log *zap.Logger) (*hub, error) {
	if c.Hub.Address == config.None {
		return nil, nil
	}
	m, err := fleet.Open(FleetFolder(c))
	if errors.Is(err, fleet.ErrNotEnrolled) && c.Hub.Address == config.Auto {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	if c.Hub.Address != config.Auto {
		m.SetHub(c.Hub.Address)
	}
	if *kept, err = m.Kept(); err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	if kept.Problem != nil {
		log.Error("of the hub's policy not all can be used: the file and the built-in catalogue take its place", zap.Error(kept.Problem))
	}
	h := &hub{log: log, member: m, options: o, folder: c.StateFolder(), limit: int64(c.Hub.Limit), every: time.Duration(c.Hub.Health),
		items: make(chan any, maxItems), names: make(map[uint32]*ident.Pseudonymizer), alarms: newMonitor(log, nil, nil), begun: time.Now(), hurry: make(chan struct{})}
	if h.plan, err = c.NumberingPlan(); err != nil {
		return nil, err
	}
	h.updates = newUpdates(c.StateFolder(), 2*int64(c.Hub.Reserve), m.Client(), m.URL, log)
	h.updates.set(kept.Policy.GetUpdates())
	sync := map[config.Sync]outbox.Sync{config.SyncEvery: outbox.SyncEvery, config.SyncInterval: outbox.SyncInterval, config.SyncNever: outbox.SyncNever}
	h.box, err = outbox.Open(filepath.Join(c.StateFolder(), outboxFolder), outbox.Options{Limit: int64(c.Hub.Limit), Reserve: int64(c.Hub.Reserve), Sync: sync[c.Hub.Sync], Log: log})
	if err != nil {
		return nil, fmt.Errorf("hub: outbox: %w", err)
	}
	h.sender = uplink.NewGRPC(m.Client(), m.URL())
	if h.up, err = uplink.New(gathering{h.box, h.hurry}, h.sender, uplink.Options{Encode: uplink.Encode, Log: log}); err != nil {
		return nil, errors.Join(err, h.box.Close())
	}
	h.hours = controllers.New(h.lineHash)
	b, err := os.ReadFile(filepath.Join(h.folder, controllersFile))
	if err == nil {
		err = h.hours.Thaw(b)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("what was kept of this hour's controllers is lost", zap.Error(err))
	}
	return h, nil
}

// run sends, and follows the policy, until ctx is done.
// first is done before it. What it gives ends all that.
func (h *hub) run(ctx context.Context, status func() Status, first func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.up.Run(ctx); err != nil {
			h.log.Error("reports are not sent any more", zap.Error(err))
		}
	})
	running.Go(func() {
		first(ctx)
		h.follower.Run(ctx)
	})
	running.Go(func() { h.look(ctx, status) })
	running.Go(func() { h.updates.run(ctx) })
	written := make(chan struct{})
	go func() {
		defer close(written)
		var told time.Time
		for x := range h.items {
			h.item(x)
			if len(h.items) == 0 || time.Since(told) > missEvery {
				h.miss()
				told = time.Now()
			}
		}
		h.miss()
	}()
	return func() {
		// Nobody tells any more: what waits is written, and sent if the way is open.
		close(h.items)
		<-written
		close(h.hurry)
		for end := time.Now().Add(lastSending); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if s := h.box.Stats(); s.Acked+1 >= s.Next || h.up.Stats().State != uplink.Closed {
				break
			}
		}
		cancel()
		running.Wait()
		h.member.Close()
	}
}

// gathering lets a few records come together before they are sent: a batch costs
// the hub a commit, whatever is in it.
type gathering struct {
	uplink.Source
	hurry <-chan struct{}
}

const (
	gatherTime   = 500 * time.Millisecond
	gatherEnough = 100 // records, for which nothing is waited
)

// Batch implements uplink.Source.
func (g gathering) Batch(ctx context.Context, maxBytes, maxRecords int) ([]outbox.Record, error) {
	list, err := g.Source.Batch(ctx, maxBytes, maxRecords)
	if err != nil || len(list) >= min(maxRecords, gatherEnough) {
		return list, err
	}
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.hurry:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return g.Source.Batch(ctx, maxBytes, maxRecords)
}

// close lets the outbox go.
func (h *hub) close() error {
	if h == nil {
		return nil
	}
	if err := h.box.Close(); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}

// at gives the key of a time, and who writes pseudonyms with it.
func (h *hub) at(t int64) (fleet.Key, *ident.Pseudonymizer) {
	k, _ := h.member.KeyAt(time.Unix(0, t))
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.names[k.Epoch]
	if n == nil {
		n = ident.NewPseudonymizer(k.Key, "")
		h.names[k.Epoch] = n
	}
	return k, n
}

// keyed is an HMAC-SHA-256 over texts, each ended by a zero byte.
func keyed(key fleet.Key, texts ...string) []byte {
	m := hmac.New(sha256.New, key.Key)
	for _, s := range texts {
		m.Write([]byte(s))
		m.Write([]byte{0})
	}
	return m.Sum(nil)
}

// findingID names a finding by its line and the beginning of its epoch, under the
// key of that time, so that it is the same wherever and whenever it is made.
func (h *hub) findingID(line string, epoch int64) []byte {
	k, _ := h.member.KeyAt(time.Unix(0, epoch))
	return keyed(k, "simtrap finding", line, fmt.Sprint(epoch))[:16]
}

// lineHash is the hash of a line in sketches of controllers. It is called with the
// table held.
func (h *hub) lineHash(l ident.Line) uint64 {
	k := h.hourKey.Load()
	if k == nil {
		now, _ := h.member.KeyAt(time.Unix(0, h.packets.Load()))
		k = &now
		h.hourKey.Store(k)
	}
	return binary.LittleEndian.Uint64(keyed(*k, "simtrap line", h.options.LineName(l)))
}

// Finding implements Sink: it reports a finding, as the output writes it. What
// stands at watch or above on the word of the hub alone is not told to it.
func (h *hub) Finding(f *heuristics.Finding) {
	if max(f.Verdict, f.Before) < heuristics.Watch {
		return
	}
	key, names := h.at(f.Told)
	o := h.options
	o.Names = names
	line := h.options.LineName(f.Line)
	m := &reportpb.FindingRevision{
		Id: h.findingID(line, f.EpochStart), Revision: uint64(max(f.Told, 1)), EpochStart: timestamppb.New(time.Unix(0, f.EpochStart)),
		Catalogue: h.tables.Load(), Finding: report.Message(f, o), PeakScore: report.Nats(f.PeakScore), PeakMargin: report.Nats(f.PeakMargin),
	}
	for _, s := range f.Standings {
		x := &reportpb.Standing{Class: s.Class, Margin: s.Margin}
		for _, n := range s.Families {
			x.Families = append(x.Families, &reportpb.FamilyNats{Family: n.Family, Nats: n.Nats})
		}
		m.Standings = append(m.Standings, x)
	}
	priority := map[heuristics.Verdict]outbox.Priority{heuristics.Watch: outbox.Middle, heuristics.Review: outbox.High, heuristics.Case: outbox.Case}[f.Verdict]
	h.append(outbox.Record{Key: hex.EncodeToString(m.Id), Revision: m.Revision, Kind: uplink.KindFinding, Priority: max(priority, outbox.Middle)},
		&reportpb.Record{KeyEpoch: key.Epoch, Kind: &reportpb.Record_Finding{Finding: m}})
}

// append puts a record into the outbox, which counts what it drops.
func (h *hub) append(r outbox.Record, m *reportpb.Record) {
	var err error
	if r.Payload, err = uplink.Payload(m); err == nil {
		_, err = h.box.Append(r)
	}
	switch {
	case err == nil, errors.Is(err, outbox.ErrStale), errors.Is(err, outbox.ErrDropped):
	default:
		h.failed.Add(1)
		h.log.Error("a report was not taken by the outbox", zap.Uint8("kind", uint8(r.Kind)), zap.Error(err))
	}
}

// Call implements pipeline.Upstream.
func (h *hub) Call(r *heuristics.CallRecord) {
	c := *r
	h.put(&c)
}

// Far implements pipeline.Upstream.
func (h *hub) Far(line ident.Line, far ident.Addr, role string, shape uint64, call bool, t int64) {
	h.packets.Store(t)
	if over := h.hours.Add(line, far, role, shape, call, t); over != nil {
		h.put(over)
	}
}

// put hands on what is to be written; a run never waits for the disk.
func (h *hub) put(x any) {
	select {
	case h.items <- x:
	default:
		if _, call := x.(*heuristics.CallRecord); call {
			h.lost[0].Add(1)
		} else {
			h.lost[1].Add(1)
		}
	}
}

// missEvery is how often the hub is told of what found no room while there is none:
// each time is written.
const missEvery = 10 * time.Second

// miss has the hub told of what found no room, as of all that will not come.
func (h *hub) miss() {
	for i, kind := range []outbox.Kind{uplink.KindCall, uplink.KindControllers} {
		n := h.lost[i].Load()
		if n == h.missed[i] {
			continue
		}
		if err := h.box.Miss(kind, n-h.missed[i]); err != nil {
			h.log.Error("the outbox was not told of what found no room", zap.Error(err))
			continue
		}
		h.missed[i] = n
	}
}

func (h *hub) item(x any) {
	switch x := x.(type) {
	case *heuristics.CallRecord:
		h.call(x)
	case *controllers.Hour:
		h.hour(x)
	}
}

func (h *hub) call(r *heuristics.CallRecord) {
	last := max(r.Start, r.Answered, r.End)
	key, names := h.at(last)
	o := h.options
	o.Names = names
	line := o.LineName(r.Line)
	slack := uint64(stampSlack + clockError(h.sender.Clock()))
	c := &reportpb.Call{
		FindingId: h.findingID(line, r.EpochStart), Line: line, Direction: reportpb.Direction_DIRECTION_OUTBOUND,
		Start: timestamppb.New(time.Unix(0, r.Start)), StartUncertaintyNs: slack,
		Calling: h.number(names, r.Calling), Called: h.number(names, r.Called), Account: names.Account(r.Account), Verified: r.Verified,
	}
	if r.Inbound {
		c.Direction = reportpb.Direction_DIRECTION_INBOUND
	}
	if !r.Began {
		c.StartUncertaintyNs += uint64(startSlack)
	}
	if r.Answered != 0 {
		c.Answered = timestamppb.New(time.Unix(0, r.Answered))
	}
	if r.End != 0 {
		c.End, c.EndUncertaintyNs = timestamppb.New(time.Unix(0, r.End)), slack
	}
	if !r.Controller.IsZero() {
		c.Controller = r.Controller.String()
	}
	c.Id = keyed(key, "simtrap call", line, fmt.Sprint(r.Start), c.Direction.String(), c.Calling, c.Called)[:16]
	h.append(outbox.Record{Kind: uplink.KindCall, Priority: outbox.Low}, &reportpb.Record{KeyEpoch: key.Epoch, Kind: &reportpb.Record_Call{Call: c}})
}

// number gives a number's pseudonym, of its form that does not depend on how it was
// dialled.
func (h *hub) number(names *ident.Pseudonymizer, n ident.Number) string {
	if n.IsZero() {
		return ""
	}
	class := ""
	if h.options.Class != nil {
		class = h.options.Class(n)
	}
	return names.Number(class, h.plan.Normal(n))
}

// clockError is by how much the clock may be off: as the kernel says where it is
// kept, else what the hub's shows.
func clockError(c uplink.Clock) time.Duration {
	var t unix.Timex
	if state, err := unix.Adjtimex(&t); err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0 {
		return time.Duration(t.Maxerror) * time.Microsecond
	}
	if c.At.IsZero() {
		return time.Minute
	}
	return max(c.Ahead.Abs()+c.Uncertainty, time.Second)
}

func (h *hub) hour(x *controllers.Hour) {
	epoch := uint32(0)
	if k := h.hourKey.Load(); k != nil {
		epoch = k.Epoch
	}
	list, err := x.Messages()
	if err != nil {
		h.log.Error("an hour's controllers are not reported", zap.Error(err))
		return
	}
	for _, m := range list {
		h.append(outbox.Record{Kind: uplink.KindControllers, Priority: outbox.Low}, &reportpb.Record{KeyEpoch: epoch, Kind: &reportpb.Record_Controllers{Controllers: m}})
	}
	// The next hour may be of another key.
	if now, ok := h.member.KeyAt(time.Unix(0, h.packets.Load())); ok && now.Epoch != epoch {
		h.hourKey.Store(&now)
		h.hours.Rekey()
	}
}

// ended tells the hour that captures ended in: nothing of it is to come. That of a tap
// is kept and goes on after a restart.
func (h *hub) ended() {
	if over := h.hours.Take(); over != nil {
		h.hour(over)
	}
}

// checkpoint keeps the present hour.
func (h *hub) checkpoint() error {
	b, err := h.hours.Freeze()
	if err != nil {
		return err
	}
	name := filepath.Join(h.folder, controllersFile)
	if b == nil {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.WriteFile(name+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name)
}

// look does what goes by time: health, the end of an hour without traffic, alarms.
func (h *hub) look(ctx context.Context, status func() Status) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var told time.Time
	for {
		now := time.Now()
		if now.Sub(told) >= h.every {
			told = now
			s := status()
			// No far end may have been seen for long.
			if old := h.packets.Load(); s.reached > old {
				h.packets.CompareAndSwap(old, s.reached)
			}
			h.append(outbox.Record{Key: "health", Revision: uint64(now.UnixNano()), Kind: uplink.KindHealth, Priority: outbox.Low},
				&reportpb.Record{Kind: &reportpb.Record_Health{Health: h.health(&s)}})
		}
		if over := h.hours.Roll(h.packets.Load()); over != nil {
			h.hour(over)
		}
		h.watch(now)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// health tells how this appliance does.
func (h *hub) health(s *Status) *reportpb.Health {
	m := &reportpb.Health{At: timestamppb.New(s.Now), Version: s.Version, Catalogue: h.tables.Load(), Policy: h.follower.Stats().Policy, Started: timestamppb.New(s.Since),
		Lines: s.Lines, PacketTime: timestamppb.New(time.Unix(0, s.reached))}
	b := h.box.Stats()
	m.OutboxBytes, m.OutboxRecords = uint64(max(b.Bytes, 0)), waiting(&b)
	for _, p := range s.Ports {
		x := &reportpb.PortHealth{Name: p.Name, Mode: p.Mode, Frames: p.Frames, Bytes: p.Bytes}
		if p.Last != nil {
			x.LastFrame = timestamppb.New(*p.Last)
		}
		m.Ports = append(m.Ports, x)
	}
	for _, l := range s.Losses {
		m.Losses = append(m.Losses, &reportpb.Loss{Port: l.Port, Stage: l.Stage, Reason: l.Reason, Count: l.Count})
	}
	for _, a := range s.Alarms {
		m.Alarms = append(m.Alarms, &reportpb.Alarm{Id: a.ID, Since: timestamppb.New(time.Unix(0, a.Since)), Value: a.Value})
	}
	return m
}

// waiting is how many records wait at most: some of them are superseded.
func waiting(s *outbox.Stats) uint64 { return s.Next - 1 - min(s.Acked, s.Next-1) }

// watch sees whether the way is open.
func (h *hub) watch(now time.Time) {
	u, b, f := h.up.Stats(), h.box.Stats(), h.follower.Stats()
	h.mu.Lock()
	since := h.begun
	if u.Success.After(since) {
		since = u.Success
	}
	lost := uint64(0)
	for _, l := range b.Lost {
		lost += l.Count
	}
	if lost > h.dropped {
		h.dropped, h.droppedAt = lost, now
	}
	droppedAt := h.droppedAt
	h.mu.Unlock()
	const unreached, drops, ends, refused = "hub-unreachable", "outbox-dropping", "hub-certificate", "update-refused"
	switch quiet := now.Sub(since); {
	case waiting(&b) == 0 || quiet < unreachable:
		h.alarms.clear(unreached)
	default:
		h.alarms.raise(now, Alarm{ID: unreached, Text: fmt.Sprintf("reports have not reached the hub for %v: %s", quiet.Round(time.Second), u.Error),
			Remedy: "see that " + h.member.Hub() + " can be reached from here, and with simtrap-hub that this sensor is admitted", Value: quiet.Seconds()})
	}
	if now.Sub(droppedAt) < dropping {
		h.alarms.raise(now, Alarm{ID: drops, Text: fmt.Sprintf("%d reports found no room, or were lost on the disk, since the start", lost),
			Remedy: "more room for the state folder, a higher hub.outbox-limit, or a way to the hub", Value: float64(lost)})
	} else {
		h.alarms.clear(drops)
	}
	if why := h.updates.refused(); why != "" {
		h.alarms.raise(now, Alarm{ID: refused, Text: "an update of the system was not taken: " + why, Remedy: "withdraw it at the hub; an update with a higher sequence is taken, or any by a stick"})
	} else {
		h.alarms.clear(refused)
	}
	from, until := h.member.Valid()
	switch left := until.Sub(now); {
	case float64(left) > certificateEnds*float64(until.Sub(from)):
		h.alarms.clear(ends)
	case left <= 0:
		h.alarms.raise(now, Alarm{ID: ends, Text: "the certificate has ended: the hub takes nothing", Remedy: "simtrapd enroll HUB TOKEN with a new token, then restart simtrapd", Value: left.Seconds()})
	default:
		h.alarms.raise(now, Alarm{ID: ends, Text: "the certificate ends soon and was not renewed: " + f.RenewError, Remedy: "see that " + h.member.Hub() + " can be reached", Value: left.Seconds()})
	}
}

// losses are those on the way to the outbox.
func (h *hub) losses() []capture.Loss {
	return []capture.Loss{
		{Stage: "uplink", Reason: "calls and hours that found no room on their way to the outbox", Count: h.lost[0].Load() + h.lost[1].Load()},
		{Stage: "uplink", Reason: "reports that the outbox could not take", Count: h.failed.Load()},
		{Stage: "uplink", Reason: "far ends left out of an hour: too many of them", Count: h.hours.Stats().Evicted},
	}
}

// status tells how the way to the hub is.
func (h *hub) status() *HubStatus {
	u, b, f, c := h.up.Stats(), h.box.Stats(), h.follower.Stats(), h.sender.Clock()
	s := &HubStatus{Address: h.member.Hub(), Sensor: h.member.Sensor(), State: u.State.String(), Error: u.Error,
		Waiting: waiting(&b), Bytes: b.Bytes, Limit: h.limit, Acked: b.Delivered, Superseded: b.Superseded,
		Attempts: u.Attempts, Failed: u.Failed + u.TimedOut, Busy: u.WasBusy, Refused: u.GivenUp, SentBytes: u.Sent, Dropped: []Dropped{},
		Policy: f.Policy, Catalogue: h.tables.Load(), Following: f.Following, PolicyError: f.Error, PackRefused: f.PackRefused, PackError: f.PackError,
		CertificateUntil: f.Until.UTC(), Renewals: f.Renewals, RenewFailed: f.RenewFailed, Controllers: h.hours.Stats().Controllers}
	if !u.Success.IsZero() {
		at := u.Success.UTC()
		s.LastAck = &at
	}
	if !u.Next.IsZero() {
		at := u.Next.UTC()
		s.Next = &at
	}
	if !c.At.IsZero() {
		s.Clock = &ClockStatus{Ahead: c.Ahead.Seconds(), Uncertainty: c.Uncertainty.Seconds()}
	}
	for _, l := range b.Lost {
		i := slices.IndexFunc(s.Dropped, func(d Dropped) bool { return d.Reason == l.Reason.String() })
		if i < 0 {
			s.Dropped = append(s.Dropped, Dropped{Reason: l.Reason.String()})
			i = len(s.Dropped) - 1
		}
		s.Dropped[i].Count += l.Count
	}
	return s
}
