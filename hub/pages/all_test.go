package pages

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"simtrap/hub/people"
	"simtrap/hub/query/querytest"
	"simtrap/report"
	"simtrap/report/reportpb"
)

// evil is what a stranger would call himself if he knew where it is shown.
const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{.}}` + "\u202e\x1b[2J\x00"

// hostile puts it into every text that a sensor can send.
func hostile(f *reportpb.Finding) {
	f.Device = &reportpb.Device{Vendor: evil, Model: evil, Channels: 8}
	f.Nearest = evil
	f.Subscriber = "~" + evil
	for _, s := range f.Signals {
		s.Id, s.Family, s.Detail, s.Against = evil, evil, evil, evil
	}
	f.Unseen = []string{evil}
	f.Controllers = []*reportpb.Controller{{Addr: "198.51.100.9", Role: evil}}
	f.Cards = []*reportpb.Card{{Imsi: evil, Imei: evil, Iccid: evil, Msisdn: evil}}
	ppm, off := 3.25, 0.5
	f.Links = &reportpb.Links{Accounts: []string{evil}, Stack: evil, Contact: evil, Cname: evil, ClockPpm: &ppm, ClockErrorPpm: &off, Active: []*reportpb.Span{{From: f.FirstSeen, To: f.LastSeen}}}
}

var (
	boxLink  = regexp.MustCompile(`href="(/boxes/[0-9a-f]{32})"`)
	ringLink = regexp.MustCompile(`href="(/rings/[0-9a-f]{32})"`)
	caseLink = regexp.MustCompile(`href="(/cases/[0-9a-f]{32})"`)
	ctlLink  = regexp.MustCompile(`href="(/controllers/[^"?]+)"`)
)

// every gives the addresses of a page of each kind, which signed-in people see.
func (h *hub) every(b *browser) []string {
	h.t.Helper()
	first := func(re *regexp.Regexp, in string) string {
		m := re.FindStringSubmatch(b.want(in))
		if m == nil {
			h.t.Fatalf("%s: nothing like %s", in, re)
		}
		return strings.ReplaceAll(m[1], "&amp;", "&")
	}
	line := first(lineLink, "/findings?verdict=case")
	all := []string{"/", "/findings", "/findings?verdict=review", "/findings?vendor=x", "/help", "/rings", "/controllers", "/controllers?all=1", "/cases", "/sensors", "/gateways", line, first(boxLink, line), first(ringLink, line), first(caseLink, "/cases"), first(ctlLink, "/controllers")}
	for _, m := range lineLink.FindAllStringSubmatch(b.want("/findings"), 3) {
		all = append(all, strings.ReplaceAll(m[1], "&amp;", "&"))
	}
	return all
}

// sound says what of a page is not as all pages are to be.
func sound(page string) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return []string{err.Error()}
	}
	ids := map[string]bool{}
	count := map[string]int{}
	var needs []string
	var walk func(*html.Node, bool)
	walk = func(n *html.Node, inForm bool) {
		if n.Type == html.TextNode {
			for _, r := range n.Data {
				if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf)) {
					fault("a character that has no shape: %U in %.60q", r, n.Data)
				}
			}
		}
		if n.Type == html.ElementNode {
			count[n.Data]++
			of := map[string]string{}
			for _, a := range n.Attr {
				of[a.Key] = a.Val
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(a.Key, "hx-on") {
					fault("<%s %s>", n.Data, a.Key)
				}
				switch a.Key {
				case "href", "src", "action", "hx-get":
					if a.Val == "data:," || strings.HasPrefix(a.Val, "#") {
						continue
					}
					if u, err := url.Parse(a.Val); err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(a.Val, "/") {
						fault("<%s %s=%q> leads out", n.Data, a.Key, a.Val)
					}
				case "aria-labelledby", "aria-describedby":
					needs = append(needs, strings.Fields(a.Val)...)
				}
			}
			if id := of["id"]; id != "" {
				if ids[id] {
					fault("id %s twice", id)
				}
				ids[id] = true
			}
			switch n.Data {
			case "style", "iframe", "object", "embed", "base":
				fault("<%s>", n.Data)
			case "script":
				if of["src"] == "" || n.FirstChild != nil {
					fault("a script that is no file")
				}
			case "img":
				fault("<img>")
			case "form":
				if strings.EqualFold(of["method"], "post") && of["action"] != "/sign-in" && !strings.Contains(text(n, "input", "csrf"), "csrf") {
					fault("a form to %s without a token", of["action"])
				}
			case "table":
				count["table"]++
			case "th":
				if of["scope"] == "" {
					fault("a head of a table without scope")
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, inForm)
		}
	}
	walk(root, false)
	for _, id := range needs {
		if !ids[id] {
			fault("nothing has the id %s", id)
		}
	}
	for _, name := range []string{"h1", "main", "title"} {
		if n := count[name]; name == "title" && n < 1 || name != "title" && n != 1 {
			fault("%d of <%s>", n, name)
		}
	}
	return faults
}

