package main

import (
	"context"
	"crypto/ed25519"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/evidence/bundle"
	"simtrap/hub/trust"
)

// evidenceKeys makes the hub's keys of evidence where an earlier program made the hub.
func (p *place) evidenceKeys(cmd *cobra.Command, print func(*trust.Trust) ([]byte, error)) error {
	return p.with(cmd, func(ctx context.Context, h *hub) error {
		t := h.trust
		if t.Evidence() == nil || t.Headers() == nil {
			if err := p.record(ctx, h, "evidence.keys", p.folder, ""); err != nil {
				return err
			}
			if _, err := trust.MakeEvidence(p.folder); err != nil {
				return err
			}
			p.t.Warn("made keys of evidence: the hub has them when it is started again; copy them to other hubs of the same store")
			var err error
			if t, err = trust.Open(p.folder, nil); err != nil {
				return err
			}
		}
		b, err := print(t)
		if err != nil {
			return err
		}
		_, err = p.t.Out.Write(b)
		return err
	})
}

func newHeadersKey(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "headers-key",
		Short: "Print the key that appliances encrypt headers to",
		Long: `headers-key prints the public half (PEM) of the key by which the hub reads headers that
appliances keep encrypted: put it into a file there, and name it as headers.key in their
configuration. It is no secret. The other half never leaves the hub's folder; it is made
here where there is none.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.evidenceKeys(cmd, func(t *trust.Trust) ([]byte, error) { return t.Headers().Public().Encode() })
		},
	}
}

func newSigner(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "signer",
		Short: "Print the key that the hub's bundles of evidence are checked with",
		Long: `signer prints the public half (PEM) of the key that signs bundles of evidence, for
"simtrap evidence verify --signer". It is no secret.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.evidenceKeys(cmd, func(t *trust.Trust) ([]byte, error) {
				return bundle.EncodePublicKey(t.Evidence().Public().(ed25519.PublicKey))
			})
		},
	}
}
