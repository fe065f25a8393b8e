package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/hub/store"
	"simtrap/hub/trust"
)

// maxPEM is more than any file of certificates or keys.
const maxPEM = 1 << 20

func newInit(p *place) *cobra.Command {
	var names []string
	var caCert, caKey string
	cmd := &cobra.Command{
		Use:   "init [flags]",
		Short: "Make a hub: its authority, keys and tables",
		Long: `init makes the hub's folder: an authority for certificates of its own (or takes yours),
the keys of pseudonyms, of catalogue packs and of deletion records, and the tables. It
replaces nothing: where anything of a hub is there already, it makes nothing.

Keep a copy of the folder's keys: pseudonyms of another key compare with none of these.

With --ca-cert and --ca-key it issues under your own authority. Give it an issuing
certificate for this hub alone: sensors trust the hub by that one.

Exit status: 0 when the hub was made; 1 when it was not; 2 for wrong usage.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m := trust.Making{Names: names, Now: time.Now()}
			if len(m.Names) == 0 {
				m.Names = []string{"localhost", "127.0.0.1", "::1"}
				if host, err := os.Hostname(); err == nil {
					m.Names = append([]string{strings.ToLower(host)}, m.Names...)
				}
			}
			if (caCert == "") != (caKey == "") {
				return command.Usage(cmd, errors.New("--ca-cert and --ca-key belong together"))
			}
			if caCert != "" {
				var err error
				if m.CACert, err = readPEM(caCert); err != nil {
					return err
				}
				if m.CAKey, err = readPEM(caKey); err != nil {
					return err
				}
			}
			old := p.storeURL() == "" && store.Exists(p.folder)
			if err := trust.Init(p.folder, m); err != nil {
				return err
			}
			if old {
				err := fmt.Errorf("%s has tables of a hub, whose keys are not there: put those back, or move the tables away", p.folder)
				return errors.Join(err, trust.Unmake(p.folder))
			}
			if err := p.with(cmd, func(context.Context, *hub) error { return nil }); err != nil {
				// So that init can be tried again.
				if p.storeURL() == "" {
					err = errors.Join(err, store.Unmake(p.folder))
				}
				return errors.Join(err, trust.Unmake(p.folder))
			}
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				if err := p.record(ctx, h, "init", strings.Join(h.trust.Names(), " "), h.trust.Fingerprint()); err != nil {
					return err
				}
				return p.print(struct {
					Folder      string   `json:"folder"`
					Fingerprint string   `json:"fingerprint"`
					Names       []string `json:"names"`
				}{p.folder, h.trust.Fingerprint(), h.trust.Names()},
					fmt.Sprintf("made a hub in %s for %s; its authority is %s", p.folder, strings.Join(h.trust.Names(), ", "), h.trust.Fingerprint()))
			})
		},
	}
	cmd.Flags().StringArrayVar(&names, "name", nil, "`NAME` or address by which the hub is reached; may be given again")
	cmd.Flags().StringVar(&caCert, "ca-cert", "", "`FILE` of your issuing certificate and those above it, PEM")
	cmd.Flags().StringVar(&caKey, "ca-key", "", "`FILE` of its key, PEM")
	return p.asJSON(cmd, "one JSON object")
}

func readPEM(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxPEM))
}

func newCA(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "ca",
		Short: "Print the certificate by which the hub is known",
		Long: `ca prints the certificate of the hub's authority (PEM), for "simtrap hub login --ca". It
is no secret.`,
		Args: command.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			t, err := trust.Open(p.folder, nil)
			if err != nil {
				return err
			}
			for _, der := range t.Roots() {
				if err := pem.Encode(p.t.Out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
