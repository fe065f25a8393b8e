package pages

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/evidence/bundle"
	evidence "simtrap/hub/bundles"
	"simtrap/hub/people"
	"simtrap/hub/query"
	"simtrap/hub/query/querytest"
	"simtrap/hub/store"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// pictures is where screenshots are left for people to look at.
const pictures = "../../tmp/pages"

// chrome is a browser under a test's hands, and what it complained of.
type chrome struct {
	t    *testing.T
	ctx  context.Context
	base string
	axe  string

	mu     sync.Mutex
	faults []string
}

// chromium gives one; the test is skipped where there is none.
func chromium(t *testing.T, base string) *chrome {
	t.Helper()
	var path string
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if name == "" {
			continue
		}
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no chromium, and CI is to look at the pages")
		}
		t.Skip("no chromium: the pages are not looked at in a browser")
	}
	axe, err := os.ReadFile("testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("lang", "en-GB"), chromedp.WindowSize(1280, 900))
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(cancel)
	c := &chrome{t: t, ctx: ctx, base: base, axe: string(axe)}
	c.run(chromedp.Func(func(context.Context, *chromedp.Target) error { return nil })) // opens the tab
	if err := chromedp.Listen(ctx, func(e any) {
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			c.fault("exception: %s %s", e.ExceptionDetails.Text, e.ExceptionDetails.URL)
		case *runtime.EventConsoleAPICalled:
			if string(e.Type) == "error" || string(e.Type) == "warning" {
				c.fault("console: %s %s", e.Type, e.Args[0].Value)
			}
		case *log.EventEntryAdded:
			if string(e.Entry.Level) == "error" {
				c.fault("log: %s %s", e.Entry.Text, e.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; !strings.HasPrefix(u, base+"/") && !strings.HasPrefix(u, "data:") {
				c.fault("asks elsewhere: %s", u)
			}
		case *page.EventJavascriptDialogOpening:
			c.fault("a dialogue: a stranger's script has run: %s", e.Message)
			go chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}
	}); err != nil {
		t.Fatal(err)
	}
	call(c, network.Enable, network.EnableParams{})
	call(c, log.Enable, cdp.Empty{})
	call(c, page.Enable, page.EnableParams{})
	return c
}

// call gives the browser a command.
func call[P, R any](c *chrome, command cdp.Command[P, R], params P) {
	c.t.Helper()
	if _, err := chromedp.Call(c.ctx, command, params); err != nil {
		c.t.Fatal(err)
	}
}

func (c *chrome) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func (c *chrome) run(do ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	if err := chromedp.Do(c.ctx, do...); err != nil {
		c.t.Fatalf("%v (%v)", err, c.faults)
	}
}

func (c *chrome) open(path string) {
	c.t.Helper()
	c.run(chromedp.Navigate(c.base+path), chromedp.WaitReady("main"))
}

// script gives what an expression is in the page.
func script[T any](c *chrome, js string, options ...chromedp.EvaluateOption) T {
	c.t.Helper()
	v, err := chromedp.Run(c.ctx, chromedp.Evaluate[T](js, options...))
	if err != nil {
		c.t.Fatalf("%.200s: %v", js, err)
	}
	return v
}

// until waits for something to be so on a page that is there whole: keys that are
// pressed before its scripts have run are heard by nobody.
func (c *chrome) until(what, js string) {
	c.t.Helper()
	for range 200 {
		if so, err := chromedp.Run(c.ctx, chromedp.Evaluate[bool](`document.readyState === "complete" && !!(`+js+")")); err == nil && so {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	body, _ := chromedp.Run(c.ctx, chromedp.Evaluate[string]("location.href + document.body.innerText"))
	c.t.Fatalf("%s does not come: %s", what, body)
}

// tabTo goes on by Tab alone until something has the focus.
func (c *chrome) tabTo(what, selector string) {
	c.t.Helper()
	for range 120 {
		c.run(chromedp.KeyEvent(kb.Tab))
		if script[bool](c, fmt.Sprintf("!!document.activeElement && document.activeElement.matches(%q)", selector)) {
			// Whoever works without a mouse must see where he is.
			width := script[string](c, "getComputedStyle(document.activeElement).outlineStyle + ' ' + getComputedStyle(document.activeElement).outlineWidth")
			if width != "solid 3px" {
				c.t.Errorf("%s: the focus is not to be seen: %s", what, width)
			}
			return
		}
	}
	c.t.Fatalf("no way to %s by Tab", what)
}

func (c *chrome) shot(name string) {
	c.t.Helper()
	png, err := chromedp.Run(c.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pictures, name+".png"), png, 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// scheme sets light or dark.
func (c *chrome) scheme(name string) {
	c.t.Helper()
	call(c, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// accessible lets axe-core look at the page; what it finds serious is a fault.
func (c *chrome) accessible(name string) {
	c.t.Helper()
	if !script[bool](c, "!!window.axe") {
		script[any](c, c.axe+";1")
	}
	found := script[string](c, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 160) + " " + (n.failureSummary || "").slice(0, 200))}))))`, chromedp.EvalAwaitPromise)
	var list []struct {
		ID, Impact, Help string
		Nodes            []string
	}
	if err := json.Unmarshal([]byte(found), &list); err != nil {
		c.t.Fatal(err)
	}
	for _, v := range list {
		if v.Impact == "serious" || v.Impact == "critical" {
			c.t.Errorf("%s: axe: %s (%s): %s\n%s", name, v.ID, v.Impact, v.Help, strings.Join(v.Nodes, "\n"))
		}
	}
}

// quiet ends the test for whatever the browser complained of.
func (c *chrome) quiet(what string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		c.t.Errorf("%s: %s", what, f)
	}
	c.faults = nil
}

// proofs gives the evidence of cases as cmd/simtrap-hub does, but waits for no sensor:
// there is none.
type proofs struct{ from *query.Evidence }

func (p proofs) Bundle(ctx context.Context, _ people.Person, caseID, authority string, w io.Writer) error {
	return p.from.Gather(ctx, &querypb.AskEvidenceRequest{CaseId: caseID, Authority: authority}, 0, w)
}

// downloaded waits for a file to be there whole.
func downloaded(t *testing.T, folder string) (name string, file []byte) {
	t.Helper()
	for range 200 {
		list, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 && filepath.Ext(list[0].Name()) == ".zst" {
			name = list[0].Name()
			if file, err = os.ReadFile(filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
			return name, file
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("no bundle was downloaded")
	return "", nil
}

// TestBrowser: a case is worked from the sign-in to its outcome and to a bundle that
// verifies by keyboard alone, on data of strangers who would do harm, and no page asks for
// anything elsewhere; who may not is refused.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes its time: not with -short")
	}
	signing := ed25519.NewKeyFromSeed(querytest.Key()[:ed25519.SeedSize])
	h := open(t, 4, hostile, func(o *Options) {
		o.Watch = 100 * time.Millisecond
		s := o.Store.(*store.Store)
		o.Evidence = proofs{query.NewEvidence(o.Query, s, evidence.New(evidence.Options{Store: s, Sign: signing, Key: func(string) []byte { return querytest.Key() }, Version: "1"}))}
	})
	h.account("analyst")
	h.account("viewer")
	c := chromium(t, h.server.URL)
	if err := os.MkdirAll(pictures, 0o755); err != nil {
		t.Fatal(err)
	}

	c.open("/findings?verdict=case")
	c.until("the sign-in", `location.pathname === "/sign-in" && document.activeElement.name === "account"`)
	c.shot("sign-in")
	c.accessible("sign-in")
	c.run(chromedp.KeyEvent("analyst" + kb.Tab + password + kb.Enter))
	c.until("the list", `location.pathname === "/findings" && document.querySelector("table[data-rows]")`)
	c.quiet("sign-in")

	// By keys: to the overview, the findings, the first row, the line.
	c.run(chromedp.KeyEvent("go"))
	c.until("the overview", `location.pathname === "/" && document.querySelector("#new")`)
	c.run(chromedp.KeyEvent("gf"))
	c.until("the findings", `location.pathname === "/findings"`)
	c.run(chromedp.KeyEvent("/"))
	c.until("the filter", `document.activeElement.name === "verdict"`)
	c.open("/findings?verdict=case")
	c.run(chromedp.KeyEvent("j"))
	c.until("the row", `document.activeElement.closest("tbody")`)
	c.run(chromedp.KeyEvent(kb.Enter))
	c.until("the line", `location.pathname.startsWith("/lines/") && document.querySelector(".wf")`)
	c.accessible("line")

	c.tabTo("the title", `form[action="/cases"] input[name="title"]`)
	c.run(chromedp.KeyEvent("a box behind the fridge" + kb.Enter))
	c.until("the case", `location.pathname.startsWith("/cases/") && document.querySelector("textarea[name=comment]")`)
	c.tabTo("the comment", "textarea[name=comment]")
	c.run(chromedp.KeyEvent("went there <b>twice</b>" + kb.Tab + kb.Enter))
	c.until("the comment", `document.querySelector(".note") && document.querySelector(".note").innerText.includes("went there <b>twice</b>")`)
	c.tabTo("the state", "select[name=state]")
	c.run(chromedp.KeyEvent("closed"))
	c.tabTo("the outcome", "select[name=outcome]")
	c.run(chromedp.KeyEvent("confirmed" + kb.Tab))
	c.run(chromedp.KeyEvent(kb.Enter))
	c.until("the outcome", `document.querySelector("#state") && /confirmed/.test(document.querySelector("#state").innerText) && /closed/.test(document.querySelector("#state").innerText)`)
	c.accessible("case")
	c.shot("case")
	c.quiet("a case")

	// Its evidence, as it lies on the analyst's disk.
	folder := t.TempDir()
	call(c, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder})
	c.tabTo("the authority", `form[action$="/evidence"] input[name="authority"]`)
	c.run(chromedp.KeyEvent("case 2026-114" + kb.Enter))
	name, file := downloaded(t, folder)
	worked := script[string](c, "location.pathname")
	v, err := bundle.Verify(bytes.NewReader(file), int64(len(file)), bundle.Options{Signer: signing.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatalf("%s does not hold: %v", name, err)
	}
	if m := v.Manifest; m.Authority != "case 2026-114" || "/cases/"+m.Case != worked || len(m.Lines) == 0 {
		t.Errorf("the bundle is of case %q (%s) under %q, of lines %q", m.Case, worked, m.Authority, m.Lines)
	}
	c.quiet("evidence")

	// The overview renews itself when something is reported.
	c.open("/")
	c.until("the stream", `performance.getEntriesByType("resource").length >= 3`)
	before := script[int](c, `document.querySelectorAll("#new tbody tr").length`)
	time.Sleep(300 * time.Millisecond)
	if err := report1(t.Context(), h.store); err != nil {
		t.Fatal(err)
	}
	c.until("what was reported", fmt.Sprintf(`document.querySelectorAll("#new tbody tr").length === %d`, before+1))
	c.quiet("live")

	b := h.browser("analyst")
	names := map[string]string{"/": "overview", "/findings": "findings", "/rings": "rings", "/controllers": "controllers", "/cases": "cases", "/sensors": "sensors", "/gateways": "gateways", "/help": "help"}
	for _, path := range h.every(b) {
		kind, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		name := names[path]
		if name == "" {
			if strings.Contains(kind, "?") || names["/"+kind+"/"] != "" {
				continue
			}
			names["/"+kind+"/"] = kind
			name = "one-of-" + kind
		}
		c.open(path)
		c.accessible(name)
		c.shot(name)
		// Colours are the same on all of them: these have them all.
		if name == "overview" || name == "one-of-rings" || name == "one-of-lines" {
			c.scheme("dark")
			c.accessible(name + ", dark")
			c.shot(name + "-dark")
			c.scheme("light")
		}
		c.quiet(name)
	}
	c.open("/?lang=zh")
	c.until("Chinese", `document.documentElement.lang === "zh-CN"`)
	c.shot("overview-zh")
	call(c, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 360, Height: 740, DeviceScaleFactor: 1, Mobile: true})
	for _, path := range []string{"/", "/findings", "/rings/" + querytest.ID(21).String()} {
		c.open(path)
		wide := script[int](c, "document.documentElement.scrollWidth")
		if wide > 360 {
			t.Errorf("%s: %d pixels wide on a telephone", path, wide)
		}
	}
	// A graph is moved there and not made too small to read.
	if small := script[float64](c, `document.querySelector(".graph text").getBoundingClientRect().height`); small < 7 {
		t.Errorf("text of the graph is %.1f pixels high on a telephone", small)
	}
	c.shot("narrow")
	c.quiet("Chinese")

	// A viewer is offered nothing of it, and what he asks for all the same is refused.
	c.open("/help?lang=en")
	c.run(chromedp.Click(`form[action="/sign-out"] button`))
	c.until("the sign-in", `location.pathname === "/sign-in"`)
	c.open("/sign-in?next=" + worked)
	c.run(chromedp.KeyEvent("viewer" + kb.Tab + password + kb.Enter))
	c.until("the case", fmt.Sprintf("location.pathname === %q", worked))
	if offered := script[int](c, `document.querySelectorAll("main form[method=post], main textarea").length`); offered > 0 {
		t.Errorf("a viewer is offered %d forms", offered)
	}
	c.quiet("a viewer's case")
	for _, path := range []string{worked, worked + "/evidence", "/outcomes", "/gateways", "/authority"} {
		status := script[int](c, fmt.Sprintf(`fetch(%q, {method: "POST", body: new URLSearchParams({csrf: document.querySelector("[name=csrf]").value, comment: "x", authority: "x"})}).then(r => r.status)`, path), chromedp.EvalAwaitPromise)
		if status != 403 {
			t.Errorf("a viewer's POST %s: %d", path, status)
		}
	}
	c.open("/audit")
	if !script[bool](c, `!!document.querySelector("main .problem")`) {
		t.Error("a viewer reads the audit log")
	}
	c.shot("refused")
	// The browser says each refusal itself, and nothing else is said.
	c.mu.Lock()
	c.faults = slices.DeleteFunc(c.faults, func(f string) bool { return strings.Contains(f, "responded with a status of 403") })
	c.mu.Unlock()
	c.quiet("refusals")
}

// report1 sends one more finding, as a sensor would.
func report1(ctx context.Context, s *store.Store) error {
	at := querytest.Day().Add(time.Hour)
	score := 12.0
	r := &reportpb.FindingRevision{
		Id: []byte("a new finding 01"), Revision: 1, EpochStart: timestamppb.New(at), Catalogue: 7,
		Finding: &reportpb.Finding{Line: "203.0.113.77", Verdict: reportpb.Verdict_VERDICT_REVIEW, Score: &score, Margin: &score, Nearest: "home", Device: &reportpb.Device{}, Calls: &reportpb.Calls{}, Links: &reportpb.Links{}, FirstSeen: timestamppb.New(at), LastSeen: timestamppb.New(at.Add(time.Hour))},
	}
	_, err := s.Ingest(ctx, store.Delivery{Sensor: "south", Epoch: 9, First: 1, Last: 1, ReceivedAt: at, Records: []*reportpb.Record{{Sequence: 1, KeyEpoch: 1, Kind: &reportpb.Record_Finding{Finding: r}}}})
	return err
}

// TestPictures makes the pictures of docs/pages.md of a hub that runs: SIMTRAP_PAGES is
// its address, SIMTRAP_PAGES_PASSWORD that of the account ann (scripts/pictures.sh).
func TestPictures(t *testing.T) {
	base := os.Getenv("SIMTRAP_PAGES")
	if base == "" {
		t.Skip("no hub is named: scripts/pictures.sh names one")
	}
	c := chromium(t, base)
	into := "../../docs/pages"
	shot := func(name, path string, height int64) {
		c.open(path)
		call(c, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 1100, Height: height, DeviceScaleFactor: 1})
		png, err := chromedp.Run(c.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(into, name+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		t.Fatal(err)
	}
	link := func(path, selector string) string {
		c.open(path)
		return script[string](c, fmt.Sprintf("document.querySelector(%q).getAttribute('href')", selector))
	}
	c.open("/sign-in")
	c.run(chromedp.KeyEvent("ann" + kb.Tab + os.Getenv("SIMTRAP_PAGES_PASSWORD") + kb.Enter))
	c.until("the overview", `location.pathname === "/" && document.querySelector("#new")`)
	shot("overview", "/", 900)
	shot("findings", "/findings", 560)
	line := link("/findings", "table[data-rows] tbody a")
	shot("line", line, 2000)
	shot("ring", link("/rings", "table[data-rows] tbody a"), 1100)
	shot("controllers", "/controllers", 420)
	shot("case", link("/cases", "table[data-rows] tbody a"), 900)
	c.scheme("dark")
	shot("line-dark", line, 900)
	c.quiet("pictures")
}
