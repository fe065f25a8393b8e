package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/hub/store"
	"simtrap/hub/trust"
)

func newEnroll(p *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enroll [flags] NAME",
		Short: "Print a token that admits one appliance",
		Long: `enroll prints a token with which "simtrapd enroll HUB TOKEN" has an appliance admitted
under NAME. It is good once and for 24 hours, and says by which authority the appliance
knows this hub. Only its hash is kept. A name that was revoked is admitted anew.`,
		Args: command.OneArg("name of a sensor"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if !trust.SensorName(name) {
				return command.Usage(cmd, fmt.Errorf("%q: %w", name, trust.ErrSensorName))
			}
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				now := time.Now()
				text, hash := h.trust.NewToken()
				if err := p.record(ctx, h, "enroll", name, ""); err != nil {
					return err
				}
				if err := h.store.AddToken(ctx, store.Token{Hash: hash, Sensor: name, By: p.who(), Made: now, Expires: now.Add(trust.TokenLife)}); err != nil {
					return err
				}
				return p.print(struct {
					Sensor  string    `json:"sensor"`
					Token   string    `json:"token"`
					Expires time.Time `json:"expires"`
				}{name, text, now.Add(trust.TokenLife).UTC()}, text)
			})
		},
	}
	return p.asJSON(cmd, "one JSON object")
}

func newRevoke(p *place) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "revoke [flags] NAME",
		Short: "Turn an appliance away, at once",
		Long: `revoke ends all certificates of a sensor and its open tokens. What it has reported
stays. It is turned away with its next request; a stream of policy ends within seconds.`,
		Args: command.OneArg("name of a sensor"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				if err := p.record(ctx, h, "revoke", args[0], reason); err != nil {
					return err
				}
				err := h.store.Revoke(ctx, args[0], p.who(), reason, time.Now())
				if errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("there is no sensor %q", args[0])
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` for the audit log")
	return cmd
}

// listPage is how many rows a list reads at once.
const listPage = 500

func newSensors(p *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sensors [flags]",
		Short: "List the appliances",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				var rows [][]string
				page := store.Page{Size: listPage}
				for {
					list, err := h.store.Sensors(ctx, store.Filter{}, page)
					if err != nil {
						return err
					}
					for _, s := range list.Rows {
						if p.json {
							if err := json.NewEncoder(p.t.Out).Encode(sensorJSON(s)); err != nil {
								return err
							}
							continue
						}
						state, clock := "admitted", ""
						if s.Revoked {
							state = "revoked"
						}
						if s.ClockDifference != nil {
							clock = s.ClockDifference.Round(time.Millisecond).String()
						}
						rows = append(rows, []string{s.Name, state, s.Version, ago(s.LastReport), clock, fmt.Sprint(s.Missing), fmt.Sprint(s.Policy), strings.Join(s.Alarms, " ")})
					}
					if list.Next == "" {
						break
					}
					page.After = list.Next
				}
				if p.json {
					return nil
				}
				return p.table([]string{"SENSOR", "STATE", "VERSION", "LAST REPORT (UTC)", "CLOCK", "MISSING", "POLICY", "ALARMS"}, rows)
			})
		},
	}
	return p.asJSON(cmd, "one JSON object per line")
}

// sensorJSON is a sensor as it is printed.
func sensorJSON(s store.Sensor) any {
	when := func(t time.Time) *time.Time {
		if t.IsZero() || t.Unix() <= 0 {
			return nil
		}
		t = t.UTC()
		return &t
	}
	var clock *float64
	if s.ClockDifference != nil {
		v := s.ClockDifference.Seconds()
		clock = &v
	}
	return struct {
		Name       string     `json:"name"`
		Revoked    bool       `json:"revoked"`
		Version    string     `json:"version"`
		Admitted   *time.Time `json:"admitted"`
		LastReport *time.Time `json:"last_report"`
		Ends       *time.Time `json:"certificate_ends"`
		Clock      *float64   `json:"clock_difference_s"`
		Missing    uint64     `json:"missing"`
		Policy     uint64     `json:"policy"`
		Catalogue  uint64     `json:"catalogue"`
		Alarms     []string   `json:"alarms"`
	}{s.Name, s.Revoked, s.Version, when(s.Admitted), when(s.LastReport), when(s.CertificateEnds), clock, s.Missing, s.Policy, s.Catalogue, append([]string{}, s.Alarms...)}
}
