package store

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"simtrap/report/reportpb"
)

// Bounds of the keys of one finding; together below 512.
const (
	maxKeyCards       = 160
	maxKeyAccounts    = 16
	maxKeyControllers = 64
)

// Keys gives the keys of a stored finding, each once, in order of kind and sum,
// at most 512.
func Keys(f *reportpb.Finding) []Key {
	ks, _ := keysOf(f)
	return ks
}

// keysOf tells as well how many were left out.
func keysOf(f *reportpb.Finding) (ks []Key, cut int) {
	add := func(kind KeyKind, texts ...string) { ks = append(ks, KeyOf(kind, texts...)) }
	for i, c := range f.GetCards() {
		if i == maxKeyCards {
			cut += len(f.GetCards()) - i
			break
		}
		if c.GetImsi() != "" {
			add(KeyCard, "imsi:"+c.GetImsi())
		}
		if c.GetIccid() != "" {
			add(KeyCard, "iccid:"+c.GetIccid())
		}
	}
	links := f.GetLinks()
	if n := len(links.GetAccounts()); n > 0 {
		// Two sets that are mostly the same have most of their lowest hashes in common,
		// so that these are enough to find one by the other.
		var as []Key
		for _, a := range links.GetAccounts() {
			as = append(as, KeyOf(KeyAccount, a))
		}
		slices.SortFunc(as, compareKeys)
		as = slices.Compact(as)
		ks = append(ks, as[:min(len(as), maxKeyAccounts)]...)
	}
	if c := links.GetContact(); c != "" {
		add(KeyContact, c)
	}
	if c := links.GetCname(); c != "" {
		add(KeyCNAME, c)
	}
	for i, c := range f.GetControllers() {
		if i == maxKeyControllers {
			cut += len(f.GetControllers()) - i
			break
		}
		a, err := netip.ParseAddr(c.GetAddr())
		if err != nil {
			continue
		}
		add(KeyController, a.WithZone("").Unmap().String())
	}
	slices.SortFunc(ks, compareKeys)
	return slices.Compact(ks), cut
}

func compareKeys(a, b Key) int {
	if c := cmp.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	return bytes.Compare(a.Sum[:], b.Sum[:])
}

// keysDigest tells one list of keys from another.
func keysDigest(ks []Key) [8]byte {
	var all bytes.Buffer
	for _, k := range ks {
		all.WriteByte(byte(k.Kind))
		all.Write(k.Sum[:])
	}
	sum := derive("keys", all.String())
	return [8]byte(sum[:8])
}

// cardID names a card by its IMSI, or by its ICCID when that alone was seen. An
// IMEI is the slot's and a number the subscription's: neither is a card.
func cardID(c *reportpb.Card) (ID, bool) {
	switch {
	case c.GetImsi() != "":
		return derive("card", "imsi:"+c.GetImsi()), true
	case c.GetIccid() != "":
		return derive("card", "iccid:"+c.GetIccid()), true
	default:
		return ID{}, false
	}
}
