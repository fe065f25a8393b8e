package pages

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
	"simtrap/report/show"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static/app.css static/app.js static/htmx.min.js
var staticFiles embed.FS

// lang is a language of pages.
type lang = languageName

type languageName report.Language

func (l languageName) tag() string { return report.Language(l).Tag() }

// languageOf reads a language's name.
func languageOf(s string) (lang, bool) {
	l, err := report.ParseLanguage(s)
	return lang(l), err == nil
}

// language is what a request asks for: by its address, its cookie, or what the
// browser likes best.
func language(r *http.Request) lang {
	if l, ok := languageOf(r.URL.Query().Get("lang")); ok {
		return l
	}
	if c, err := r.Cookie(languageCookie); err == nil {
		if l, ok := languageOf(c.Value); ok {
			return l
		}
	}
	for _, part := range strings.SplitN(r.Header.Get("Accept-Language"), ",", 8) {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		if l, ok := languageOf(tag); ok {
			return l
		}
	}
	return lang(report.English)
}

// asset is a file that is the same for everybody.
type asset struct {
	kind    string
	plain   []byte
	packed  []byte // gzip
	version string // of its content, for its address
}

func readStatic() (map[string]asset, error) {
	of := make(map[string]asset)
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		data, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, err
		}
		kind := "text/javascript; charset=utf-8"
		if path.Ext(e.Name()) == ".css" {
			kind = "text/css; charset=utf-8"
			data = append([]byte(report.Style()), data...)
		}
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a level that there is
		z.Write(data)                                         // to a bytes.Buffer, which never fails
		z.Close()
		sum := sha256.Sum256(data)
		of[e.Name()] = asset{kind, data, b.Bytes(), hex.EncodeToString(sum[:8])}
	}
	return of, nil
}

// asset answers with a file. Its address changes with its content.
func (p *Pages) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := p.static[r.PathValue("name")]
	if !ok {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Vary", "Accept-Encoding")
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	data := a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		data = a.packed
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}

// look is how pages are in one language.
type look struct {
	lang  lang
	parts *report.Parts
	pages map[string]*template.Template
}

func (p *Pages) readLooks() (map[lang]*look, error) {
	looks := make(map[lang]*look)
	for _, l := range []report.Language{report.English, report.Chinese} {
		k := &look{lang: lang(l), parts: report.NewParts(l, chinese()...), pages: make(map[string]*template.Template)}
		base, err := show.Add(template.New("frame.html").Funcs(p.functions(k)), k.parts.Words())
		if err != nil {
			return nil, err
		}
		base, err = base.ParseFS(templateFiles, "templates/frame.html", "templates/parts.html")
		if err != nil {
			return nil, err
		}
		names, err := fs.Glob(templateFiles, "templates/*.html")
		if err != nil {
			return nil, err
		}
		for _, file := range names {
			name := strings.TrimSuffix(path.Base(file), ".html")
			if name == "frame" || name == "parts" {
				continue
			}
			t, err := base.Clone()
			if err == nil {
				_, err = t.ParseFS(templateFiles, file)
			}
			if err != nil {
				return nil, fmt.Errorf("template %s: %w", name, err)
			}
			k.pages[name] = t
		}
		looks[k.lang] = k
	}
	return looks, nil
}

func (k *look) page(name string) *template.Template { return k.pages[name] }

// plain makes any text fit for one line of a page; a template escapes it besides.
func plain(s string) string { return show.Words{Plain: report.Plain}.Cut(s) }

// tell translates what simtrap says of a line, which may hold a stranger's text.
func (k *look) tell(s string) string { return plain(k.parts.Text(s)) }

