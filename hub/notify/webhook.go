package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// Headers of a webhook's request. The signature is "v1=" and the HMAC-SHA-256, in hex,
// over the time-stamp, a dot and the body.
const (
	HeaderEvent     = "Simtrap-Event"     // the kind
	HeaderDelivery  = "Simtrap-Delivery"  // the event's id
	HeaderTimestamp = "Simtrap-Timestamp" // of the request, seconds since the Unix epoch
	HeaderSignature = "Simtrap-Signature"
)

const (
	// MinSecret is the least length of a webhook's secret, in bytes.
	MinSecret   = 16
	webhookTime = 10 * time.Second
	maxAnswer   = 64 << 10
)

// Webhook posts events as JSON.
type Webhook struct {
	url    string
	name   string
	secret []byte
	client *http.Client
	now    func() time.Time
}

// NewWebhook gives the target of an address. It is to be https, or on this machine. The
// secret is shared with whoever answers there; config may be nil.
func NewWebhook(address string, secret []byte, config *tls.Config) (*Webhook, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Fragment != "" {
		return nil, errors.New("webhook: want an address such as https://cases.example/simtrap")
	}
	name := url.URL{Scheme: u.Scheme, Host: u.Host} // many a service has the secret in the path
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && local(u.Hostname()):
	default:
		return nil, fmt.Errorf("webhook %s: want https, or http to this machine", name.String())
	}
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("webhook: a secret of %d bytes; want %d or more", len(secret), MinSecret)
	}
	return &Webhook{url: u.String(), name: name.String(), secret: bytes.Clone(secret), now: time.Now, client: &http.Client{
		Timeout:       webhookTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true, TLSHandshakeTimeout: webhookTime, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 1},
	}}, nil
}

func local(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Name implements Target: scheme and host.
func (w *Webhook) Name() string { return w.name }

// Close implements Target.
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

// Sign gives the signature of a body at a time.
func Sign(secret []byte, timestamp string, body []byte) string {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(timestamp + "."))
	m.Write(body)
	return "v1=" + hex.EncodeToString(m.Sum(nil))
}

// Tell implements Target. Who answers with 2xx has taken it; 408, 425, 429 and 5xx are
// tried again, other answers are not.
func (w *Webhook) Tell(ctx context.Context, e *Event) error {
	b, err := body(e)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(b))
	if err != nil {
		return &Permanent{err}
	}
	at := strconv.FormatInt(w.now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "simtrap-hub")
	r.Header.Set(HeaderEvent, e.Kind)
	r.Header.Set(HeaderDelivery, e.ID)
	r.Header.Set(HeaderTimestamp, at)
	r.Header.Set(HeaderSignature, Sign(w.secret, at, b))
	answer, err := w.client.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // it would quote the address, which may hold a token
		}
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)) // so that the connection can be used again
	switch c := answer.StatusCode; {
	case c/100 == 2:
		return nil
	case c == http.StatusRequestTimeout, c == http.StatusTooEarly, c == http.StatusTooManyRequests, c/100 == 5:
		return fmt.Errorf("the answer is %d", c)
	default:
		return &Permanent{fmt.Errorf("the answer is %d", c)}
	}
}
