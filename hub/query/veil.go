package query

import (
	"context"
	"net/netip"
	"slices"

	"google.golang.org/protobuf/proto"

	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

// Where a sensor is not told which side subscribers are on, both ends of a conversation
// are lines, and each is the other's controller. What is a line's own address is shown
// as its network then as well, wherever it stands: a name of the line under one head and
// of a far end under another is the same name.

// veil gives for those of addresses that are lines' what is shown of them without an
// authority.
func (s *Service) veil(ctx context.Context, texts []string) (map[string]string, error) {
	slices.Sort(texts)
	var addrs []netip.Addr
	for _, text := range slices.Compact(texts) {
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			addrs = append(addrs, a.Unmap())
		}
	}
	if len(addrs) == 0 {
		return nil, nil
	}
	of, err := s.store.LineAddrs(ctx, addrs)
	if err != nil {
		return nil, err
	}
	shown := make(map[string]string)
	for _, a := range addrs {
		if of[a] {
			shown[a.String()] = masked(a.String())
		}
	}
	return shown, nil
}

// veiled gives what is shown in the place of a far end's address.
func veiled(shown map[string]string, text string) string {
	if a, err := netip.ParseAddr(text); err == nil {
		if network, ok := shown[a.Unmap().String()]; ok {
			return network
		}
	}
	return text
}

// farEnds gives the addresses of a finding's far ends.
func farEnds(f *reportpb.Finding) (texts []string) {
	for _, c := range f.GetControllers() {
		texts = append(texts, c.GetAddr())
	}
	for _, h := range f.GetHellos() {
		texts = append(texts, h.GetFar())
	}
	return texts
}

// veilFindings takes addresses of lines out of what findings tell of their far ends.
// What the store holds stays as it is.
func (s *Service) veilFindings(ctx context.Context, v view, fs ...*store.Finding) error {
	if v.authority != "" {
		return nil
	}
	var texts []string
	for _, f := range fs {
		texts = append(texts, farEnds(f.Report.GetFinding())...)
	}
	shown, err := s.veil(ctx, texts)
	if err != nil || len(shown) == 0 {
		return err
	}
	for _, f := range fs {
		var far []string // that are lines
		for _, text := range farEnds(f.Report.GetFinding()) {
			if veiled(shown, text) != text {
				far = append(far, text)
			}
		}
		if len(far) == 0 {
			continue
		}
		f.Report = proto.CloneOf(f.Report)
		told := f.Report.GetFinding()
		for _, c := range told.GetControllers() {
			c.Addr = veiled(shown, c.GetAddr())
		}
		for _, h := range told.GetHellos() {
			h.Far = veiled(shown, h.GetFar())
		}
		slices.Sort(far)
		for _, text := range slices.Compact(far) {
			hide(told, text)
		}
	}
	return nil
}

// pointers gives where the rows of a page are.
func pointers[T any](rows []T) []*T {
	out := make([]*T, len(rows))
	for i := range rows {
		out[i] = &rows[i]
	}
	return out
}

// reader reads a page of one kind of the store's rows.
type reader[T any] func(context.Context, store.Filter, store.Page) (store.List[T], error)

// findings reads the store's as the view may see them.
func (s *Service) findings(v view) reader[store.Finding] {
	return func(ctx context.Context, f store.Filter, p store.Page) (store.List[store.Finding], error) {
		l, err := s.store.Findings(ctx, f, p)
		if err == nil {
			err = s.veilFindings(ctx, v, pointers(l.Rows)...)
		}
		return l, err
	}
}

// veilRings takes addresses of lines out of rings.
func (s *Service) veilRings(ctx context.Context, rs ...*store.Ring) error {
	var texts []string
	for _, r := range rs {
		texts = append(texts, r.Controllers...)
	}
	shown, err := s.veil(ctx, texts)
	if err != nil || len(shown) == 0 {
		return err
	}
	for _, r := range rs {
		var list []string
		for _, c := range r.Controllers {
			if c = veiled(shown, c); !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
		r.Controllers = list
	}
	return nil
}

func (s *Service) rings(ctx context.Context, f store.Filter, p store.Page) (store.List[store.Ring], error) {
	l, err := s.store.Rings(ctx, f, p)
	if err == nil {
		err = s.veilRings(ctx, pointers(l.Rows)...)
	}
	return l, err
}

// far is a controller of the store's and what is shown of its address.
type far struct {
	store.Controller
	shown string
}

// farRows gives controllers as everybody may see them.
func (s *Service) farRows(ctx context.Context, cs []store.Controller) ([]far, error) {
	var texts []string
	for i := range cs {
		texts = append(texts, cs[i].Addr.String())
	}
	shown, err := s.veil(ctx, texts)
	if err != nil {
		return nil, err
	}
	var out []far
	for i := range cs {
		out = append(out, far{cs[i], veiled(shown, cs[i].Addr.String())})
	}
	return out, nil
}

func (s *Service) controllers(ctx context.Context, f store.Filter, p store.Page) (l store.List[far], err error) {
	got, err := s.store.Controllers(ctx, f, p)
	if err == nil {
		l.Next = got.Next
		l.Rows, err = s.farRows(ctx, got.Rows)
	}
	return l, err
}

// nobody is the address of no far end.
var nobody = netip.PrefixFrom(netip.IPv6Unspecified(), 128)

// farFilter narrows a filter to controllers in networks. Which rows come tells as much of
// an address as was asked: without an authority nothing is found by a line's own, and no
// network that is smaller than all may see is searched.
func (s *Service) farFilter(ctx context.Context, out *store.Filter, v view) error {
	if v.authority != "" {
		return nil
	}
	var texts []string
	for _, p := range out.Controllers {
		switch {
		case shownWhole(p):
		case p.IsSingleIP():
			texts = append(texts, p.Addr().String())
		default:
			return invalid("filter: controllers: an address, or a network of /24 (IPv6: /48) or more")
		}
	}
	shown, err := s.veil(ctx, texts)
	if err != nil {
		return err
	}
	for i, p := range out.Controllers {
		if p.IsSingleIP() && veiled(shown, p.Addr().String()) != p.Addr().String() {
			out.Controllers[i] = nobody
		}
	}
	return nil
}
