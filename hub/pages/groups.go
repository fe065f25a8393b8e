package pages

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"simtrap/hub/query"
	"simtrap/report/querypb"
	"simtrap/report/show"
)

// What the page of a box or a ring rests on.
const (
	groupFindings = 200
	groupLinks    = 500
)

// groupPage is a box or a ring: what it is made of and what holds it together.
type groupPage struct {
	Box   *querypb.Box
	Ring  *querypb.Ring
	Rows  []findingRow
	More  bool // findings that are not told
	Cases []*querypb.Case

	Graph  template.HTML
	Edges  []edgeRow
	Left   map[string]int
	Clocks *show.Drawing
}

// group fills in what boxes and findings of a filter hold.
func (v *visit) group(m *groupPage, f *querypb.Filter) error {
	q := v.p.o.Query
	list, err := q.ListFindings(v.ctx, connect.NewRequest(&querypb.ListFindingsRequest{Filter: f, Page: &querypb.Page{Size: groupFindings}, Authority: v.authority()}))
	if err != nil {
		return err
	}
	m.More = list.Msg.GetNextPageToken() != ""
	if m.Rows, err = v.findingRows(list.Msg.GetFindings()); err != nil {
		return err
	}
	boxes := m.Ring.GetBoxIds()
	if m.Box != nil {
		boxes = []string{m.Box.GetId()}
	}
	boxes = boxes[:min(len(boxes), maxGraphBoxes)]
	links, err := q.Links(v.ctx, boxes, groupLinks)
	if err != nil {
		return err
	}
	if m.Box != nil { // that lines hold one hand's boxes is no matter of one box
		links = slices.DeleteFunc(links, func(l query.Link) bool { return l.Hand })
	}
	g := graphOf(boxes, m.Rows, links)
	m.Graph, m.Edges, m.Left = v.look.draw(g), g.table(), g.Left
	m.Clocks = show.Readings("g", "How fast sending clocks were, line by line, with their uncertainty. Lines that hold one chassis are at one height.", readings(list.Msg.GetFindings(), func(x *querypb.Finding) string {
		for _, r := range m.Rows {
			if r.GetId() == x.GetId() {
				return x.GetFinding().GetLine() + " " + short(r.LineID)
			}
		}
		return ""
	}))
	cases, err := q.ListCases(v.ctx, connect.NewRequest(&querypb.ListCasesRequest{Filter: &querypb.Filter{BoxIds: f.GetBoxIds(), RingIds: f.GetRingIds()}, Page: &querypb.Page{Size: overviewRows}}))
	if err != nil {
		return err
	}
	m.Cases = cases.Msg.GetCases()
	m.Rows = m.Rows[:min(len(m.Rows), pageRows)]
	return nil
}

func (p *Pages) box(v *visit) error {
	got, err := p.o.Query.GetBox(v.ctx, connect.NewRequest(&querypb.GetBoxRequest{Id: v.r.PathValue("id")}))
	if err != nil {
		return err
	}
	m := &groupPage{Box: got.Msg.GetBox()}
	if err := v.group(m, &querypb.Filter{BoxIds: []string{m.Box.GetId()}}); err != nil {
		return err
	}
	return v.render(http.StatusOK, "box", "Box", m)
}

func (p *Pages) ring(v *visit) error {
	got, err := p.o.Query.GetRing(v.ctx, connect.NewRequest(&querypb.GetRingRequest{Id: v.r.PathValue("id")}))
	if err != nil {
		return err
	}
	m := &groupPage{Ring: got.Msg.GetRing()}
	f := &querypb.Filter{RingIds: []string{m.Ring.GetId()}}
	if err := v.group(m, f); err != nil {
		return err
	}
	return v.render(http.StatusOK, "ring", "Ring", m)
}

type ringsPage struct {
	Filter      filterForm
	Rows        []*querypb.Ring
	First, Next string
}

func (p *Pages) rings(v *visit) error {
	form := readFilter(v.r.URL.Query())
	filter, err := form.message()
	if err != nil {
		return err
	}
	after := v.r.URL.Query().Get("after")
	a, err := p.o.Query.ListRings(v.ctx, connect.NewRequest(&querypb.ListRingsRequest{Filter: filter, Page: &querypb.Page{Size: pageRows, Token: after}}))
	if err != nil {
		return err
	}
	m := &ringsPage{Filter: form, Rows: a.Msg.GetRings(), Next: nextPage("/rings", form, a.Msg.GetNextPageToken())}
	if after != "" {
		m.First = "/rings?" + form.Query()
	}
	return v.render(http.StatusOK, "rings", "Rings", m)
}

