package ident

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// The identities of people and cards. Each is comparable and holds clear text,
// because joins need it; none can print it. Use a Pseudonymizer to write one.
type (
	// IMSI is an International Mobile Subscriber Identity (ITU-T E.212).
	IMSI struct{ s string }
	// IMEI is an International Mobile Equipment Identity (3GPP TS 23.003).
	IMEI struct{ s string }
	// ICCID is the serial number of a card (ITU-T E.118).
	ICCID struct{ s string }
	// Number is a telephone number (ITU-T E.164 or as dialled).
	Number struct{ s string }
	// Account is the user part of a SIP address of record, with its host.
	Account struct{ s string }
	// Subscriber names who holds an access line, as a feed of sessions does: a
	// user name, a contract.
	Subscriber struct{ s string }
	// CNAME is the canonical name of an RTP source (RFC 3550 section 6.5.1).
	CNAME struct{ s string }
)

// NewIMSI takes 6 to 15 digits.
func NewIMSI(b []byte) (IMSI, bool) {
	if len(b) < 6 || len(b) > 15 || !digits(b) {
		return IMSI{}, false
	}
	return IMSI{string(b)}, true
}

// NewIMEI takes 15 digits whose last is the Luhn check digit of the others
// (3GPP TS 23.003 annex B), or the 16 digits of an IMEISV, which has none.
func NewIMEI(b []byte) (IMEI, bool) {
	if !digits(b) || len(b) != 15 && len(b) != 16 || len(b) == 15 && !Luhn(b) {
		return IMEI{}, false
	}
	return IMEI{string(b)}, true
}

// NewICCID takes 18 to 20 digits beginning with 89 (telecommunications). A
// number of 19 or 20 digits ends in a Luhn check digit; some card makers leave
// it out, hence 18. A trailing F, the filler of an odd count of nibbles, is
// dropped.
func NewICCID(b []byte) (ICCID, bool) {
	if n := len(b); n > 0 && (b[n-1] == 'F' || b[n-1] == 'f') {
		b = b[:n-1]
	}
	if len(b) < 18 || len(b) > 20 || !digits(b) || b[0] != '8' || b[1] != '9' {
		return ICCID{}, false
	}
	return ICCID{string(b)}, true
}

// NewNumber keeps b as dialled.
func NewNumber(b []byte) Number { return Number{string(b)} }

// NewAccount keeps b.
func NewAccount(b []byte) Account { return Account{string(b)} }

// NewSubscriber keeps b.
func NewSubscriber(b []byte) Subscriber { return Subscriber{string(b)} }

// NewCNAME keeps b.
func NewCNAME(b []byte) CNAME { return CNAME{string(b)} }

