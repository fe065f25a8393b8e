package places

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"simtrap/heuristics"
	"simtrap/ident"
)

const (
	maxPrefixes = 4 << 20 // in all lists; the routes of the whole Internet are a quarter
	maxLine     = 4096    // bytes
	maxOrg      = 120     // bytes of a name
)

func (p *Places) openList(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("places: %w", err)
	}
	defer f.Close()
	return p.Parse(f, name)
}

// Parse reads a list of prefixes, one a line, with "#" before comments:
//
//	PREFIX COUNTRY [hosting|isp|carrier] [ASN] [name of the holder]
//
// COUNTRY is two letters, or - where it is not known. A single address stands
// for itself. Where two lines give the same prefix the later one holds. name is
// what errors call the list.
func (p *Places) Parse(r io.Reader, name string) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, maxLine), maxLine)
	for n := 1; s.Scan(); n++ {
		line := s.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if p.prefixes >= maxPrefixes {
			return fmt.Errorf("%s:%d: more than %d prefixes", name, n, maxPrefixes)
		}
		prefix, at, err := parseLine(fields)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
		p.add(prefix, at)
	}
	if err := s.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("a line of more than %d bytes: no list of prefixes", maxLine)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func parseLine(fields []string) (prefix netip.Prefix, at heuristics.Place, err error) {
	if prefix, err = parsePrefix(fields[0]); err != nil {
		return prefix, at, err
	}
	at.Known = true
	if len(fields) < 2 {
		return prefix, at, errors.New("no country behind the prefix: want two letters, or - where it is not known")
	}
	if fields[1] != "-" {
		if at.Country, err = Country(fields[1]); err != nil {
			return prefix, at, err
		}
	}
	rest := fields[2:]
	if len(rest) > 0 {
		switch strings.ToLower(rest[0]) {
		case "hosting":
			at.Hosting, rest = true, rest[1:]
		case "isp", "carrier":
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		if n, ok := parseASN(rest[0]); ok {
			at.ASN, rest = n, rest[1:]
		}
	}
	at.Org = cleanName(strings.Join(rest, " "))
	return prefix, at, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	p, err := ident.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q: want a prefix such as 203.0.113.0/24", s)
	}
	return p, nil
}

// parseASN reads "64500" or "AS64500".
func parseASN(s string) (uint32, bool) {
	if len(s) > 2 && strings.EqualFold(s[:2], "AS") {
		s = s[2:]
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0
}

// cleanName cuts a name to what a report has room for and takes out what has
// no shape.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if len(s) > maxOrg {
		s = s[:maxOrg]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return strings.TrimSpace(s)
}