// functions are what templates may call. Each that gives markup makes its texts fit
// itself.
func (p *Pages) functions(k *look) template.FuncMap {
	return template.FuncMap{
		"lines":   func(s string) []string { return strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n") },
		"utc":     utc,
		"iso":     func(t any) string { return moment(t).UTC().Format(time.RFC3339) },
		"badge":   k.badge,
		"outcome": func(o querypb.Outcome) string { return k.parts.Text(outcomeName(o)) },
		"state":   func(s querypb.CaseState) string { return k.parts.Text(stateName(s)) },
		"link":    func(l querypb.LinkKind) string { return k.parts.Text(linkName(l)) },
		"device":  func(d *reportpb.Device) string { return k.tell(report.DeviceText(d)) },
		"calls":   func(c *reportpb.Calls) string { return k.tell(report.CallsText(c)) },
		"nats":    report.NatsText,
		"count":   func(n any) string { return report.Count(number(n)) },
		"short":   short,
		"segment": url.PathEscape,
		"file":    func(name string) string { return "/static/" + name + "?v=" + p.static[name].version },
		"list":    func(of ...string) []string { return of },
	}
}

func number(n any) int64 {
	switch n := n.(type) {
	case int:
		return int64(n)
	case int32:
		return int64(n)
	case int64:
		return n
	case uint64:
		return int64(min(n, 1<<62))
	}
	return 0
}

// short gives enough of an id to tell it from others by eye.
func short(id string) string { return plain(id[:min(len(id), 8)]) }

// moment gives a time of either kind; the zero time for none.
func moment(t any) time.Time {
	switch t := t.(type) {
	case time.Time:
		return t
	case *timestamppb.Timestamp:
		if t != nil {
			return t.AsTime()
		}
	}
	return time.Time{}
}

// utc writes a time for people.
func utc(t any) string {
	m := moment(t)
	if m.IsZero() || m.Unix() <= 0 {
		return ""
	}
	return m.UTC().Format("2006-01-02 15:04:05")
}

// badge is the verdict's word in its colour.
func (k *look) badge(v reportpb.Verdict, proof bool) template.HTML {
	text := report.VerdictName(v)
	if proof {
		text += " by proof"
	}
	class := min(max(int(v)-1, 0), 3)
	return template.HTML(`<span class="v v` + strconv.Itoa(class) + `">` + template.HTMLEscapeString(k.parts.Text(text)) + `</span>`)
}

func outcomeName(o querypb.Outcome) string {
	switch o {
	case querypb.Outcome_OUTCOME_CONFIRMED:
		return "confirmed"
	case querypb.Outcome_OUTCOME_INNOCENT:
		return "innocent"
	}
	return "not known yet"
}

func stateName(s querypb.CaseState) string {
	switch s {
	case querypb.CaseState_CASE_STATE_OPEN:
		return "open"
	case querypb.CaseState_CASE_STATE_HANDED_OVER:
		return "handed over"
	case querypb.CaseState_CASE_STATE_CLOSED:
		return "closed"
	}
	return "not told"
}

func linkName(l querypb.LinkKind) string {
	switch l {
	case querypb.LinkKind_LINK_KIND_CARDS:
		return "the same cards"
	case querypb.LinkKind_LINK_KIND_ACCOUNTS:
		return "the same accounts"
	case querypb.LinkKind_LINK_KIND_CONTACT:
		return "the same address behind the NAT"
	case querypb.LinkKind_LINK_KIND_CNAME:
		return "the same RTCP CNAME"
	case querypb.LinkKind_LINK_KIND_CONTROLLER_STACK:
		return "the same controller and header shape"
	case querypb.LinkKind_LINK_KIND_CLOCK:
		return "sending clocks that agree"
	case querypb.LinkKind_LINK_KIND_HANDOVER:
		return "one falls silent as the other starts"
	}
	return "not told"
}

// frame is what every page has around its own.
type frame struct {
	Title, Page string
	Language    string
	Other       string // address of this page in the other language
	OtherName   string
	Known       bool
	Account     string
	Role        string
	Works       bool
	Nav         []item
	CSRF        string
	Here        string // address of this page
	Authority   string
	Until       time.Time
	Live        bool // whether the page renews itself
	Main        any
}

// item is one link of the navigation.
type item struct {
	Path, Name, Key string
	Current         bool
}

// places are the pages that the navigation leads to, with their keys.
func places() []struct {
	path, name, key string
	need            need
} {
	return []struct {
		path, name, key string
		need            need
	}{
		{"/", "Overview", "o", reads}, {"/findings", "Findings", "f", reads}, {"/rings", "Rings", "r", reads}, {"/controllers", "Controllers", "c", reads},
		{"/cases", "Cases", "a", reads}, {"/sensors", "Sensors", "s", reads}, {"/gateways", "Declared gateways", "d", reads}, {"/audit", "Audit log", "l", audits},
		{"/help", "Help", "h", reads},
	}
}

func (v *visit) frame(name, title string, main any) *frame {
	other, otherName := "zh-CN", "中文"
	if report.Language(v.look.lang) == report.Chinese {
		other, otherName = "en", "English"
	}
	u := *v.r.URL
	q := u.Query()
	q.Del("lang")
	u.RawQuery = q.Encode()
	here := "/"
	if v.r.Method == http.MethodGet {
		here = inside(u.RequestURI())
	}
	q.Set("lang", other)
	u.RawQuery = q.Encode()
	f := &frame{
		Title: title, Page: name, Language: v.look.lang.tag(), Other: inside(u.RequestURI()), OtherName: otherName,
		Known: v.known, Account: v.who.Account, Role: string(v.who.Role), Works: works.met(v.who), CSRF: v.token(), Here: here,
		Authority: v.authority(), Until: v.session.Until, Live: v.known && v.authority() == "", Main: main,
	}
	if v.r.Method != http.MethodGet {
		f.Other = "/?lang=" + other
	}
	for _, x := range places() {
		if v.known && x.need.met(v.who) {
			f.Nav = append(f.Nav, item{x.path, x.name, x.key, x.path == v.r.URL.Path || x.path != "/" && strings.HasPrefix(v.r.URL.Path, x.path+"/")})
		}
	}
	return f
}
