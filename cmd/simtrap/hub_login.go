package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
)

// maxSession is more than any answer about a session, bytes.
const maxSession = 4096

func newHubLogin(t command.Terminal, to *hubAccess) *cobra.Command {
	var account string
	cmd := &cobra.Command{
		Use:   "login [flags] HUB",
		Short: "Get a token for an account, and keep it for later commands",
		Long: `login asks for the password of an account (from the terminal, or the first line of
standard input), gets a token from the hub for it, and keeps hub, certificates and token
in simtrap/hub.json of the user's configuration folder, readable for its owner alone.
The password is not kept. simtrap hub logout ends the token.`,
		Args: command.OneArg("address of a hub"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if account == "" {
				return command.Usage(cmd, errors.New("--account: whose? name an account of the hub"))
			}
			login := hubLogin{Hub: args[0]}
			if file := first(to.ca, os.Getenv("SIMTRAP_HUB_CA")); file != "" {
				data, err := readBounded(file)
				if err != nil {
					return err
				}
				login.CA = string(data)
			}
			c, address, err := login.http()
			if err != nil {
				return err
			}
			login.Hub = address
			password, err := command.Password(t, "password of "+account+": ")
			if err != nil {
				return err
			}
			var answer struct {
				Token   string    `json:"token"`
				Expires time.Time `json:"expires"`
			}
			body, err := json.Marshal(map[string]string{"account": account, "password": password})
			if err != nil {
				return err
			}
			if err := session(cmd.Context(), c, http.MethodPost, address, body, &answer); err != nil {
				return err
			}
			if answer.Token == "" {
				return errors.New("what answers there is no simtrap-hub")
			}
			login.Token = answer.Token
			file, err := hubLoginFile()
			if err != nil {
				return err
			}
			if err := writeLogin(file, &login); err != nil {
				return fmt.Errorf("the token is not kept: %w", err)
			}
			t.Say(fmt.Sprintf("logged in at %s as %s until %s", address, account, answer.Expires.UTC().Format(time.RFC3339)))
			return nil
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "`NAME` of the account")
	return cmd
}

func newHubLogout(t command.Terminal, to *hubAccess) *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "End the token of simtrap hub login",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			login, err := to.resolve()
			if err != nil {
				return err
			}
			kept, err := keptLogin()
			if err != nil {
				return err
			}
			c, address, err := login.http()
			if err != nil {
				return err
			}
			c.Transport = bearer{login.Token, c.Transport}
			err = session(cmd.Context(), c, http.MethodDelete, address, nil, nil)
			if answer, is := errors.AsType[*sessionError](err); err != nil && (!is || answer.status != http.StatusUnauthorized) { // ended already
				return err
			}
			if kept.Hub != login.Hub || kept.Token != login.Token {
				return nil // another's token was ended: the one that is kept is good still
			}
			file, err := hubLoginFile()
			if err != nil {
				return err
			}
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
	}
}

// sessionError is what a hub says instead of a session.
type sessionError struct {
	status int
	text   string
}

func (e *sessionError) Error() string { return "the hub says: " + e.text }

// session asks the hub's /login, where sessions begin and end.
func session(ctx context.Context, c *http.Client, method, address string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, address+"/login", bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	got, err := c.Do(request)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	data, err := io.ReadAll(io.LimitReader(got.Body, maxSession))
	if err != nil {
		return err
	}
	if got.StatusCode/100 != 2 {
		return &sessionError{got.StatusCode, first(strings.TrimSpace(string(data)), got.Status)}
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return errors.New("what answers there is no simtrap-hub")
	}
	return nil
}

// writeLogin replaces the file at once and whole.
func writeLogin(file string, login *hubLogin) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(login)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".hub-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