// text gives the names of the fields of a form, of one name.
func text(n *html.Node, tag, name string) string {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == html.ElementNode && c.Data == tag {
			for _, a := range c.Attr {
				if a.Key == "name" && a.Val == name {
					return name
				}
			}
		}
		if s := text(c, tag, name); s != "" {
			return s
		}
	}
	return ""
}

// TestPages: every page is there in both languages, is sound, carries the policy, and
// gives what strangers sent as text, whatever it is.
func TestPages(t *testing.T) {
	h := open(t, 60, hostile, nil)
	for _, test := range []struct{ account, lang string }{{"analyst", "en"}, {"admin", "zh-CN"}, {"auditor", "en"}} {
		b := h.browser(test.account)
		b.want("/help?lang=" + test.lang)
		paths := h.every(b)
		if test.account == "auditor" {
			paths = append(paths, "/audit", "/audit?verify=1")
		}
		for _, path := range append(paths, "/nowhere", "/lines/0", "/findings?verdict=x") {
			_, body, head := b.get(path)
			for _, f := range sound(body) {
				t.Errorf("%s %s: %s", test.lang, path, f)
			}
			if !strings.Contains(body, `<html lang="`+test.lang+`">`) {
				t.Errorf("%s: not in %s", path, test.lang)
			}
			if got := head.Get("Content-Security-Policy"); got != policy {
				t.Errorf("%s: policy %q", path, got)
			}
			if head.Get("Cache-Control") != "no-store" || head.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: may be kept, or taken for something else", path)
			}
			if strings.Contains(body, "alert(1)</script>") || strings.Contains(body, "<img src=x") {
				t.Errorf("%s: a stranger's markup", path)
			}
			if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "&lt;nil&gt;") || strings.Contains(body, "%!") {
				t.Errorf("%s: something was not written", path)
			}
		}
		// It is there, as text.
		line := paths[slices.IndexFunc(paths, func(s string) bool { return strings.HasPrefix(s, "/lines/") })]
		if body := b.want(line); strings.Count(body, "&lt;script&gt;alert(1)&lt;/script&gt;") < 10 {
			t.Errorf("the line's page tells %d of a stranger's texts", strings.Count(body, "&lt;script&gt;"))
		}
	}
}

// TestPolicy: what the policy says, word for word, since each word is one that somebody
// might want to widen.
func TestPolicy(t *testing.T) {
	const want = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	if policy != want {
		t.Error(policy)
	}
}

