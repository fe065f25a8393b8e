package timestamp

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"time"
)

// wait is how long a service has to answer.
const wait = 20 * time.Second

// Client asks one service over HTTP (RFC 3161 section 3.4).
type Client struct {
	url  string
	http *http.Client
}

// NewClient takes the address of a service, http or https: the answer is
// signed, and the request holds a hash alone. It follows no redirection.
func NewClient(address string) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("want the http or https address of a time-stamp service")
	}
	return &Client{u.String(), &http.Client{
		Timeout:       wait,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Stamp asks for the time of a SHA-256 and checks the answer, but for who
// certified the service. The answer is given as it came.
func (c *Client) Stamp(ctx context.Context, sum [32]byte) ([]byte, error) {
	var b [8]byte
	rand.Read(b[:]) // never fails
	b[0] = b[0]&0x7f | 0x40
	nonce := new(big.Int).SetBytes(b[:])
	question, err := marshalRequest(sum, nonce)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/timestamp-query")
	a, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the service answered %d", a.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(a.Body, MaxResponse+1))
	if err != nil {
		return nil, err
	}
	_, t, err := verify(answer, sum, nil)
	if err != nil {
		return nil, err
	}
	if t.Nonce == nil || t.Nonce.Cmp(nonce) != 0 {
		return nil, errors.New("the answer is to another question")
	}
	return answer, nil
}
