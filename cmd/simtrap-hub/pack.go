package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"simtrap/cmd/internal/command"
	"simtrap/hub/store"
	"simtrap/hub/trust"
	"simtrap/report/fleet"
	"simtrap/report/fleetpb"
)

func newPack(p *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pack COMMAND",
		Short: "Sign and publish the detection catalogue",
		Long: `A pack is the detection catalogue with its thresholds, signed, under a version. An
appliance takes one whose signature holds and whose version is above the one it has, and
keeps the last good one. So older content returns only under a higher version.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPackSign(p), newPackPublish(p), newPackWithdraw(p), newPackShow(p))
	return cmd
}

// maxPackFile is more than any pack with its signature.
const maxPackFile = trust.MaxPack + 4096

func newPackSign(p *place) *cobra.Command {
	var version uint64
	var out, keyFile string
	cmd := &cobra.Command{
		Use:   "sign [flags] FOLDER",
		Short: "Make a signed pack of a catalogue's folder",
		Long: `sign packs the files of a catalogue (as in heuristics/catalogue) and signs them under a
version. With --key it needs no hub: the key may be kept where nothing is reached from.`,
		Args: command.OneArg("folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if version == 0 || out == "" {
				return command.Usage(cmd, errors.New("want --version, from 1, and --output"))
			}
			content, err := archive(os.DirFS(args[0]))
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			var pack *fleetpb.CataloguePack
			var key ed25519.PublicKey
			if keyFile != "" {
				text, err := readPEM(keyFile)
				if err != nil {
					return err
				}
				k, err := trust.ReadPackKey(text)
				if err != nil {
					return fmt.Errorf("%s: %w", keyFile, err)
				}
				key = k.Public().(ed25519.PublicKey)
				if pack, err = trust.SignPack(k, version, content); err != nil {
					return err
				}
				if err := usable(pack, []ed25519.PublicKey{key}, 0); err != nil {
					return err
				}
				return writePack(out, pack)
			}
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				if pack, err = h.trust.SignPack(version, content); err != nil {
					return err
				}
				if err := usable(pack, h.trust.CatalogueKeys(), 0); err != nil {
					return err
				}
				if err := p.record(ctx, h, "pack.sign", fmt.Sprint(version), args[0]); err != nil {
					return err
				}
				return writePack(out, pack)
			})
		},
	}
	cmd.Flags().Uint64Var(&version, "version", 0, "`N` that it is known by, above the last one")
	cmd.Flags().StringVarP(&out, "output", "o", "", "`FILE` of the pack")
	cmd.Flags().StringVar(&keyFile, "key", "", "`FILE` of the signing key, instead of the hub's")
	return cmd
}

// usable says whether appliances of this version would take a pack.
func usable(pack *fleetpb.CataloguePack, keys []ed25519.PublicKey, above uint64) error {
	_, err := fleet.ReadPack(pack, keys, above)
	return err
}

// archive packs the JSON files of a catalogue, the same for the same files.
func archive(files fs.FS) ([]byte, error) {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(z)
	var names []string
	for _, pattern := range []string{"*.json", "signals/*.json"} {
		list, err := fs.Glob(files, pattern)
		if err != nil {
			return nil, err
		}
		names = append(names, list...)
	}
	if len(names) == 0 {
		return nil, errors.New("no catalogue: want classes.json, signals/*.json and others")
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o644, Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
		if _, err := w.Write(text); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writePack(name string, pack *fleetpb.CataloguePack) error {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(pack)
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644)
}

func readPack(name string) (*fleetpb.CataloguePack, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPackFile))
	if err != nil {
		return nil, err
	}
	pack := &fleetpb.CataloguePack{}
	if err := proto.Unmarshal(b, pack); err != nil {
		return nil, fmt.Errorf("%s: no pack: %w", name, err)
	}
	return pack, nil
}

// publish gives a pack to the fleet.
func (p *place) publish(ctx context.Context, h *hub, action, object string, pack *fleetpb.CataloguePack) error {
	latest, err := h.store.LatestPack(ctx)
	if err != nil {
		return err
	}
	if err := usable(pack, h.trust.CatalogueKeys(), latest.GetVersion()); err != nil {
		return fmt.Errorf("%s: %w", object, err)
	}
	// After a restore sensors may have packs that this store knows nothing of. What they
	// say of it is a warning: one that lies must not keep the others from theirs.
	if n, newest, err := h.store.CatalogueAt(ctx, pack.GetVersion()); err != nil {
		return err
	} else if n > 0 {
		p.t.Say(fmt.Sprintf("%d sensors say that they have version %d or a later one, up to %d, and will not take this: sign it under a higher version", n, pack.GetVersion(), newest))
	}
	if err := p.record(ctx, h, action, object, fmt.Sprintf("version %d", pack.GetVersion())); err != nil {
		return err
	}
	err = h.store.AddPack(ctx, pack, p.who(), time.Now())
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("version %d is not above the one that is published", pack.GetVersion())
	}
	return err
}

func newPackPublish(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "publish FILE",
		Short: "Give a signed pack to all appliances",
		Args:  command.OneArg("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			pack, err := readPack(args[0])
			if err != nil {
				return err
			}
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				return p.publish(ctx, h, "pack.publish", args[0], pack)
			})
		},
	}
}

func newPackWithdraw(p *place) *cobra.Command {
	var version uint64
	cmd := &cobra.Command{
		Use:   "withdraw FILE",
		Short: "Return to the content of an older pack, under a higher version",
		Long: `withdraw signs the content of an older pack anew, under the version after the one that
is published, and publishes it. Where the signing key is kept elsewhere, sign there and
publish here.`,
		Args: command.OneArg("file of an older pack"),
		RunE: func(cmd *cobra.Command, args []string) error {
			old, err := readPack(args[0])
			if err != nil {
				return err
			}
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				if err := h.trust.VerifyPack(old); err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				latest, err := h.store.LatestPack(ctx)
				if err != nil {
					return err
				}
				if latest == nil {
					return errors.New("no pack is published that could be withdrawn")
				}
				pack, err := h.trust.SignPack(max(version, latest.GetVersion()+1), old.GetContent())
				if err != nil {
					return err
				}
				return p.publish(ctx, h, "pack.withdraw", args[0], pack)
			})
		},
	}
	cmd.Flags().Uint64Var(&version, "version", 0, "`N` that it is known by, where that is above the version after the published one")
	return cmd
}

func newPackShow(p *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [flags]",
		Short: "Say which pack is published",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				pack, err := h.store.LatestPack(ctx)
				if err != nil {
					return err
				}
				text := "none: appliances go by the catalogue of their program"
				if pack != nil {
					text = fmt.Sprintf("version %d, %d bytes, signed by %x", pack.GetVersion(), len(pack.GetContent()), pack.GetKeyId())
				}
				return p.print(struct {
					Version uint64 `json:"version"`
					Bytes   int    `json:"bytes"`
					Key     string `json:"key"`
				}{pack.GetVersion(), len(pack.GetContent()), fmt.Sprintf("%x", pack.GetKeyId())}, text)
			})
		},
	}
	return p.asJSON(cmd, "one JSON object")
}