// TestRoles: who may see and do what, for every route there is.
func TestRoles(t *testing.T) {
	h := open(t, 3, nil, func(o *Options) { o.Evidence = bundles{} })
	who := map[string]*browser{"": h.browser("")}
	for _, r := range people.Roles() {
		who[string(r)] = h.browser(string(r))
	}
	line := lineLink.FindStringSubmatch(who["viewer"].want("/findings?verdict=case"))[1]
	finding := line[len(line)-32:]
	id := map[string]string{
		"GET /lines/{id}": line, "GET /boxes/{id}": "/boxes/" + querytest.ID(11).String(), "GET /rings/{id}": "/rings/" + querytest.ID(21).String(),
		"GET /cases/{id}": "/cases/" + querytest.ID(41).String(), "GET /controllers/{addr}/{role}": "/controllers/198.51.100.9/registrar", "GET /export": "/export?kind=findings&format=csv",
	}
	forms := map[string]struct {
		path string
		form url.Values
	}{
		"POST /authority":           {"", url.Values{"end": {"1"}, "next": {"/"}}},
		"POST /views":               {"", url.Values{"name": {"mine"}, "query": {"verdict=case"}}},
		"POST /views/remove":        {"", url.Values{"name": {"mine"}}},
		"POST /outcomes":            {"", url.Values{"finding": {finding}, "outcome": {"confirmed"}, "next": {"/"}}},
		"POST /cases":               {"", url.Values{"title": {"a case"}}},
		"POST /cases/{id}":          {"/cases/" + querytest.ID(41).String(), url.Values{"comment": {"seen"}}},
		"POST /cases/{id}/evidence": {"/cases/" + querytest.ID(41).String() + "/evidence", url.Values{"authority": {"case 1"}}},
		"POST /gateways":            {"", url.Values{"line": {"203.0.113.99"}, "reason": {"test lab"}, "owner": {"ops"}, "days": {"30"}}},
		"POST /gateways/remove":     {"", url.Values{"id": {"00"}}}, // there is none: 404 for who may
		"POST /sign-out":            {"", url.Values{}},
	}
	may := map[need]string{reads: "viewer analyst admin auditor", works: "analyst admin", admins: "admin", audits: "auditor"}
	for _, r := range routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		if r.need == anyone {
			if path != "/sign-in" {
				t.Errorf("%s is for anyone", r.pattern)
			}
			continue
		}
		for name, b := range who {
			allowed := slices.Contains(strings.Fields(may[r.need]), name)
			var status int
			if method == http.MethodGet {
				to := strings.TrimSuffix(path, "{$}")
				if given := id[r.pattern]; given != "" {
					to = given
				}
				var head http.Header
				status, _, head = b.get(to)
				if name == "" && (status != http.StatusSeeOther || !strings.HasPrefix(head.Get("Location"), "/sign-in?next=")) {
					t.Errorf("%s of nobody: %d", r.pattern, status)
				}
				if name != "" && status != map[bool]int{true: http.StatusOK, false: http.StatusForbidden}[allowed] {
					t.Errorf("%s of %s: %d", r.pattern, name, status)
				}
				continue
			}
			f, given := forms[r.pattern]
			if !given {
				t.Fatalf("%s is not tried", r.pattern)
			}
			if f.path == "" {
				f.path = path
			}
			switch {
			case name == "":
				if status, _, _ = b.send(f.path, f.form); status != http.StatusUnauthorized {
					t.Errorf("%s of nobody: %d", r.pattern, status)
				}
			case r.pattern == "POST /sign-out": // ends who asks
				x := h.browser(name)
				if status, _, _ = x.post(f.path, f.form); status != http.StatusSeeOther {
					t.Errorf("%s of %s: %d", r.pattern, name, status)
				}
			case allowed:
				want := http.StatusSeeOther
				if r.pattern == "POST /gateways/remove" {
					want = http.StatusNotFound
				}
				if r.pattern == "POST /cases/{id}/evidence" {
					want = http.StatusOK
				}
				if status, _, _ = b.post(f.path, f.form); status != want {
					t.Errorf("%s of %s: %d, want %d", r.pattern, name, status, want)
				}
			default:
				if status, _, _ = b.post(f.path, f.form); status != http.StatusForbidden {
					t.Errorf("%s of %s: %d", r.pattern, name, status)
				}
			}
			// Without the page's own token nobody changes anything.
			if name != "" && allowed {
				f.form.Del("csrf")
				if status, _, _ = b.send(f.path, f.form); status != http.StatusForbidden {
					t.Errorf("%s of %s without a token: %d", r.pattern, name, status)
				}
			}
		}
	}
	for pattern := range forms {
		if !slices.ContainsFunc(routes(), func(r route) bool { return r.pattern == pattern }) {
			t.Errorf("there is no %s", pattern)
		}
	}
}

// secrets is what must stand nowhere without an authority: whole addresses of lines,
// what they are stored under, and what the fleet calls a card.
func secrets() []string {
	return []string{"203.0.113.7", "10.1.2.3", "2001:db8:1:2", "46000~9f3ac21b66d0e417", "~0123456789abcdef"}
}

