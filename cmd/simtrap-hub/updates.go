package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/firmware/update"
	"simtrap/hub/policy"
	"simtrap/hub/trust"
	"simtrap/report/fleetpb"
)

// updatesFolder has the bundles, each by its SHA-256 in hexadecimal.
func (p *place) updatesFolder() string { return filepath.Join(p.folder, "updates") }

func newUpdates(p *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "updates COMMAND",
		Short: "Offer appliances a new system, a share of them at a time",
		Args:  command.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newUpdatesAdd(p), newUpdatesStage(p), newUpdatesList(p), newUpdatesWithdraw(p))
	return cmd
}

func newUpdatesAdd(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "add FILE",
		Short: "Take a bundle, which is offered to nobody yet",
		Long: `add copies a bundle (*.update of make firmware) into this hub's folder. Nobody is offered
it before "updates stage" says whom. The hub does not look at its signature, for which it
has no key: appliances do. With several hubs on one PostgreSQL, add it at each.`,
		Args: command.OneArg("file of a bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, fresh, err := p.keepBundle(args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			object := fmt.Sprintf("%s %s, sequence %d", o.GetVersion(), o.GetArch(), o.GetSequence())
			offer := policy.Offer(o)
			err = p.changePolicy(cmd, policy.Change{Action: "updates.add", Object: object, Do: func(m *fleetpb.Policy) (*fleetpb.Policy, error) {
				for _, x := range m.GetUpdates() {
					if string(x.GetSha256()) == string(o.GetSha256()) {
						return m, nil // another hub has it already
					}
				}
				return offer(m)
			}})
			if err != nil && fresh != "" {
				err = errors.Join(err, os.Remove(fresh)) // it is offered to nobody, ever
			}
			return err
		},
	}
}

// keepBundle copies a bundle into the folder, and says what it is and, where it was not
// there before, the file's name.
func (p *place) keepBundle(name string) (o *fleetpb.UpdateOffer, fresh string, err error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, "", err
	}
	defer in.Close()
	m, err := update.Peek(in)
	if err != nil {
		return nil, "", err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(p.updatesFolder(), 0o700); err != nil {
		return nil, "", err
	}
	out, err := os.CreateTemp(p.updatesFolder(), ".new-*")
	if err != nil {
		return nil, "", err
	}
	defer os.Remove(out.Name())
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(in, policy.MaxBundle+1))
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return nil, "", err
	}
	if n <= m.Kernel.Size+m.System.Size {
		return nil, "", fmt.Errorf("it has %d bytes, and is cut short", n)
	}
	o = &fleetpb.UpdateOffer{Version: m.Version, Arch: m.Arch, Sequence: m.Sequence, Floor: m.Floor, Size: uint64(n), Sha256: sum.Sum(nil)}
	to := filepath.Join(p.updatesFolder(), hex.EncodeToString(o.GetSha256()))
	if _, err := os.Stat(to); errors.Is(err, fs.ErrNotExist) {
		fresh = to
	}
	return o, fresh, os.Rename(out.Name(), to)
}

func newUpdatesStage(p *place) *cobra.Command {
	var share float64
	var sensors []string
	cmd := &cobra.Command{
		Use:   "stage [flags] SEQUENCE",
		Short: "Say which appliances are offered an update",
		Long: `stage offers the update of SEQUENCE to a share of all appliances and to those that are
named. Which are in a share follows from their names and the version: whoever is in a
share is in every larger one. What was staged before is replaced.`,
		Example: `  simtrap-hub updates stage 1796022116 --sensor north-1
  simtrap-hub updates stage 1796022116 --share 10
  simtrap-hub updates stage 1796022116 --share 100`,
		Args: command.OneArg("sequence of an update"),
		RunE: func(cmd *cobra.Command, args []string) error {
			sequence, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return command.Usage(cmd, fmt.Errorf("%q: want a sequence, as updates list has it", args[0]))
			}
			if !cmd.Flags().Changed("share") && len(sensors) == 0 {
				return command.Usage(cmd, errors.New("want --share or --sensor: --share 0 alone offers it to nobody"))
			}
			if !(share >= 0 && share <= 100) {
				return command.Usage(cmd, errors.New("--share: want 0 to 100"))
			}
			for _, s := range sensors {
				if !trust.SensorName(s) {
					return command.Usage(cmd, fmt.Errorf("%q: %w", s, trust.ErrSensorName))
				}
			}
			object := fmt.Sprintf("sequence %d, %g %%, %s", sequence, share, strings.Join(sensors, " "))
			return p.changePolicy(cmd, policy.Change{Action: "updates.stage", Object: object, Do: policy.Stage(sequence, uint32(share*10+0.5), sensors)})
		},
	}
	cmd.Flags().Float64Var(&share, "share", 0, "`PERCENT` of all appliances")
	cmd.Flags().StringSliceVar(&sensors, "sensor", nil, "`NAME` of an appliance; may be given again")
	return cmd
}

