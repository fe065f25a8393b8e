package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"simtrap/ident"
)

// Prefix is an address or a prefix.
type Prefix netip.Prefix

func (p Prefix) String() string {
	if !netip.Prefix(p).IsValid() {
		return ""
	}
	return netip.Prefix(p).String()
}

func (p *Prefix) parse(s string) error {
	x, err := ident.ParsePrefix(s)
	if err != nil {
		return err
	}
	if given, err := netip.ParsePrefix(s); err == nil && given.Masked() != given {
		return fmt.Errorf("bits stand behind the prefix: want %s, or %s for the one address", given.Masked(), given.Addr())
	}
	*p = Prefix(x)
	return nil
}

// Duration is a time such as 90s, 5m or 1h30m.
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

func (d *Duration) parse(s string) error {
	x, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("want a time such as 30s, 5m or 1h")
	}
	*d = Duration(x)
	return nil
}

// Size is a number of bytes; 0 is "auto".
type Size int64

func (s Size) String() string {
	if s == 0 {
		return "auto"
	}
	n, i := int64(s), 0
	for n%1024 == 0 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return strconv.FormatInt(n, 10) + units[i]
}

var units = [...]string{"", "KiB", "MiB", "GiB", "TiB"}

func (s *Size) parse(text string) error {
	if text == "auto" {
		*s = 0
		return nil
	}
	for i := len(units) - 1; i >= 0; i-- {
		number, ok := strings.CutSuffix(text, units[i])
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 63)
		if err != nil || n > math.MaxInt64>>(10*i) || n == 0 {
			break
		}
		*s = Size(n << (10 * i))
		return nil
	}
	return errors.New("want auto, or a whole number of bytes, KiB, MiB or GiB such as 512MiB")
}

// checkText tells what is wrong with a text that must be more than a text.
func checkText(want, s string) error {
	switch want {
	case "":
		return nil
	case "name":
		if s == "" || len(s) > 63 || strings.ContainsFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-@:", r))
		}) {
			return errors.New("want at most 63 letters, digits, dots, dashes, underscores, colons or @")
		}
	case "plan":
		_, err := ident.ParsePlan(s)
		if s == "" {
			return errors.New("want the two letters of a country such as cn, or generic")
		}
		return err
	case "range":
		a, b, has := strings.Cut(s, "-")
		if !has {
			b = a
		}
		from, err1 := strconv.ParseUint(a, 10, 16)
		to, err2 := strconv.ParseUint(b, 10, 16)
		if err1 != nil || err2 != nil || from > to || to > 4095 {
			return errors.New("want N or N-M, up to 4095")
		}
	case "hub":
		if s == None || s == Auto {
			return nil
		}
		return checkHub(s)
	case "address":
		if s == None {
			return nil
		}
		_, err := ListenAddress(s)
		return err
	default:
		panic("config: a text wants " + want)
	}
	return nil
}

// checkHub looks at the address of a hub, which may be a name.
func checkHub(s string) error {
	host, port, err := net.SplitHostPort(s)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || n == 0 || host == "" || strings.ContainsAny(host, "/@ \t") {
		return errors.New("want a host and a port such as hub.example.net:7443, auto or none")
	}
	return nil
}

// ListenAddress reads an address and a port. A name would have to be looked up.
func ListenAddress(s string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(s)
	if err == nil && host == "localhost" {
		s = net.JoinHostPort("127.0.0.1", port)
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, errors.New("want an address and a port such as 127.0.0.1:9810 or [::1]:9810, or none")
	}
	return a, nil
}

func portSpec(realm string, n int) string { return realm + "=port:" + strconv.Itoa(n) }
