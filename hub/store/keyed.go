package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"
	"sync"

	"simtrap/report/reportpb"
)

// pseudonyms makes the hub's pseudonyms of those that sensors send: what stands
// behind "~" is replaced by its HMAC under the hub's key, so that who has only the
// fleet's key cannot look up a number in the store. What has no "~" was no
// pseudonym and is replaced whole.
type pseudonyms struct{ pool sync.Pool }

func newPseudonyms(key []byte) *pseudonyms {
	key = append([]byte{}, key...)
	return &pseudonyms{pool: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// What may stand before a pseudonym: an issuer's digits or the name of a class. More
// digits than an issuer has (those of a TAC are the most) would be part of an identity.
const (
	maxPrefix       = 24
	maxPrefixDigits = 8
)

func (p *pseudonyms) again(s string) string {
	if s == "" {
		return ""
	}
	prefix, rest, found := strings.Cut(s, "~")
	if !found || !isPrefix(prefix) {
		prefix, rest = "", s
	}
	m := p.pool.Get().(hash.Hash)
	defer p.pool.Put(m)
	m.Reset()
	m.Write([]byte(rest))
	var sum [sha256.Size]byte
	m.Sum(sum[:0])
	var b [maxPrefix + 1 + 16]byte
	out := append(b[:0], prefix...)
	out = append(out, '~')
	return string(hex.AppendEncode(out, sum[:8]))
}

func isPrefix(s string) bool {
	digits := 0
	for _, r := range s {
		if r >= '0' && r <= '9' {
			digits++
		}
	}
	return len(s) <= maxPrefix && digits <= maxPrefixDigits && !strings.ContainsFunc(s, notInPrefix)
}

func notInPrefix(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == ' ')
}

// finding keys a finding anew, in place.
func (p *pseudonyms) finding(f *reportpb.Finding) {
	for _, c := range f.GetCards() {
		c.Imsi, c.Imei, c.Iccid, c.Msisdn = p.again(c.GetImsi()), p.again(c.GetImei()), p.again(c.GetIccid()), p.again(c.GetMsisdn())
	}
	if l := f.GetLinks(); l != nil {
		for i, a := range l.Accounts {
			l.Accounts[i] = p.again(a)
		}
		l.Contact, l.Cname = p.again(l.Contact), p.again(l.Cname)
	}
	for _, h := range f.GetHellos() {
		h.Name, h.Issuer = p.again(h.GetName()), p.again(h.GetIssuer())
	}
	f.Subscriber = p.again(f.GetSubscriber())
	// An authority says that identities stand in clear. They do not any more.
	f.Authority = ""
}

// call keys a call anew, in place.
func (p *pseudonyms) call(c *reportpb.Call) {
	c.Calling, c.Called = p.again(c.GetCalling()), p.again(c.GetCalled())
	c.Account, c.Imsi = p.again(c.GetAccount()), p.again(c.GetImsi())
}
