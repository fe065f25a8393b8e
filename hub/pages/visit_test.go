package pages

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"simtrap/hub/people"
	"simtrap/hub/query/querytest"
	"simtrap/hub/store"
)

// watch is a wall clock that a test sets.
type watch struct {
	mu sync.Mutex
	at time.Time
}

func (w *watch) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *watch) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// TestSession: how a session begins, what its cookie is, and all the ways in which it
// ends.
func TestSession(t *testing.T) {
	clock := &watch{at: time.Now()}
	h := open(t, 0, nil, func(o *Options) { o.Now = clock.now })
	h.account("analyst")
	b := h.browser("")
	for _, form := range []url.Values{
		{"account": {"analyst"}, "password": {"not his password"}}, {"account": {"nobody"}, "password": {password}}, {},
	} {
		status, body, head := b.send("/sign-in", form)
		if status != http.StatusUnauthorized || !strings.Contains(body, people.ErrLogin.Error()) || len(head["Set-Cookie"]) > 0 {
			t.Errorf("%v: %d", form, status)
		}
	}
	status, _, head := b.send("/sign-in", url.Values{"account": {"analyst"}, "password": {password}, "next": {"https://evil.example/"}})
	if status != http.StatusSeeOther || head.Get("Location") != "/" {
		t.Errorf("signed in: %d to %s", status, head.Get("Location"))
	}
	cookie := head.Get("Set-Cookie")
	for _, want := range []string{"__Host-simtrap=", "Path=/", "HttpOnly", "Secure", "SameSite=Strict"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie without %s", want)
		}
	}
	if strings.Contains(cookie, "sp1-") || strings.Contains(cookie, "Domain") {
		t.Error("the cookie shows the token, or is another host's as well")
	}

	// What pages ask for by themselves keeps no session awake; work by hand does.
	alive := func() bool { status, _, _ := b.get("/help"); return status == http.StatusOK }
	byItself := func() int {
		r, _ := http.NewRequest(http.MethodGet, b.base+"/help", nil)
		r.Header.Set(live, "1")
		status, _, _ := b.do(r)
		return status
	}
	for range 4 {
		clock.pass(20 * time.Minute)
		if !alive() {
			t.Fatal("a session that is worked in has ended")
		}
	}
	clock.pass(20 * time.Minute)
	if byItself() != http.StatusOK {
		t.Fatal("a session of 20 minutes' rest has ended")
	}
	clock.pass(11 * time.Minute)
	if alive() {
		t.Error("a session of 31 minutes' rest, but for what the page asked itself, goes on")
	}

	// Nor does a page do that was left, and goes to the sign-in when its stream ends.
	script, err := os.ReadFile("static/app.js")
	if err != nil || !strings.Contains(string(script), `"/sign-in?left&next="`) || strings.Contains(string(script), "location.reload") {
		t.Errorf("where a page goes when its stream ends: %v", err)
	}
	b = h.browser("analyst")
	clock.pass(20 * time.Minute)
	if status, page, head := b.get("/sign-in?left&next=%2Fhelp"); status != http.StatusOK || head.Get("Set-Cookie") != "" || strings.Contains(page, "data-live") || !strings.Contains(page, `name="next" value="/help"`) {
		t.Errorf("left: %d to %s, cookie %t", status, head.Get("Location"), head.Get("Set-Cookie") != "")
	}
	clock.pass(11 * time.Minute)
	if alive() {
		t.Error("a session goes on since a page was left")
	}

	// The cookie of a session that was ended is good no more.
	b = h.browser("analyst")
	u, _ := url.Parse(b.base)
	kept := b.c.Jar.Cookies(u)
	if status, _, _ := b.post("/sign-out", url.Values{}); status != http.StatusSeeOther {
		t.Fatalf("sign-out: %d", status)
	}
	b.c.Jar.SetCookies(u, kept)
	if alive() {
		t.Error("a session goes on after it was ended")
	}
	for name, value := range map[string]string{
		"cut": kept[0].Value[:20], "changed": "A" + kept[0].Value[1:], "empty": "", "no base64": "!!", "long": strings.Repeat("A", 5000),
	} {
		b = h.browser("")
		b.c.Jar.SetCookies(u, []*http.Cookie{{Name: sessionCookie, Value: value, Path: "/", Secure: true}})
		if status, _, _ := b.get("/help"); status != http.StatusSeeOther {
			t.Errorf("a cookie that was %s: %d", name, status)
		}
	}

	// A role that changes holds at once, and with it what was unlocked.
	b = h.browser("analyst")
	if status, _, _ := b.post("/authority", url.Values{"authority": {"case 1"}, "next": {"/"}}); status != http.StatusSeeOther {
		t.Fatal(status)
	}
	if !strings.Contains(b.want("/findings"), "203.0.113.7") {
		t.Error("nothing is unlocked")
	}
	clock.pass(16 * time.Minute)
	if strings.Contains(b.want("/findings"), "203.0.113.7") {
		t.Error("an authority holds for more than 15 minutes")
	}
	if status, _, _ := b.post("/authority", url.Values{"authority": {"case 1"}, "next": {"/"}}); status != http.StatusSeeOther {
		t.Fatal(status)
	}
	if err := h.people.SetRole(t.Context(), "test", "analyst", people.Viewer); err != nil {
		t.Fatal(err)
	}
	if body := b.want("/findings"); strings.Contains(body, "203.0.113.7") {
		t.Error("a viewer sees what he unlocked as an analyst")
	}
	if err := h.people.Disable(t.Context(), "test", "analyst", true); err != nil {
		t.Fatal(err)
	}
	if alive() {
		t.Error("the session of a disabled account goes on")
	}
}

