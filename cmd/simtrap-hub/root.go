package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"simtrap/cmd/internal/command"
	"simtrap/hub/people"
	"simtrap/hub/store"
	"simtrap/hub/trust"
	"simtrap/report"
)

// defaultFolder is where the service keeps what it has.
const defaultFolder = "/var/lib/simtrap-hub"

// place is where a hub lies, and who works on it.
type place struct {
	t      command.Terminal
	folder string
	url    string
	by     string
	json   bool
}

func newRoot(t command.Terminal) *cobra.Command {
	root := command.Root(t, "Receive reports of appliances, link them, and answer",
		`simtrap-hub receives what appliances (simtrapd) report, links boxes, controllers and
cards across lines and days, and answers "simtrap hub" and other programs. Begin with
"simtrap-hub init", then "simtrap-hub serve".

Its keys, and with SQLite its tables, lie in one folder. With --store they go to
PostgreSQL: then several hubs with copies of the folder's keys may serve side by side.
All commands but init, serve, restore and restored may be used while it serves.`)
	p := &place{t: t}
	f := root.PersistentFlags()
	f.StringVarP(&p.folder, "data", "d", defaultFolder, "`FOLDER` of keys and, with SQLite, of tables")
	f.StringVar(&p.url, "store", "", "`URL` of a PostgreSQL, postgres://...; SIMTRAP_HUB_STORE keeps a password out of the list of processes")
	f.StringVar(&p.by, "by", "", "`NAME` that the audit log is told; the user's name at this machine")
	root.MarkPersistentFlagDirname("data")
	root.AddCommand(newInit(p), newServe(p), newCA(p), newHeadersKey(p), newSigner(p), newEnroll(p), newRevoke(p), newSensors(p), newAccount(p),
		newPolicy(p), newDeclare(p), newPack(p), newUpdates(p), newAudit(p), newBackup(p), newRestore(p), newRestored(p),
		command.NewVersion(t), command.NewDocs(root, "8"))
	return root
}

// asJSON adds the flag for commands that print something.
func (p *place) asJSON(cmd *cobra.Command, what string) *cobra.Command {
	cmd.Flags().BoolVar(&p.json, "json", false, "print "+what)
	return cmd
}

// print prints an object as JSON, or the text.
func (p *place) print(object any, text string) error {
	if p.json {
		return json.NewEncoder(p.t.Out).Encode(object)
	}
	_, err := fmt.Fprintln(p.t.Out, text)
	return err
}

// table prints rows in columns, whatever is in them.
func (p *place) table(head []string, rows [][]string) error {
	w := tabwriter.NewWriter(p.t.Out, 0, 0, 2, ' ', 0)
	line := func(cells []string) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			if c = report.Plain(c); c == "" {
				c = "-"
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	}
	line(head)
	for _, r := range rows {
		line(r)
	}
	return w.Flush()
}

// who is the name that the audit log is told.
func (p *place) who() string {
	for _, s := range []string{p.by, os.Getenv("SUDO_USER"), os.Getenv("USER"), os.Getenv("LOGNAME")} {
		if s != "" {
			return "local:" + s
		}
	}
	return "local"
}

// hub is what commands work with.
type hub struct {
	trust  *trust.Trust
	store  *store.Store
	people *people.People
}

// open opens a hub that was made.
func (p *place) open(ctx context.Context, log *zap.Logger) (*hub, error) {
	t, err := trust.Open(p.folder, nil)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, store.Options{Folder: p.folder, URL: p.storeURL(), HubKey: t.HubKey(), Log: log})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return &hub{trust: t, store: s, people: people.New(people.Options{Store: s, Log: log})}, nil
}

func (p *place) storeURL() string {
	if p.url != "" {
		return p.url
	}
	return os.Getenv("SIMTRAP_HUB_STORE")
}

// with does something with a hub that is open meanwhile.
func (p *place) with(cmd *cobra.Command, do func(context.Context, *hub) error) error {
	h, err := p.open(cmd.Context(), nil)
	if err != nil {
		return err
	}
	return errors.Join(do(cmd.Context(), h), h.store.Close())
}

// record writes something down before it is done.
func (p *place) record(ctx context.Context, h *hub, action, object, detail string) error {
	_, err := h.people.Record(ctx, people.Entry{Account: p.who(), Action: action, Object: object, Detail: detail})
	return err
}

// ago tells a time for people.
func ago(t time.Time) string {
	if t.IsZero() || t.Unix() <= 0 {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// parseSpan reads a duration that may be in days: "90d".
func parseSpan(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err != nil || fmt.Sprint(n) != days || n < 0 || n > 36500 {
			return 0, fmt.Errorf("%q: want a number of days such as 90d, or a duration such as 12h", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q: want a number of days such as 90d, or a duration such as 12h", s)
	}
	return d, nil
}
