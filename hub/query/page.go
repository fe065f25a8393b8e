package query

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"google.golang.org/protobuf/proto"

	"simtrap/report/querypb"
)

// tokenLife is for how long a page token is good.
const tokenLife = 24 * time.Hour

// maxToken is more than any token of ours, in characters.
const maxToken = 1024

// place is where the next page begins, as the store gave it.
type place struct {
	after string
	size  int
}

// bound is what a token holds to: the list, the filter and the authority. The
// number of rows may change from page to page.
func bound(method, authority string, f *querypb.Filter) []byte {
	h := sha256.New()
	h.Write([]byte(method))
	h.Write([]byte{0})
	h.Write([]byte(authority))
	h.Write([]byte{0})
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(f)
	if err != nil {
		b = []byte{0} // text that is no UTF-8, which has been refused before
	}
	h.Write(b)
	return h.Sum(nil)
}

// seal makes a token: the time and the place, encrypted and authenticated.
func (s *Service) seal(after string, bound []byte) string {
	if after == "" {
		return ""
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(s.now().Unix()))
	plain = append(plain, after...)
	return base64.RawURLEncoding.EncodeToString(s.pages.Seal(nil, nil, plain, bound))
}

// page reads the page of a request.
func (s *Service) page(p *querypb.Page, bound []byte) (place, error) {
	at := place{size: int(min(p.GetSize(), maxPage+1))}
	switch {
	case at.size == 0:
		at.size = defaultPage
	case at.size > maxPage:
		return at, invalid("page: %d rows, at most %d", p.GetSize(), maxPage)
	}
	token := p.GetToken()
	if token == "" {
		return at, nil
	}
	if len(token) > maxToken {
		return at, invalid("page: no token of this hub")
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return at, invalid("page: no token of this hub")
	}
	plain, err := s.pages.Open(nil, nil, sealed, bound)
	if err != nil || len(plain) <= 8 {
		return at, invalid("page: no token of this hub for this list, filter and authority")
	}
	age := s.now().Sub(time.Unix(int64(binary.BigEndian.Uint64(plain)), 0))
	if age > tokenLife || age < -time.Hour {
		return at, invalid("page: the token is more than a day old; begin again")
	}
	at.after = string(plain[8:])
	return at, nil
}