// TestThrottle: after ten failures the page says how long to wait.
func TestThrottle(t *testing.T) {
	h := open(t, 0, nil, nil)
	h.account("viewer")
	b := h.browser("")
	for range 10 {
		b.send("/sign-in", url.Values{"account": {"viewer"}, "password": {"not his password"}})
	}
	status, _, head := b.send("/sign-in", url.Values{"account": {"viewer"}, "password": {password}})
	if status != http.StatusTooManyRequests || head.Get("Retry-After") == "" {
		t.Errorf("%d, wait %q", status, head.Get("Retry-After"))
	}
}

// TestForged: another site's form, and one with another session's token, change nothing.
func TestForged(t *testing.T) {
	h := open(t, 0, nil, nil)
	a, b := h.browser("analyst"), h.browser("admin")
	token := csrfField.FindStringSubmatch(b.want("/help"))[1]
	form := url.Values{"title": {"forged"}, "csrf": {token}}
	if status, _, _ := a.send("/cases", form); status != http.StatusForbidden {
		t.Errorf("with another's token: %d", status)
	}
	own := csrfField.FindStringSubmatch(a.want("/help"))[1]
	for name, set := range map[string]func(http.Header){
		"cross-site": func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") }, "another origin": func(h http.Header) { h.Set("Origin", "https://evil.example") },
	} {
		r, _ := http.NewRequest(http.MethodPost, a.base+"/cases", strings.NewReader(url.Values{"title": {"forged"}, "csrf": {own}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		set(r.Header)
		if status, _, _ := a.do(r); status != http.StatusForbidden {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _, _ := a.send("/cases", url.Values{"title": {strings.Repeat("x", maxForm)}, "csrf": {own}}); status != http.StatusBadRequest {
		t.Errorf("a form that is too long: %d", status)
	}
	if strings.Contains(a.want("/cases"), "forged") {
		t.Error("a forged case is there")
	}
}

// TestInside: nobody is led out of the pages.
func TestInside(t *testing.T) {
	for to, want := range map[string]string{
		"/findings?verdict=case": "/findings?verdict=case", "": "/", "https://evil.example/": "/", "//evil.example/": "/", "/\\evil.example": "/",
		"javascript:alert(1)": "/", "/a\r\nSet-Cookie: x": "/", "findings": "/", "/%0a": "/%0a", "/\t/evil.example": "/", "/" + strings.Repeat("x", 5000): "/",
	} {
		if got := inside(to); got != want {
			t.Errorf("%q: %q, want %q", to, got, want)
		}
	}
}

// TestLists: pages of a list follow one another whatever arrives meanwhile, filters
// narrow, and views are each one's own.
func TestLists(t *testing.T) {
	h := open(t, 120, nil, nil)
	b := h.browser("viewer")
	seen := map[string]int{}
	path, pages := "/findings?sensor=north", 0
	for path != "" {
		body := b.want(path)
		for _, m := range lineLink.FindAllStringSubmatch(body, -1) {
			seen[m[1]]++
		}
		pages++
		if err := report1(t.Context(), h.store); err != nil && pages == 1 {
			t.Fatal(err)
		}
		path = ""
		if _, rest, ok := strings.Cut(body, `rel="next"`); ok && rest != "" {
			at := strings.LastIndex(body[:len(body)-len(rest)], `href="`) + len(`href="`)
			path = strings.ReplaceAll(body[at:at+strings.IndexByte(body[at:], '"')], "&amp;", "&")
		}
	}
	if pages != 3 || len(seen) != 123 {
		t.Errorf("%d findings on %d pages, want 123 on 3", len(seen), pages)
	}
	for path, n := range seen {
		if n != 1 {
			t.Errorf("%s: %d times", path, n)
		}
	}
	for query, want := range map[string]int{
		"verdict=case": 1, "verdict=review": 4, "verdict=review&sensor=north": 3, "sensor=south": 1, "line=203.0.113.0%2F24&verdict=review": 2, "proof=true": 1, "declared=true": 0,
		"controller=198.51.100.0%2F24&verdict=case": 1, "vendor=Hybertone&verdict=case": 1, "from=2026-11-24T00:00": 0, "until=2026-11-23T00:00": 0, "box=" + querytest.ID(12).String(): 1,
	} {
		if got := len(lineLink.FindAllString(b.want("/findings?"+query), -1)); got != want {
			t.Errorf("%s: %d rows, want %d", query, got, want)
		}
	}
	for _, query := range []string{"verdict=x", "proof=perhaps", "from=yesterday", "ring=21", "controller=example.com", "after=AAAA"} {
		if status, body, _ := b.get("/findings?" + query); status != http.StatusBadRequest || len(sound(body)) > 0 {
			t.Errorf("%s: %d", query, status)
		}
	}

	if status, _, head := b.post("/views", url.Values{"name": {"my <b>cases</b>"}, "query": {"verdict=case&after=x&lang=zh"}}); status != http.StatusSeeOther || head.Get("Location") != "/findings?verdict=case" {
		t.Errorf("a view: %d %s", status, head.Get("Location"))
	}
	if body := b.want("/findings"); !strings.Contains(body, "my &lt;b&gt;cases&lt;/b&gt;") {
		t.Error("the view is not offered")
	}
	if strings.Contains(h.browser("analyst").want("/findings"), "my &lt;b&gt;") {
		t.Error("another sees it")
	}
	for _, form := range []url.Values{{"name": {""}, "query": {""}}, {"name": {strings.Repeat("x", 41)}}, {"name": {"a\u202eb"}}, {"name": {"x"}, "query": {"verdict=x"}}} {
		if status, _, _ := b.post("/views", form); status != http.StatusBadRequest {
			t.Errorf("%v: %d", form, status)
		}
	}
	if status, _, _ := b.post("/views", url.Values{"name": {"home"}, "query": {"line=203.0.113.7"}}); status != http.StatusForbidden {
		t.Errorf("a view with an address: %d", status)
	}
	if status, _, _ := b.post("/views/remove", url.Values{"name": {"my <b>cases</b>"}}); status != http.StatusSeeOther || strings.Contains(b.want("/findings"), "my &lt;b&gt;") {
		t.Error("the view is not removed")
	}
}

// TestCase: a case is opened from a line, spoken of, handed over and closed with an
// outcome; its findings are exported; every step is written down.
func TestCase(t *testing.T) {
	h := open(t, 5, nil, func(o *Options) { o.Evidence = bundles{} })
	b := h.browser("analyst")
	status, _, head := b.post("/cases", url.Values{"title": {"behind the fridge"}, "box": {querytest.ID(11).String()}, "ring": {querytest.ID(21).String()}})
	path := head.Get("Location")
	if status != http.StatusSeeOther || !strings.HasPrefix(path, "/cases/") {
		t.Fatal(status, path)
	}
	for _, form := range []url.Values{
		{"comment": {"two lines\r\nof <i>words</i>"}}, {"owner": {"lee"}, "state": {"handed-over"}}, {"state": {"closed"}, "outcome": {"confirmed"}},
	} {
		if status, body, _ := b.post(path, form); status != http.StatusSeeOther {
			t.Fatal(form, status, body)
		}
	}
	for _, form := range []url.Values{{"comment": {" "}}, {"state": {"gone"}}, {"outcome": {"perhaps"}}, {"title": {""}}} {
		if status, _, _ := b.post(path, form); status != http.StatusBadRequest {
			t.Errorf("%v: %d", form, status)
		}
	}
	body := b.want(path)
	for _, want := range []string{"behind the fridge", "<p>two lines</p><p>of &lt;i&gt;words&lt;/i&gt;</p>", "<dd>lee</dd>", "<dd>closed</dd>", "<dd>confirmed</dd>", "203.0.113.0/24", ">Evidence</button>"} {
		if !strings.Contains(body, want) {
			t.Errorf("the case's page has no %s", want)
		}
	}
	if !strings.Contains(b.want("/boxes/"+querytest.ID(11).String()), "behind the fridge") {
		t.Error("the box's page does not name the case")
	}
	id := strings.TrimPrefix(path, "/cases/")
	for format, want := range map[string]string{"csv": "203.0.113.0/24", "jsonl": `"verdict":"case"`, "stix": `"type":"bundle"`} {
		status, body, head := b.get("/export?kind=findings&format=" + format + "&case=" + id)
		if status != http.StatusOK || !strings.Contains(strings.ReplaceAll(body, " ", ""), want) || !strings.HasPrefix(head.Get("Content-Disposition"), "attachment; filename=") {
			t.Errorf("%s: %d %s %.100q", format, status, head.Get("Content-Disposition"), body)
		}
	}
	for _, query := range []string{"kind=findings", "kind=x&format=csv", "kind=feedback&format=jsonl", "kind=sensors&format=csv&verdict=case"} {
		if status, _, _ := b.get("/export?" + query); status != http.StatusBadRequest {
			t.Errorf("export %s: %d", query, status)
		}
	}
	status, got, head := b.post(path+"/evidence", url.Values{"authority": {"case 7"}})
	if status != http.StatusOK || got != "analyst "+id+" case 7" || head.Get("Content-Type") != "application/zstd" {
		t.Errorf("evidence: %d %q", status, got)
	}
	if status, _, _ := b.post(path+"/evidence", url.Values{"authority": {""}}); status != http.StatusBadRequest {
		t.Errorf("evidence without an authority: %d", status)
	}
	log, err := h.people.Log(t.Context(), 1, 500)
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	for _, e := range log {
		if e.Account == "analyst" && e.Action == "change" {
			steps++
		}
	}
	if steps != 4 {
		t.Errorf("%d changes are written down, want 4", steps)
	}
}

// TestGateways: the register shows networks; an admin adds and removes; who looks with
// an authority is written down.
func TestGateways(t *testing.T) {
	h := open(t, 0, nil, nil)
	admin, viewer := h.browser("admin"), h.browser("viewer")
	if status, body, _ := admin.post("/gateways", url.Values{"line": {"198.51.100.77"}, "reason": {"test <lab>"}, "owner": {"ops"}, "days": {"30"}}); status != http.StatusSeeOther {
		t.Fatal(status, body)
	}
	for _, form := range []url.Values{{"line": {"the neighbours"}, "reason": {"r"}, "owner": {"o"}, "days": {"1"}}, {"line": {"198.51.100.78"}, "reason": {"r"}, "owner": {"o"}, "days": {"0"}}, {"line": {"198.51.100.78"}, "days": {"5"}}} {
		if status, _, _ := admin.post("/gateways", form); status != http.StatusBadRequest {
			t.Errorf("%v: %d", form, status)
		}
	}
	body := viewer.want("/gateways")
	if !strings.Contains(body, "198.51.100.0/24") || strings.Contains(body, "198.51.100.77") || !strings.Contains(body, "test &lt;lab&gt;") || strings.Contains(body, `action="/gateways`) {
		t.Error("a viewer's register is not what it should be")
	}
	_, rest, _ := strings.Cut(admin.want("/gateways"), `name="id" value="`)
	if status, _, _ := admin.post("/gateways/remove", url.Values{"id": {rest[:32]}}); status != http.StatusSeeOther {
		t.Fatal(status)
	}
	if strings.Contains(viewer.want("/gateways"), "198.51.100.0/24") {
		t.Error("it is still there")
	}
}

// TestAudit: the auditor reads the newest first, page by page, and has the chain
// followed.
func TestAudit(t *testing.T) {
	h := open(t, 0, nil, nil)
	for range 120 {
		if _, err := h.people.Record(t.Context(), people.Entry{Account: "x", Action: "test", Detail: evil}); err != nil {
			t.Fatal(err)
		}
	}
	b := h.browser("auditor")
	body := b.want("/audit?verify=1")
	if !strings.Contains(body, "The log is whole") || strings.Count(body, "<tr>") != auditRows+1 {
		t.Errorf("%d rows", strings.Count(body, "<tr>")-1)
	}
	head, err := h.store.AuditHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(body, people.Anchor{Sequence: head.Sequence, Hash: head.Hash}.String()) {
		t.Error("the anchor is not the newest entry's")
	}
	older := strings.Index(body, `/audit?before=`)
	if older < 0 {
		t.Fatal("no older entries")
	}
	second := b.want(body[older : older+strings.IndexByte(body[older:], '"')])
	if !strings.Contains(body, ">account.add<") || !strings.Contains(second, `<td class="n">1</td>`) {
		t.Error("the newest are not on the first page, or the first not on the last")
	}
	if body := b.want("/audit?verify=1&anchor=1:" + strings.Repeat("00", 32)); !strings.Contains(body, "not what it was, from entry") {
		t.Error("an anchor of another log holds")
	}
	if status, _, _ := b.get("/audit?verify=1&anchor=x"); status != http.StatusBadRequest {
		t.Errorf("no anchor: %d", status)
	}
}

// stream opens one and gives its events by name.
func (b *browser) stream(ctx context.Context) (chan string, int) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+"/events", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	c := *b.c
	c.Timeout = 0
	a, err := c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	said := make(chan string, 16)
	if a.StatusCode != http.StatusOK {
		a.Body.Close()
		close(said)
		return said, a.StatusCode
	}
	go func() {
		defer close(said)
		defer a.Body.Close()
		lines := bufio.NewScanner(a.Body)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				said <- data
			}
		}
	}()
	return said, a.StatusCode
}

// TestStreams: who waits is told what changed and nothing of it, there are so many
// streams and no more, and they end when the hub closes.
func TestStreams(t *testing.T) {
	h := open(t, 0, nil, func(o *Options) { o.Watch = 20 * time.Millisecond; o.Streams = 3; o.StreamsEach = 2 })
	analyst, viewer := h.browser("analyst"), h.browser("viewer")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, status := h.browser("").stream(ctx); status != http.StatusUnauthorized {
		t.Errorf("nobody's stream: %d", status)
	}
	first, status := analyst.stream(ctx)
	if status != http.StatusOK {
		t.Fatal(status)
	}
	wants := func(c chan string, want string) {
		t.Helper()
		for {
			select {
			case got, ok := <-c:
				if !ok {
					t.Fatalf("the stream has ended before %q", want)
				}
				if got == want {
					return
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%q does not come", want)
			}
		}
	}
	time.Sleep(100 * time.Millisecond) // the first look is what changes are told from
	if err := report1(t.Context(), h.store); err != nil {
		t.Fatal(err)
	}
	wants(first, "findings")
	if status, _, _ := analyst.post("/cases", url.Values{"title": {"one more"}}); status != http.StatusSeeOther {
		t.Fatal(status)
	}
	wants(first, "cases")
	own, leave := context.WithCancel(ctx)
	if _, status = analyst.stream(own); status != http.StatusOK {
		t.Error(status)
	}
	if _, status := analyst.stream(ctx); status != http.StatusTooManyRequests {
		t.Errorf("a third of one account: %d", status)
	}
	if _, status := viewer.stream(ctx); status != http.StatusOK {
		t.Error(status)
	}
	if _, status := viewer.stream(ctx); status != http.StatusTooManyRequests {
		t.Errorf("a fourth of all: %d", status)
	}
	leave()
	again := false
	for range 100 {
		if _, status := viewer.stream(ctx); status == http.StatusOK {
			again = true
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !again {
		t.Error("the room of one who left is not another's")
	}
	close(h.closing)
	for range first { // until it ends
	}
	if _, status := analyst.stream(ctx); status != http.StatusServiceUnavailable {
		t.Errorf("a stream of a hub that closes: %d", status)
	}
}

// TestStoreFails: what the store says goes to the log and not to the page.
func TestStoreFails(t *testing.T) {
	h := open(t, 0, nil, func(o *Options) { o.Store = failing{o.Store} })
	b := h.browser("auditor")
	for _, path := range []string{"/findings", "/audit"} {
		status, body, _ := b.get(path)
		if status != http.StatusServiceUnavailable || strings.Contains(body, "secret of the disk") || len(sound(body)) > 0 {
			t.Errorf("%s: %d %v", path, status, sound(body))
		}
	}
}

type failing struct{ Store }

var errDisk = errors.New("secret of the disk")

func (failing) Views(context.Context, string) ([]store.View, error) { return nil, errDisk }

func (failing) AuditHead(context.Context) (store.AuditEntry, error) {
	return store.AuditEntry{}, errDisk
}
