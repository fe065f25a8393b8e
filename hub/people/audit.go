package people

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"simtrap/hub/store"
)

// Entry is one thing that somebody did.
type Entry struct {
	Sequence  uint64    `json:"sequence"`
	At        time.Time `json:"at"`
	Account   string    `json:"account"`
	Action    string    `json:"action"`
	Object    string    `json:"object,omitempty"`
	Authority string    `json:"authority,omitempty"`
	Detail    string    `json:"detail,omitempty"`
}

// maxDetail bounds what an entry tells of a request, in bytes.
const maxDetail = 32 << 10

// Record appends to the audit log. What it is about is done afterwards, and only
// if it was written down.
func (p *People) Record(ctx context.Context, e Entry) (Anchor, error) {
	if e.Account == "" || e.Action == "" {
		return Anchor{}, errors.New("an audit entry names who did what")
	}
	if len(e.Detail) > maxDetail {
		e.Detail = strings.ToValidUTF8(e.Detail[:maxDetail], "") + " (cut)"
	}
	for _, s := range []*string{&e.Account, &e.Action, &e.Object, &e.Authority, &e.Detail} {
		if !utf8.ValidString(*s) {
			*s = strings.ToValidUTF8(*s, "\ufffd")
		}
	}
	got, err := p.store.AppendAudit(ctx, func(head store.AuditEntry) (store.AuditEntry, error) {
		e.Sequence = head.Sequence + 1
		// To a precision that every store keeps.
		e.At = p.now().UTC().Truncate(time.Microsecond)
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		// For pages of HTML six bytes are written for one: more than the store takes.
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(e); err != nil {
			return store.AuditEntry{}, err
		}
		body := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
		return store.AuditEntry{Sequence: e.Sequence, At: e.At, Account: e.Account, Action: e.Action, Body: body, Previous: head.Hash, Hash: chained(head.Hash, body)}, nil
	})
	if err != nil {
		return Anchor{}, fmt.Errorf("audit log: %w", err)
	}
	return Anchor{got.Sequence, got.Hash}, nil
}

// chained is the hash of an entry: over the one before it and its own text.
func chained(previous [32]byte, body []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("simtrap audit\x00"))
	h.Write(previous[:])
	h.Write(body)
	return [32]byte(h.Sum(nil))
}

// Anchor is a place of the audit log and its hash, which whoever keeps it elsewhere
// can hold the log to.
type Anchor struct {
	Sequence uint64
	Hash     [32]byte
}

// String gives "N:HASH".
func (a Anchor) String() string { return fmt.Sprintf("%d:%x", a.Sequence, a.Hash) }

// ParseAnchor reads "N:HASH".
func ParseAnchor(s string) (Anchor, error) {
	n, hash, ok := strings.Cut(s, ":")
	sequence, err := strconv.ParseUint(n, 10, 64)
	b, bad := hex.DecodeString(hash)
	if !ok || err != nil || bad != nil || len(b) != 32 || sequence == 0 {
		return Anchor{}, fmt.Errorf("%q: want a number, a colon and 64 hexadecimal digits, as audit verify prints them", s)
	}
	return Anchor{sequence, [32]byte(b)}, nil
}

// AuditBroken is the error of a log that is not as it was written.
type AuditBroken struct {
	Sequence uint64 // the first entry that is wrong or missing
	Why      string
}

func (b *AuditBroken) Error() string {
	return fmt.Sprintf("the audit log is broken at entry %d: %s", b.Sequence, b.Why)
}

// auditPage is how many entries are read at once.
const auditPage = 500

// Verify reads the whole log and looks whether every entry follows from the one
// before it, and whether the anchors, kept elsewhere, are among them: who can
// write the store can write another log, but none with an anchor's hash. It gives
// the newest entry.
func (p *People) Verify(ctx context.Context, anchors ...Anchor) (Anchor, error) {
	var head Anchor
	for {
		list, err := p.store.Audit(ctx, head.Sequence+1, auditPage)
		if err != nil {
			return head, err
		}
		if len(list) == 0 {
			break
		}
		for i := range list {
			a := &list[i]
			broken := func(why string) (Anchor, error) { return head, &AuditBroken{head.Sequence + 1, why} }
			if a.Sequence != head.Sequence+1 {
				return broken("it is missing")
			}
			if a.Previous != head.Hash {
				return broken("it does not follow the entry before it")
			}
			if chained(head.Hash, a.Body) != a.Hash {
				return broken("its text is not the one that was hashed")
			}
			e, err := readEntry(a.Body)
			if err != nil || e.Sequence != a.Sequence || e.Account != a.Account || e.Action != a.Action || !e.At.Equal(a.At) {
				return broken("its columns say something else than its text")
			}
			head = Anchor{a.Sequence, a.Hash}
			for _, want := range anchors {
				if want.Sequence == head.Sequence && want.Hash != head.Hash {
					return head, &AuditBroken{head.Sequence, "its hash is not the anchor's: the log up to here was written anew"}
				}
			}
		}
	}
	for _, want := range anchors {
		if want.Sequence > head.Sequence {
			return head, &AuditBroken{head.Sequence + 1, fmt.Sprintf("the log ends here; the anchor says that it had %d entries", want.Sequence)}
		}
	}
	return head, nil
}

func readEntry(body []byte) (Entry, error) {
	var e Entry
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(&e)
	return e, err
}

// Log gives up to n entries from a sequence on, in order.
func (p *People) Log(ctx context.Context, from uint64, n int) ([]Entry, error) {
	list, err := p.store.Audit(ctx, from, n)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(list))
	for _, a := range list {
		e, err := readEntry(a.Body)
		if err != nil {
			return entries, &AuditBroken{a.Sequence, "its text cannot be read"}
		}
		entries = append(entries, e)
	}
	return entries, nil
}
