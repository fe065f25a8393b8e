package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/report"
	"simtrap/sensor"
	"simtrap/sensor/config"
)

// maxStatus bounds what is read of an answer.
const maxStatus = 16 << 20

func newStatus(t command.Terminal) *cobra.Command {
	var file, socket string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "Ask the running daemon how things stand",
		Long: `status asks the daemon that listens on the socket of a configuration.

Exit status: 0 when it runs; 3 when it runs and alarms stand; 1 when it does not answer;
2 for wrong usage.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if socket == "" {
				c, err := config.Read(file)
				if err != nil {
					return fmt.Errorf("%w\nname the socket with --socket where the configuration cannot be read", err)
				}
				if socket = c.Path(c.Socket); c.Socket == config.None {
					return errors.New("the configuration has socket: none, so that nobody can ask the daemon")
				}
			}
			return askStatus(cmd.Context(), t, socket, asJSON)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", defaultConfig, "`FILE` of the daemon's configuration")
	cmd.Flags().StringVar(&socket, "socket", "", "`PATH` of the daemon's socket (default as the configuration says)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the whole answer as one JSON object")
	cmd.MarkFlagFilename("config", "yaml", "yml")
	return cmd
}

func askStatus(ctx context.Context, t command.Terminal, socket string, asJSON bool) error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/status", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no simtrapd answers at %s: %w", socket, errors.Unwrap(err))
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxStatus))
	if err != nil {
		return err
	}
	var s sensor.Status
	if err := json.Unmarshal(body, &s); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("what answers at %s is no simtrapd", socket)
	}
	if asJSON {
		_, err = t.Out.Write(body)
	} else {
		err = writeStatus(t.Out, &s)
	}
	if err == nil && len(s.Alarms) > 0 {
		return command.Status(statusAlarms)
	}
	return err
}

// writeStatus writes for people.
func writeStatus(w io.Writer, s *sensor.Status) error {
	var b strings.Builder
	tab := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tab, "%s\t%s\n", name, report.Plain(fmt.Sprintf(format, args...)))
	}
	row("simtrapd", "%s, %s for %v", s.Version, s.State, s.Now.Sub(s.Since).Round(time.Second))
	row("config", "%s", s.Config)
	for _, p := range s.Ports {
		last := "none yet"
		if p.Last != nil {
			last = "the last of " + p.Last.Format(time.RFC3339)
		}
		row("port "+report.Plain(p.Name), "%s, %s: %d frames, %s", p.Mode, p.Direction, p.Frames, last)
	}
	row("seen", "%d SIP messages, %d H.323 messages, %d calls, %d voice streams, %d control records", s.Messages, s.H323, s.Calls, s.Streams, s.Records)
	row("lines", "%d case, %d review, %d watch; %d findings written", s.Verdicts["case"], s.Verdicts["review"], s.Verdicts["watch"], s.Written)
	if s.Failed > 0 {
		row("", "%d findings could not be written", s.Failed)
	}
	if h := s.Hub; h != nil {
		hubRows(row, h)
	}
	if h := s.Headers; h != nil {
		how := "plain"
		if h.Encrypted {
			how = "encrypted"
		}
		row("headers", "of %d lines, %s: %d files, %d of %d bytes", h.Lines, how, h.Files, h.Bytes, h.Limit)
		if h.Requests+h.Refused > 0 {
			row("", "the hub asked %d times for them, %d refused; %d bytes were sent", h.Requests+h.Refused, h.Refused, h.Sent)
		}
		if h.Error != "" {
			row("", "%s", h.Error)
		}
	}
	switch k := s.Checkpoint; {
	case !k.Kept:
		row("evidence", "does not outlive a restart with this way of judging")
	case k.Last == nil:
		row("evidence", "not written yet")
	default:
		row("evidence", "written at %s, in %.3f s", k.Last.Format(time.RFC3339), k.Seconds)
	}
	if s.Checkpoint.Restored != "" {
		row("", "at the start: %s", s.Checkpoint.Restored)
	}
	if n := s.Checkpoint.Failed; n > 0 {
		row("", "%d times it could not be written", n)
	}
	if s.Checkpoint.Error != "" {
		row("", "not written since: %s", s.Checkpoint.Error)
	}
	if s.MemoryLimit > 0 {
		row("memory", "aims to stay below %d MiB", s.MemoryLimit>>20)
	}
	rights := "none beyond its user"
	if len(s.Capabilities) > 0 {
		rights = strings.Join(s.Capabilities, ", ")
	}
	row("rights", "%s; files confined: %s", rights, s.Confined)
	if len(s.Reload.Restart) > 0 {
		row("restart", "needed for %s", strings.Join(s.Reload.Restart, ", "))
	}
	for _, a := range s.Alarms {
		row("ALARM", "%s: %s; %s", a.ID, a.Text, a.Remedy)
	}
	for _, l := range s.Losses {
		where := l.Stage
		if l.Port != "" {
			where = l.Port + ", " + l.Stage
		}
		row("passed over", "%s: %d %s", where, l.Count, l.Reason)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// hubRows tells how the way to the hub is.
func hubRows(row func(name, format string, args ...any), h *sensor.HubStatus) {
	how := "reports go"
	switch {
	case h.LastAck == nil && h.Error == "":
		how = "nothing sent yet"
	case h.State != "closed":
		how = "reports do not arrive"
	}
	row("hub", "%s as %s: %s", h.Address, h.Sensor, how)
	if h.Error != "" {
		row("", "%s", h.Error)
	}
	last := "none yet"
	if h.LastAck != nil {
		last = "the last at " + h.LastAck.Format(time.RFC3339)
	}
	row("", "%d reports wait in %.1f of %d MiB, %d acknowledged, %s", h.Waiting, float64(h.Bytes)/(1<<20), h.Limit>>20, h.Acked, last)
	for _, d := range h.Dropped {
		row("", "%d reports lost: %s", d.Count, d.Reason)
	}
	if c := h.Clock; c != nil {
		row("", "its clock is %.3f s ahead, to %.3f s", c.Ahead, c.Uncertainty)
	}
	policy := "not followed"
	if h.Following {
		policy = "followed"
	}
	row("policy", "version %d, %s; tables of version %d; certificate until %s", h.Policy, policy, h.Catalogue, h.CertificateUntil.Format(time.RFC3339))
	if h.PolicyError != "" {
		row("", "%s", h.PolicyError)
	}
	if h.PackRefused > 0 {
		row("", "%d catalogues refused: %s", h.PackRefused, h.PackError)
	}
}
