package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/hub/store"
	"simtrap/hub/trust"
)

// backupFile is the copy of the tables in a backup.
const backupFile = "hub.backup"

func newBackup(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FOLDER",
		Short: "Copy keys and tables into a new folder, while the hub serves",
		Long: `backup makes FOLDER with a copy of the hub's keys and, with SQLite, of its tables as they
stand at one moment. Whoever has it can be the hub: keep it as you keep the hub's own.
With PostgreSQL it copies the keys; pg_dump copies the tables.`,
		Args: command.OneArg("folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			to := args[0]
			if err := os.Mkdir(to, 0o700); err != nil {
				return err
			}
			err := p.with(cmd, func(ctx context.Context, h *hub) error {
				if err := p.record(ctx, h, "backup", to, ""); err != nil {
					return err
				}
				if err := trust.Copy(p.folder, to); err != nil {
					return err
				}
				err := h.store.Backup(ctx, filepath.Join(to, backupFile))
				if errors.Is(err, store.ErrUnsupported) {
					p.t.Warn("keys alone were copied: copy the tables with pg_dump")
					return nil
				}
				return err
			})
			if err != nil {
				// Half a backup has secrets and is none.
				return errors.Join(err, os.RemoveAll(to))
			}
			return nil
		},
	}
}

func newRestore(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FOLDER",
		Short: "Make the hub from a backup, where there is none",
		Long: `restore copies a backup into the hub's folder, which must hold no hub. Reports that were
acknowledged after the backup are not in it, and sensors do not send them again. Nor are
sensors that were admitted or revoked since, changed passwords, disabled accounts: revoke
and disable again before you serve. All logins, tokens of programs and open tokens of
sensors end, as they may have been ended or used since.

With PostgreSQL it copies the keys. Put the tables back with pg_restore, then run
"simtrap-hub restored" before you serve.`,
		Args: command.OneArg("folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := trust.Copy(args[0], p.folder); err != nil {
				return err
			}
			from := filepath.Join(args[0], backupFile)
			_, err := os.Stat(from)
			switch {
			case errors.Is(err, os.ErrNotExist):
				p.t.Warn("keys alone were restored: the backup has no tables. After pg_restore run simtrap-hub restored")
				return nil
			case err == nil:
				err = store.Restore(cmd.Context(), from, p.folder, time.Now())
			}
			if err != nil {
				// So that restore can be tried again.
				return errors.Join(fmt.Errorf("%s: %w", from, err), trust.Unmake(p.folder))
			}
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				return p.record(ctx, h, "restore", args[0], "")
			})
		},
	}
}

func newRestored(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "restored",
		Short: "Make tables safe to serve that were put back with pg_restore",
		Long: `restored is for tables that another program put back from a copy, and for once, before
the hub serves. What happened after the copy is not in it: logins, tokens of programs and
open tokens of sensors may have been ended or used since, so all of them end. Policies
get numbers above every one that was given after the copy. "simtrap-hub restore" does
the same by itself where it restores tables.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				if err := p.record(ctx, h, "restored", "", ""); err != nil {
					return err
				}
				return h.store.Restored(ctx, time.Now())
			})
		},
	}
}
