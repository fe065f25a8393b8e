package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"simtrap/report/outbox"
	"simtrap/report/uplink"
)

// phases of an update in which the power is cut.
var phases = []string{"fetch", "write", "entry", "restart", "trial"}

// firstSequence is that of the first update that cuts makes: above those beside the
// image. Each has another, since none is offered or tried twice.
const firstSequence = 2000

// kindNames are those of records (docs/outbox.md, report/uplink).
var kindNames = map[outbox.Kind]string{uplink.KindFinding: "finding", uplink.KindCall: "call", uplink.KindControllers: "hour of controllers", uplink.KindHealth: "health"}

// cuts are rounds of: an update, the power cut in it, a look at the disk, the next start.
type cuts struct {
	*trial
	random   *rand.Rand
	lasts    map[string]time.Duration // how long each phase takes when nothing is cut
	bundles  [2]*bundle               // of the image's system, and of the next one
	sequence uint64
	waited   *disk // what the disk had when the power was cut
	running  int   // of bundles
	stick    *bundle
	offered  *bundle
	said     int64 // bytes that the hub had said when the offer was made
}

// cut: the power is cut in each phase of an update, at moments that are drawn. What was
// reported or waited before is there after each, a system comes up that captures and
// reports, and the hub is given what waited.
func (t *trial) cut(ctx context.Context) error {
	seed := t.seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.say("moments are drawn with --seed %d", seed)
	c := &cuts{trial: t, random: rand.New(rand.NewPCG(seed, 0)), sequence: firstSequence, lasts: map[string]time.Duration{}}
	for i, name := range []string{strings.TrimSuffix(filepath.Base(t.image), ".img") + ".update", "next.update"} {
		var err error
		if c.bundles[i], err = openBundle(filepath.Join(filepath.Dir(t.image), name)); err != nil {
			return err
		}
	}
	// From an empty machine, for it to have something to update to.
	if err := t.fresh(ctx); err != nil {
		return err
	}
	var err error
	if c.waited, err = t.look(ctx); err != nil {
		return err
	}
	t.say("the power is cut: %s wait on the disk", kinds(c.waited))
	if len(c.waited.records) == 0 {
		return errors.New("nothing waits, so that nothing would be shown")
	}
	m, stop, err := c.comes(ctx)
	defer func() { stop(); m.off() }()
	if err != nil {
		return err
	}
	if err := c.whole(ctx, m); err != nil {
		return err
	}
	var order []string
	for n := range t.cuts {
		if len(order) == 0 {
			order = append(order, phases...)
			c.random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		phase := order[0]
		order = order[1:]
		t.say("-- cut %d of %d", n+1, t.cuts)
		if err := c.cutIn(ctx, m, phase); err != nil {
			return fmt.Errorf("cut %d, %s: %w", n+1, phase, err)
		}
		stop()
		m.off()
		if err := c.judge(ctx); err != nil {
			return fmt.Errorf("cut %d, %s: %w", n+1, phase, err)
		}
		if m, stop, err = c.comes(ctx); err != nil {
			return fmt.Errorf("after cut %d, %s: %w", n+1, phase, err)
		}
	}
	return nil
}

// comes starts the machine, with the hub there, and returns when its system has shown
// that it captures and reports and the hub has what waited. An update that the hub offers
// is installed then, from where its fetching was cut off.
func (c *cuts) comes(ctx context.Context) (m *machine, stop func(), err error) {
	feeding, stop := context.WithCancel(ctx)
	if err := errors.Join(c.drive(ctx, "", ""), c.hub.stop(), c.hub.serve()); err != nil {
		return &machine{}, stop, err
	}
	if m, err = c.start("drive"); err != nil {
		return &machine{}, stop, err
	}
	go c.feed(feeding, true)
	if err := m.says(ctx, "simtrap: system on"); err != nil {
		return m, stop, err
	}
	if err := m.says(ctx, "\n"); err != nil {
		return m, stop, err
	}
	c.say("%s", strings.TrimSpace(m.line("simtrap: system on")))
	if err := c.good(ctx, m); err != nil {
		return m, stop, err
	}
	waited := len(c.waited.records)
	if err := c.hub.await(ctx, "simtrap_hub_records_total", float64(max(waited-1, 0))); err != nil {
		return m, stop, err
	}
	c.say("it reports; the hub has what waited, %d records", waited)
	if c.offered == nil {
		return m, stop, nil
	}
	if err := c.installs(ctx, m); err != nil {
		return m, stop, err
	}
	said := c.hub.way.said.Load() - c.said
	c.say("the update was fetched to its end and works: of its %d bytes the hub said %d after the cut, all else it said included", c.offered.Kernel.Size+c.offered.System.Size, said)
	err = c.hub.withdraw(ctx, c.offered)
	c.offered = nil
	return m, stop, err
}

// good waits for a start to be counted as good, and asks the console whether something is
// amiss.
func (c *cuts) good(ctx context.Context, m *machine) error {
	if err := c.works(ctx, m); err != nil {
		return err
	}
	c.running = 0
	if strings.Contains(m.line(" s after its start"), ".next works") {
		c.running = 1
	}
	from := m.from
	if err := m.typeLine("1"); err != nil {
		return err
	}
	for _, said := range []string{"MiB resident", "\n> "} { // the end is its next question
		if err := m.says(ctx, said); err != nil {
			return err
		}
	}
	if _, amiss, ok := strings.Cut(m.seen[from:m.from], "DEGRADED"); ok {
		line, _, _ := strings.Cut(amiss, "\n")
		return fmt.Errorf("the console says DEGRADED%s", line)
	}
	m.from = from // an update that waited may have begun meanwhile
	return nil
}

// installs waits for each phase of an update that is on its way.
func (c *cuts) installs(ctx context.Context, m *machine) error {
	began := time.Now()
	for i, end := range []string{"an update is looked at", "its system is written", "is installed beside", "simtrap: system on"} {
		if err := m.says(ctx, end); err != nil {
			return err
		}
		c.lasts[phases[i]] = time.Since(began)
		began = time.Now()
	}
	was := c.running
	if err := c.good(ctx, m); err != nil {
		return err
	}
	c.lasts["trial"] = time.Since(began)
	if c.running == was {
		return errors.New("it is not the update that works")
	}
	return nil
}

// next signs the system that does not run once more.
func (c *cuts) next() (*bundle, error) {
	c.sequence++
	return c.bundles[1-c.running].again(c.key, c.sequence, c.file("again.update"))
}

// whole: an update from the hub that nothing cuts off, for how long its phases take.
func (c *cuts) whole(ctx context.Context, m *machine) error {
	b, err := c.next()
	if err != nil {
		return err
	}
	if err := c.hub.offer(ctx, b); err != nil {
		return err
	}
	c.say("an update is offered by the hub")
	if err := c.installs(ctx, m); err != nil {
		return err
	}
	for _, p := range phases {
		c.say("uncut, %s took %.1f s", p, c.lasts[p].Seconds())
	}
	return c.hub.withdraw(ctx, b)
}

// cutIn returns at a moment of a phase of an update, at which the power is to go.
func (c *cuts) cutIn(ctx context.Context, m *machine, phase string) error {
	b, err := c.next()
	if err != nil {
		return err
	}
	c.stick = b
	if phase == "fetch" {
		c.waited = &disk{}
		c.offered, c.said = b, c.hub.way.said.Load()
		size := b.Kernel.Size + b.System.Size
		share := c.random.Float64()
		if err := c.hub.offer(ctx, b); err != nil {
			return err
		}
		for float64(c.hub.way.said.Load()-c.said) < share*float64(size) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
		c.say("fetch: drawn is %.0f %% of its %d bytes", 100*share, size)
		c.said = c.hub.way.said.Load()
		return nil
	}
	// With the hub away something waits while the power goes.
	if err := c.hub.stop(); err != nil {
		return err
	}
	for c.waited = (&disk{}); !reportable(c.waited); {
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing waits for the hub: %w", ctx.Err())
		case <-time.After(5 * time.Second):
		}
		if c.waited, err = c.standing(ctx, m); err != nil {
			return err
		}
	}
	c.say("the hub is away; a cut now would leave %s that wait", kinds(c.waited))
	if err := tools(ctx, []string{"mcopy", "-i", c.file("drive"), b.path, "::simtrap.update"}); err != nil {
		return err
	}
	if err := m.typeLine("8"); err != nil {
		return err
	}
	for i, begins := range []string{"an update is looked at", "its system is written", "is installed beside", "simtrap: system on"} {
		if err := m.says(ctx, begins); err != nil {
			return err
		}
		if phases[i+1] == phase {
			break
		}
	}
	after := time.Duration(c.random.Float64() * float64(c.lasts[phase]))
	c.say("%s: drawn is %.2f s after its beginning", phase, after.Seconds())
	time.Sleep(after)
	return nil
}