// TestMasked: no page has a whole address without an authority, and each use of one is
// written down before it is shown.
func TestMasked(t *testing.T) {
	change := func(f *reportpb.Finding) {
		own := strings.TrimSuffix(strings.TrimPrefix(f.GetLine(), "realm-a/"), "/64")
		f.Device.Model = "GW " + own
		f.Signals[0].Detail = "calls itself " + own
		f.Unseen = []string{"media of " + own}
	}
	h := open(t, 20, change, nil)
	admin := h.browser("admin")
	if status, body, _ := admin.post("/gateways", url.Values{"line": {"203.0.113.7"}, "reason": {"lab"}, "owner": {"ops"}, "days": {"30"}}); status != http.StatusSeeOther {
		t.Fatal(status, body)
	}
	for _, account := range []string{"analyst", "viewer", "admin"} {
		b := h.browser(account)
		for _, path := range append(h.every(b), "/export?kind=findings&format=csv", "/export?kind=lines&format=jsonl", "/export?kind=boxes&format=stix") {
			body := b.want(path)
			for _, s := range secrets() {
				if i := strings.Index(body, s); i >= 0 {
					t.Errorf("%s of %s: %s stands in %.120q", path, account, s, body[max(0, i-60):])
				}
			}
		}
	}
	b := h.browser("analyst")
	before, err := h.people.Log(t.Context(), 1, 500)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := b.get("/findings?line=203.0.113.7"); status != http.StatusForbidden {
		t.Errorf("a filter by a whole address: %d", status)
	}
	if status, _, _ := b.post("/authority", url.Values{"authority": {" "}, "next": {"/"}}); status != http.StatusBadRequest {
		t.Errorf("a blank authority: %d", status)
	}
	if status, _, head := b.post("/authority", url.Values{"authority": {"case 2026-114"}, "next": {"/findings?verdict=case"}}); status != http.StatusSeeOther || head.Get("Location") != "/findings?verdict=case" {
		t.Fatalf("unlock: %d", status)
	}
	body := b.want("/findings?line=203.0.113.7")
	if !strings.Contains(body, "203.0.113.7") || !strings.Contains(body, "case 2026-114") {
		t.Error("under an authority the address does not stand, or the authority")
	}
	if strings.Contains(body, "data-live") {
		t.Error("a page under an authority renews itself")
	}
	after, err := h.people.Log(t.Context(), uint64(len(before))+1, 500)
	if err != nil {
		t.Fatal(err)
	}
	var uses []string
	for _, e := range after {
		if e.Action == "clear" && e.Account == "analyst" && e.Authority == "case 2026-114" {
			uses = append(uses, e.Object)
		}
	}
	if !slices.Equal(uses, []string{"Gateways", "ListFindings"}) {
		t.Errorf("written down: %v", uses)
	}
	if status, _, _ := h.browser("viewer").post("/authority", url.Values{"authority": {"case 1"}, "next": {"/"}}); status != http.StatusForbidden {
		t.Errorf("a viewer's authority: %d", status)
	}
	if status, _, _ := b.post("/authority", url.Values{"end": {"1"}, "next": {"/"}}); status != http.StatusSeeOther {
		t.Errorf("masked again: %d", status)
	}
	if body := b.want("/findings"); strings.Contains(body, "203.0.113.7") {
		t.Error("shown after it was masked again")
	}
}

// TestStatic: the script that others wrote is the one that was chosen, and the first
// page with all it needs is small.
func TestStatic(t *testing.T) {
	h := open(t, 60, nil, nil)
	b := h.browser("analyst")
	if sum := h.pages.static["htmx.min.js"].sum(); sum != "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717" {
		t.Errorf("htmx is not that of htmx.org 2.0.11: %s", sum)
	}
	if !strings.Contains(string(h.pages.static["htmx.min.js"].plain), `version:"2.0.11"`) {
		t.Error("htmx says another version of itself")
	}
	for _, path := range h.every(b) {
		page := b.want(path)
		size := len(page)
		for _, m := range regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`).FindAllStringSubmatch(page, -1) {
			body := b.want(m[1])
			size += len(body) // unpacked: what goes over the wire is less
		}
		if size > 300_000 {
			t.Errorf("%s: %d bytes", path, size)
		}
	}
	if report.Style() == "" || !strings.Contains(string(h.pages.static["app.css"].plain), report.Style()) {
		t.Error("the style of the offline page is not in the sheet")
	}
	if status, _, _ := b.get("/static/app.go"); status != http.StatusNotFound {
		t.Errorf("a file that there is none of: %d", status)
	}
}