// Luhn says whether the last digit of b is the check digit of the others
// (ISO/IEC 7812-1).
func Luhn(b []byte) bool {
	sum, double := 0, false
	for i := len(b) - 1; i >= 0; i-- {
		d := int(b[i] - '0')
		if d < 0 || d > 9 {
			return false
		}
		if double {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum, double = sum+d, !double
	}
	return len(b) > 1 && sum%10 == 0
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// Checked says whether the last digit is the Luhn check digit. Only an ICCID of
// 19 or 20 digits carries one.
func (i ICCID) Checked() bool { return len(i.s) >= 19 && Luhn([]byte(i.s)) }

// Block is a hash of the number without its last two digits: the same for the
// numbers that one subscriber is given in a row. ok is false for what is no
// number of seven digits or more. It is for tables in memory, never for output.
func (n Number) Block() (key uint64, ok bool) {
	d := n.s
	if len(d) > 0 && d[0] == '+' {
		d = d[1:]
	}
	if len(d) < 7 {
		return 0, false
	}
	for i := range len(d) {
		if d[i] < '0' || d[i] > '9' {
			return 0, false
		}
	}
	return Hash(blockSeed, []byte(d[:len(d)-2])), true
}

// Hash is a keyed hash of the number as it is, for tables in memory.
func (n Number) Hash(seed uint64) uint64 {
	if n.s == "" {
		return 0
	}
	return max(1, Hash(seed, []byte(n.s)))
}

const blockSeed = 0x2545f4914f6cdd1d

func (i IMSI) IsZero() bool       { return i.s == "" }
func (i IMEI) IsZero() bool       { return i.s == "" }
func (i ICCID) IsZero() bool      { return i.s == "" }
func (n Number) IsZero() bool     { return n.s == "" }
func (a Account) IsZero() bool    { return a.s == "" }
func (s Subscriber) IsZero() bool { return s.s == "" }
func (c CNAME) IsZero() bool      { return c.s == "" }

// Issuer is the part of the identity that names an organisation or model and
// no person: MCC and MNC of an IMSI (two-digit MNC, which over-shortens North
// American ones), the type allocation code of an IMEI, country and issuer of an
// ICCID.
func (i IMSI) Issuer() string  { return head(i.s, 5) }
func (i IMEI) Issuer() string  { return head(i.s, 8) }
func (i ICCID) Issuer() string { return head(i.s, 6) }

func head(s string, n int) string {
	if len(s) < n {
		return s
	}
	return s[:n]
}

const masked = "~"

func (i IMSI) String() string       { return i.Issuer() + masked }
func (i IMEI) String() string       { return i.Issuer() + masked }
func (i ICCID) String() string      { return i.Issuer() + masked }
func (n Number) String() string     { return "number" + masked }
func (a Account) String() string    { return "account" + masked }
func (c CNAME) String() string      { return "cname" + masked }
func (s Subscriber) String() string { return "subscriber" + masked }

// Format keeps every verb, %#v and %x included, from printing clear text.
func (i IMSI) Format(f fmt.State, _ rune)       { io.WriteString(f, i.String()) }
func (i IMEI) Format(f fmt.State, _ rune)       { io.WriteString(f, i.String()) }
func (i ICCID) Format(f fmt.State, _ rune)      { io.WriteString(f, i.String()) }
func (n Number) Format(f fmt.State, _ rune)     { io.WriteString(f, n.String()) }
func (a Account) Format(f fmt.State, _ rune)    { io.WriteString(f, a.String()) }
func (c CNAME) Format(f fmt.State, _ rune)      { io.WriteString(f, c.String()) }
func (s Subscriber) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

func (i IMSI) MarshalText() ([]byte, error)       { return []byte(i.String()), nil }
func (i IMEI) MarshalText() ([]byte, error)       { return []byte(i.String()), nil }
func (i ICCID) MarshalText() ([]byte, error)      { return []byte(i.String()), nil }
func (n Number) MarshalText() ([]byte, error)     { return []byte(n.String()), nil }
func (a Account) MarshalText() ([]byte, error)    { return []byte(a.String()), nil }
func (c CNAME) MarshalText() ([]byte, error)      { return []byte(c.String()), nil }
func (s Subscriber) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Pseudonymizer writes identities. Without an authority it writes the issuer
// prefix, "~" and 16 hex digits of HMAC-SHA-256, so that the same card reads
// the same wherever the same key is used and cannot be searched for without it
// (a plain hash of an eleven-digit number takes seconds to invert). With an
// authority it writes clear text, and the authority stands in all output.
type Pseudonymizer struct {
	key       []byte
	authority string
}

// NewPseudonymizer copies key, which should be 32 random bytes. authority is
// the reference under which clear text is lawful ("case 2026-114"), or empty.
func NewPseudonymizer(key []byte, authority string) *Pseudonymizer {
	return &Pseudonymizer{key: append([]byte(nil), key...), authority: authority}
}

// Authority is the reference given, or empty.
func (p *Pseudonymizer) Authority() string { return p.authority }

func (p *Pseudonymizer) IMSI(i IMSI) string   { return p.write("imsi", i.Issuer(), i.s) }
func (p *Pseudonymizer) IMEI(i IMEI) string   { return p.write("imei", i.Issuer(), i.s) }
func (p *Pseudonymizer) ICCID(i ICCID) string { return p.write("iccid", i.Issuer(), i.s) }

// Number writes n behind its class, which the caller knows from its numbering
// plan ("cn-mobile"); class may be empty.
func (p *Pseudonymizer) Number(class string, n Number) string { return p.write("number", class, n.s) }
func (p *Pseudonymizer) Account(a Account) string             { return p.write("account", "", a.s) }
func (p *Pseudonymizer) Subscriber(s Subscriber) string       { return p.write("subscriber", "", s.s) }
func (p *Pseudonymizer) CNAME(c CNAME) string                 { return p.write("cname", "", c.s) }

// Text writes any other identifying text, such as a Contact host on a private
// network; kind keeps equal texts of different kinds apart.
func (p *Pseudonymizer) Text(kind, s string) string { return p.write(kind, "", s) }

func (p *Pseudonymizer) write(kind, prefix, s string) string {
	if s == "" {
		return ""
	}
	if p.authority != "" {
		return s
	}
	m := hmac.New(sha256.New, p.key)
	io.WriteString(m, kind)
	m.Write([]byte{0})
	io.WriteString(m, s)
	return prefix + "~" + hex.EncodeToString(m.Sum(nil)[:8])
}
