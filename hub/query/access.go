package query

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"simtrap/report"
)

// view is what one request may see.
type view struct {
	person    Person
	authority string // empty: addresses as networks
}

// admit says who asks, and that he may read.
func (s *Service) admit(ctx context.Context) (Person, error) {
	who, err := s.people.Who(ctx)
	if err != nil {
		return who, connect.NewError(connect.CodeUnauthenticated, errors.New("log in first: the hub does not know who asks"))
	}
	if !who.Reads {
		return who, connect.NewError(connect.CodePermissionDenied, errors.New("this account may not read findings"))
	}
	return who, nil
}

// look says who asks and whether he may see what he asks for. When authority is
// not empty its use has been written down when look returns.
func (s *Service) look(ctx context.Context, method, authority string, request proto.Message) (view, error) {
	who, err := s.admit(ctx)
	if err != nil {
		return view{}, err
	}
	if authority == "" {
		return view{person: who}, nil
	}
	switch {
	case strings.TrimSpace(authority) == "":
		return view{}, invalid("authority: a blank text names none")
	case utf8.RuneCountInString(authority) > maxAuthority:
		return view{}, invalid("authority: more than %d characters", maxAuthority)
	case report.Plain(authority) != authority:
		return view{}, invalid("authority: has characters that cannot be shown")
	case !who.Clear:
		return view{}, connect.NewError(connect.CodePermissionDenied, errors.New("this account may not see addresses of lines in clear; ask for them without an authority"))
	}
	text, err := written(request)
	if err != nil {
		return view{}, err
	}
	if err := s.audit.Used(ctx, Use{Account: who.Account, Action: "clear", Authority: authority, Method: method, Request: text}); err != nil {
		if ctx.Err() != nil {
			return view{}, ctx.Err()
		}
		s.log.Error("audit failed: nothing is shown in clear", zap.Error(err))
		return view{}, connect.NewError(connect.CodeUnavailable, errors.New("the use of the authority could not be written down, so nothing is shown"))
	}
	return view{person: who, authority: authority}, nil
}

// written gives a request as the audit log holds it. One that would be cut there is
// refused: what stands behind the cut would be seen, and not told.
func written(request proto.Message) (string, error) {
	text, err := protojson.Marshal(request)
	if err != nil {
		return "", invalid("request: %w", err)
	}
	if len(text) > maxWritten {
		return "", invalid("request: %d bytes in JSON, at most %d can be written down whole: ask in parts", len(text), maxWritten)
	}
	return string(text), nil
}

// Networks that are shown of an address without an authority.
const (
	shown4 = 24
	shown6 = 48
)

// line gives a line's name as the view shows it.
func (v view) line(name string) string {
	if v.authority != "" {
		return name
	}
	return masked(name)
}

// masked gives the network that a line is in, behind its realm. Of a name that has
// no address nothing is shown.
func masked(name string) string {
	for i := 0; ; {
		if p, err := parseNetwork(name[i:]); err == nil {
			bits := shown6
			if p.Addr().Is4() {
				bits = shown4
			}
			if p.Bits() > bits {
				p = netip.PrefixFrom(p.Addr(), bits)
			}
			return name[:i] + p.Masked().String()
		}
		next := strings.IndexByte(name[i:], '/')
		if next < 0 {
			return ""
		}
		i += next + 1
	}
}

// networkOf gives the addresses of a line; ok is false for a name that has none. Of
// IPv6 they are those of the line's /64 at least: its homes move in that.
func networkOf(name string) (p netip.Prefix, ok bool) {
	for {
		p, err := parseNetwork(name)
		if err == nil {
			if p.Addr().Is6() && p.Bits() > 64 {
				p = netip.PrefixFrom(p.Addr(), 64)
			}
			return p.Masked(), true
		}
		_, rest, more := strings.Cut(name, "/")
		if !more {
			return netip.Prefix{}, false
		}
		name = rest
	}
}

// parseNetwork reads an address or a prefix.
func parseNetwork(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return unmapped(p), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if a.Zone() != "" {
		return netip.Prefix{}, errors.New("a zone is no part of an address here")
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// unmapped makes IPv4 of a prefix of IPv4 in its IPv6 form.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// shownWhole says whether no more of an address is in p than all may see.
func shownWhole(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() <= shown4
	}
	return p.Bits() <= shown6
}
