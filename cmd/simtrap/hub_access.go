package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/report/querypb/querypbconnect"
)

// hubAccess is which hub is asked and as whom, as flags tell it.
type hubAccess struct {
	address, ca, token string
}

// hubLogin is what simtrap hub login keeps, in hub.json of the user's
// configuration folder.
type hubLogin struct {
	Hub string `json:"hub"`
	// CA is certificates in PEM, empty for the system's.
	CA    string `json:"ca,omitempty"`
	Token string `json:"token"`
}

// Bounds of files and answers, in bytes.
const (
	maxHubFile   = 1 << 20
	maxHubAnswer = 64 << 20
)

func hubLoginFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "simtrap", "hub.json"), nil
}

// resolve finds out which hub is asked and as whom: flags before the environment
// before the login. A token or a CA of the login goes to the login's hub alone.
func (a *hubAccess) resolve() (to hubLogin, err error) {
	kept, err := keptLogin()
	if err != nil {
		return to, err
	}
	to.Hub = first(a.address, os.Getenv("SIMTRAP_HUB"), kept.Hub)
	if to.Hub == "" {
		return to, errors.New("which hub? log in with simtrap hub login, or name it with --hub or SIMTRAP_HUB")
	}
	if to.Hub == kept.Hub {
		to.CA, to.Token = kept.CA, kept.Token
	}
	if file := first(a.ca, os.Getenv("SIMTRAP_HUB_CA")); file != "" {
		data, err := readBounded(file)
		if err != nil {
			return to, err
		}
		to.CA = string(data)
	}
	switch token := os.Getenv("SIMTRAP_HUB_TOKEN"); {
	case a.token != "":
		data, err := readSecret(a.token)
		if err != nil {
			return to, err
		}
		to.Token = strings.TrimSpace(string(data))
	case token != "":
		to.Token = strings.TrimSpace(token)
	}
	return to, nil
}

// keptLogin reads what simtrap hub login kept; there may be nothing.
func keptLogin() (kept hubLogin, err error) {
	file, err := hubLoginFile()
	if err != nil {
		return kept, nil // nor is there anything where no folder is known
	}
	data, err := readSecret(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return kept, nil
	case err != nil:
		return kept, err
	case json.Unmarshal(data, &kept) != nil:
		return hubLogin{}, fmt.Errorf("%s: not as simtrap hub login writes it: log in again", file)
	}
	return kept, nil
}

func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxHubFile+1))
	if err == nil && len(data) > maxHubFile {
		err = fmt.Errorf("%s: more than %d bytes", file, maxHubFile)
	}
	return data, err
}

// readSecret reads a file that others may not read.
func readSecret(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others may read it: chmod 600 it, and get a new token if they have", file)
	}
	return readBounded(file)
}

// hubHTTP gives the client of a hub, and its address without what does not belong.
func (l *hubLogin) http() (*http.Client, string, error) {
	u, err := url.Parse(l.Hub)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, "", fmt.Errorf("hub %q: want an address such as https://hub.example:8443", l.Hub)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if l.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(l.CA)) {
			return nil, "", errors.New("the file of certificates has none in PEM")
		}
	}
	return &http.Client{
		// A hub redirects nobody; who does wants the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute,
		},
	}, strings.TrimSuffix(u.String(), "/"), nil
}

// bearer sends the token with every call.
type bearer struct {
	token string
	base  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.base.RoundTrip(r)
}

// caller gives a client of HTTP that asks the hub which flags, environment or login
// name, and its address.
func (a *hubAccess) caller(cmd *cobra.Command) (*http.Client, string, error) {
	for flag, value := range map[string]string{"hub": a.address, "ca": a.ca, "token": a.token} {
		if value == "" && cmd.Flags().Changed(flag) {
			return nil, "", command.Usage(cmd, fmt.Errorf("--%s: an empty text names none", flag))
		}
	}
	to, err := a.resolve()
	if err != nil {
		return nil, "", err
	}
	if to.Token == "" {
		return nil, "", fmt.Errorf("no token for %s: log in with simtrap hub login, or name a file with --token", to.Hub)
	}
	c, address, err := to.http()
	if err != nil {
		return nil, "", err
	}
	if strings.ContainsFunc(to.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, "", errors.New("the token has characters that none has: is it the right file?")
	}
	c.Transport = bearer{to.Token, c.Transport}
	return c, address, nil
}

// client gives the client of the hub's queries.
func (a *hubAccess) client(cmd *cobra.Command) (querypbconnect.QueryServiceClient, error) {
	c, address, err := a.caller(cmd)
	if err != nil {
		return nil, err
	}
	return querypbconnect.NewQueryServiceClient(c, address, connect.WithReadMaxBytes(maxHubAnswer)), nil
}