// reportable says whether more waits than how the appliance does.
func reportable(d *disk) bool {
	for _, r := range d.records {
		if r.Kind != uplink.KindHealth {
			return true
		}
	}
	return false
}

// judge looks at the disk behind a cut: in which phase it fell, and whether all that
// waited is there.
func (c *cuts) judge(ctx context.Context) error {
	after, err := c.look(ctx)
	if err != nil {
		return err
	}
	slot := int64(slotBAt)
	if c.running == 1 { // they take turns
		slot = slotAAt
	}
	share, err := c.stick.written(c.file("disk"), slot)
	if err != nil {
		return err
	}
	c.say("on the disk: %s", where(after, c.stick, share))
	c.say("on the disk: %s wait, up to %d is acknowledged; before the cut %s, all of them there or replaced by newer ones", kinds(after), after.acked, kinds(c.waited))
	if gone := lost(c.waited, after); len(gone) > 0 {
		return fmt.Errorf("%d records that waited are gone, the first %d (kind %d)", len(gone), gone[0].Seq, gone[0].Kind)
	}
	c.waited = after
	return nil
}

// where says how far an update had come.
func where(d *disk, b *bundle, share float64) string {
	names := strings.Join(d.entries, " ")
	on := fmt.Sprintf("%.0f %% of the slot is as the update has it; entries %s", 100*share, names)
	switch {
	case d.kernel >= 0 && d.pending == b.Sequence:
		return "the system is written and the entry is not there yet (entry); " + on
	case d.kernel >= 0 && d.kernel < b.Kernel.Size:
		return fmt.Sprintf("the kernel's file has %d of %d bytes (write); %s", d.kernel, b.Kernel.Size, on)
	case d.kernel >= 0 && share == 1:
		return "the system is written, and nothing tells of it yet (entry); " + on
	case d.kernel >= 0:
		return "the kernel's file is whole, the slot is written (write); " + on
	case d.fetched >= 0:
		return fmt.Sprintf("%d bytes of the update are fetched (fetch); %s", d.fetched, names)
	case d.handed:
		return "the update is fetched and waits to be installed (fetch); " + names
	case strings.Contains(names, "+3.efi"):
		return "the entry is there and was not started yet (restart); " + on
	case strings.Contains(names, "+"):
		return "the entry was started and has not shown that it works (trial); " + on
	}
	return "nothing of the update is there; " + on
}

// kinds counts records by what they tell of.
func kinds(d *disk) string {
	counts := map[string]int{}
	for _, r := range d.records {
		counts[kindNames[r.Kind]]++
	}
	var list []string
	for _, name := range []string{"finding", "call", "hour of controllers", "health"} {
		if n := counts[name]; n > 0 {
			list = append(list, fmt.Sprintf("%d × %s", n, name))
		}
	}
	if len(list) == 0 {
		return "no records"
	}
	return strings.Join(list, ", ")
}