type controllersPage struct {
	Filter      filterForm
	FanIn       bool // whether they are the busiest, and not a list of all
	Rows        []fanRow
	First, Next string
}

// fanRow is a controller, with the length of its bar in thousandths.
type fanRow struct {
	*querypb.Controller
	Bar  int
	Path string
}

// controllerPath gives the address of a controller's page.
func controllerPath(addr, role string) string {
	if strings.Contains(addr, "/") { // of a line's own address its network alone is shown
		return "/controllers?controller=" + url.QueryEscape(addr)
	}
	return "/controllers/" + url.PathEscape(addr) + "/" + url.PathEscape(role)
}

func (p *Pages) controllers(v *visit) error {
	asked := v.r.URL.Query()
	form := readFilter(asked)
	m := &controllersPage{Filter: form, FanIn: !form.Set() && !asked.Has("all") && !asked.Has("after")}
	var rows []*querypb.Controller
	var err error
	if m.FanIn {
		rows, err = p.o.Query.Busiest(v.ctx)
	} else {
		var filter *querypb.Filter
		if filter, err = form.message(); err != nil {
			return err
		}
		var a *connect.Response[querypb.ListControllersResponse]
		a, err = p.o.Query.ListControllers(v.ctx, connect.NewRequest(&querypb.ListControllersRequest{Filter: filter, Page: &querypb.Page{Size: pageRows, Token: asked.Get("after")}}))
		if err == nil {
			rows = a.Msg.GetControllers()
			m.Next = nextPage("/controllers", form, a.Msg.GetNextPageToken())
		}
		if asked.Has("after") {
			m.First = "/controllers?all=1&" + form.Query()
		}
	}
	if err != nil {
		return err
	}
	most := uint64(1)
	for _, c := range rows {
		most = max(most, c.GetLines())
	}
	for _, c := range rows {
		m.Rows = append(m.Rows, fanRow{c, int(float64(c.GetLines()) / float64(most) * 1000), controllerPath(c.GetAddr(), c.GetRole())})
	}
	return v.render(http.StatusOK, "controllers", "Controllers", m)
}

type controllerPage struct {
	Controller *querypb.Controller
	Rows       []findingRow
	More       bool
}

func (p *Pages) controller(v *visit) error {
	addr := v.r.PathValue("addr")
	m := &controllerPage{}
	got, err := p.o.Query.GetController(v.ctx, connect.NewRequest(&querypb.GetControllerRequest{Id: addr + "/" + v.r.PathValue("role")}))
	switch {
	case err == nil:
		m.Controller = got.Msg.GetController()
	case connect.CodeOf(err) == connect.CodeNotFound && v.authority() != "":
		// It may be a line's own address: what names it can be read under the authority.
		m.Controller = &querypb.Controller{Addr: addr, Role: v.r.PathValue("role")}
	default:
		return err
	}
	list, err := p.o.Query.ListFindings(v.ctx, connect.NewRequest(&querypb.ListFindingsRequest{Filter: &querypb.Filter{Controllers: []string{m.Controller.GetAddr()}}, Page: &querypb.Page{Size: pageRows}, Authority: v.authority()}))
	if err != nil {
		return err
	}
	if got == nil && len(list.Msg.GetFindings()) == 0 {
		return connect.NewError(connect.CodeNotFound, errors.New("there is no such controller"))
	}
	m.More = list.Msg.GetNextPageToken() != ""
	if m.Rows, err = v.findingRows(list.Msg.GetFindings()); err != nil {
		return err
	}
	return v.render(http.StatusOK, "controller", "Controller", m)
}

func (p *Pages) sensors(v *visit) error {
	after := v.r.URL.Query().Get("after")
	m, err := v.sensorRows(after, sensorPage)
	if err != nil {
		return err
	}
	if after != "" {
		m.First = "/sensors"
	}
	return v.render(http.StatusOK, "sensors", "Sensors", &m)
}