func newUpdatesList(p *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [flags]",
		Short: "List the updates and who is offered them",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				latest, err := h.store.LatestPolicy(ctx)
				if err != nil {
					return err
				}
				var rows [][]string
				for _, x := range latest.Policy.GetUpdates() {
					name := hex.EncodeToString(x.GetSha256())
					_, missing := os.Stat(filepath.Join(p.updatesFolder(), name))
					if p.json {
						err := json.NewEncoder(p.t.Out).Encode(struct {
							Sequence uint64   `json:"sequence"`
							Version  string   `json:"version"`
							Arch     string   `json:"arch"`
							Floor    uint64   `json:"floor"`
							Size     uint64   `json:"size"`
							SHA256   string   `json:"sha256"`
							Share    float64  `json:"share_percent"`
							Sensors  []string `json:"sensors"`
							Here     bool     `json:"here"`
						}{x.GetSequence(), x.GetVersion(), x.GetArch(), x.GetFloor(), x.GetSize(), name, float64(x.GetPermille()) / 10, append([]string{}, x.GetSensors()...), missing == nil})
						if err != nil {
							return err
						}
						continue
					}
					here := "yes"
					if missing != nil {
						here = "no"
					}
					rows = append(rows, []string{fmt.Sprint(x.GetSequence()), x.GetVersion(), x.GetArch(), fmt.Sprint(x.GetFloor()), fmt.Sprintf("%g %%", float64(x.GetPermille())/10), strings.Join(x.GetSensors(), " "), here})
				}
				if p.json {
					return nil
				}
				return p.table([]string{"SEQUENCE", "VERSION", "ARCH", "FLOOR", "SHARE", "SENSORS", "HERE"}, rows)
			})
		},
	}
	return p.asJSON(cmd, "one JSON object per line")
}

func newUpdatesWithdraw(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "withdraw SEQUENCE",
		Short: "Offer an update to nobody any more",
		Long: `withdraw takes the update of SEQUENCE back, and removes its bundles here. Appliances that
have it keep it: only a later update changes that.`,
		Args: command.OneArg("sequence of an update"),
		RunE: func(cmd *cobra.Command, args []string) error {
			sequence, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return command.Usage(cmd, fmt.Errorf("%q: want a sequence, as updates list has it", args[0]))
			}
			var gone []string
			withdraw := policy.Withdraw(sequence)
			err = p.with(cmd, func(ctx context.Context, h *hub) error {
				record := func(ctx context.Context, action, object, detail string) error {
					return p.record(ctx, h, action, object, detail)
				}
				_, err := policy.Apply(ctx, h.store, record, time.Now(), policy.Change{By: p.who(), Action: "updates.withdraw", Object: fmt.Sprintf("sequence %d", sequence), Do: func(m *fleetpb.Policy) (*fleetpb.Policy, error) {
					gone = gone[:0]
					for _, x := range m.GetUpdates() {
						if x.GetSequence() == sequence {
							gone = append(gone, hex.EncodeToString(x.GetSha256()))
						}
					}
					return withdraw(m)
				}})
				return err
			})
			if err != nil {
				return err
			}
			for _, name := range gone {
				if err := os.Remove(filepath.Join(p.updatesFolder(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			return nil
		},
	}
}
