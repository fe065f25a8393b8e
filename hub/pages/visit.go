package pages

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	"simtrap/hub/people"
	"simtrap/hub/query"
)

// Cookies. The name of the first keeps it to this host, over TLS.
const (
	sessionCookie  = "__Host-simtrap"
	languageCookie = "simtrap-language"
)

// live is the header of what pages ask for by themselves: it keeps no session awake.
const live = "X-Simtrap-Live"

// Bounds of requests.
const (
	maxForm   = 64 << 10 // bytes
	maxCookie = 4096
)

// session is what the browser keeps, sealed: it can be read and made by hubs alone.
type session struct {
	Token     string    // of package people
	Seen      time.Time // when it was last used by hand
	Authority string    `json:",omitempty"` // that was typed in
	Until     time.Time // when that ends
}

// visit is one request.
type visit struct {
	p       *Pages
	w       http.ResponseWriter
	r       *http.Request
	ctx     context.Context
	look    *look
	session session
	known   bool
	who     people.Person
}

// answer carries out a route: who asks is known, may, and wrote his form himself.
func (p *Pages) answer(w http.ResponseWriter, r *http.Request, to route) {
	v := &visit{p: p, w: w, r: r, ctx: r.Context(), look: p.looks[language(r)]}
	if err := v.enter(to); err != nil {
		v.fail(err)
		return
	}
	if err := to.do(p, v); err != nil {
		v.fail(err)
	}
}

// errSignIn: nobody is known to ask.
var errSignIn = errors.New("sign in first")

func (v *visit) enter(to route) error {
	if err := v.identify(); err != nil {
		return err
	}
	if !v.known && to.need != anyone {
		return errSignIn
	}
	if !to.need.met(v.who) {
		return errMay
	}
	if v.known {
		v.ctx = query.Brief(people.WithPerson(v.ctx, v.who))
		if v.p.o.Known != nil {
			v.p.o.Known(v.ctx, v.who)
		}
	}
	if v.r.Method == http.MethodPost {
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
		if err := v.r.ParseForm(); err != nil {
			return errInvalid
		}
		if to.need != anyone && !hmac.Equal([]byte(v.token()), []byte(v.r.PostForm.Get("csrf"))) {
			return errForged
		}
	}
	if tag := v.r.URL.Query().Get("lang"); tag != "" && v.r.Method == http.MethodGet {
		if l, ok := languageOf(tag); ok {
			http.SetCookie(v.w, &http.Cookie{Name: languageCookie, Value: l.tag(), Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode})
			v.look = v.p.looks[l]
		}
	}
	return nil
}

// identify says who asks. A session that has rested too long is ended.
func (v *visit) identify() error {
	c, err := v.r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	s, ok := v.p.unseal(c.Value)
	if !ok {
		v.forget()
		return nil
	}
	now := v.p.o.Now()
	if rest := now.Sub(s.Seen); rest > v.p.o.Idle || rest < -time.Hour {
		if err := v.p.o.People.Logout(v.ctx, s.Token); err != nil {
			v.p.log.Error("a session that rested was not ended", zap.Error(err))
		}
		v.forget()
		return nil
	}
	who, err := v.p.o.People.Who(v.ctx, s.Token)
	if errors.Is(err, people.ErrSession) {
		v.forget()
		return nil
	}
	if err != nil {
		v.p.log.Error("session not read", zap.Error(err))
		return connect.NewError(connect.CodeUnavailable, errors.New("the hub cannot look at sessions now"))
	}
	if s.Authority != "" && (now.After(s.Until) || !who.Role.Clear()) {
		s.Authority, s.Until = "", time.Time{}
	}
	v.session, v.who, v.known = s, who, true
	if v.r.Header.Get(live) == "" && !v.left() && now.Sub(s.Seen) > v.p.o.Idle/30 {
		v.session.Seen = now
		v.remember()
	}
	return nil
}

// left says whether a page that nobody looked at has gone to the sign-in by itself. That
// keeps no session awake, nor leads back to where it would.
func (v *visit) left() bool {
	return v.r.URL.Path == "/sign-in" && v.r.URL.Query().Has("left")
}

// remember gives the browser its session.
func (v *visit) remember() {
	text, err := json.Marshal(v.session)
	if err != nil {
		return // of texts and times there is none
	}
	sealed := base64.RawURLEncoding.EncodeToString(v.p.seal.Seal(nil, nil, text, []byte(sessionCookie)))
	http.SetCookie(v.w, &http.Cookie{Name: sessionCookie, Value: sealed, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode})
}

func (v *visit) forget() {
	http.SetCookie(v.w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode})
}

func (p *Pages) unseal(text string) (s session, ok bool) {
	if len(text) > maxCookie {
		return s, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return s, false
	}
	plain, err := p.seal.Open(nil, nil, sealed, []byte(sessionCookie))
	if err != nil || json.Unmarshal(plain, &s) != nil {
		return session{}, false
	}
	return s, true
}

// token is what forms of this session hold, and no other page can know.
func (v *visit) token() string {
	return hex.EncodeToString(derive(v.p.csrf, v.session.Token)[:16])
}

// authority is what addresses are shown under; empty for none.
func (v *visit) authority() string { return v.session.Authority }

// fail writes the page of an error.
func (v *visit) fail(err error) {
	status, text := told(err)
	if v.ctx.Err() != nil {
		return // nobody waits for an answer
	}
	if errors.Is(err, errSignIn) {
		to := "/sign-in"
		if v.r.Method == http.MethodGet {
			to += "?next=" + url.QueryEscape(v.r.URL.RequestURI())
		}
		switch {
		case v.r.Header.Get("HX-Request") != "":
			v.w.Header().Set("HX-Redirect", to)
			v.w.WriteHeader(http.StatusUnauthorized)
		case v.r.Method == http.MethodGet:
			http.Redirect(v.w, v.r, to, http.StatusSeeOther)
		default:
			v.render(http.StatusUnauthorized, "sign-in", "Sign in", &signInPage{Problem: text})
		}
		return
	}
	v.render(status, "problem", "Not shown", &problemPage{Text: text, Authority: status == http.StatusForbidden && v.who.Role.Clear() && v.authority() == ""})
}

type problemPage struct {
	Text      string
	Authority bool // whether one may help
}

// told gives an error's status and what people are told.
func told(err error) (int, string) {
	switch {
	case errors.Is(err, errNone):
		return http.StatusNotFound, err.Error()
	case errors.Is(err, errSignIn):
		return http.StatusUnauthorized, err.Error()
	case errors.Is(err, errMay), errors.Is(err, errForged):
		return http.StatusForbidden, err.Error()
	case errors.Is(err, errInvalid):
		return http.StatusBadRequest, err.Error()
	}
	text := "the hub failed; its log says how"
	if ce, is := errors.AsType[*connect.Error](err); is {
		text = ce.Message()
	}
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument:
		return http.StatusBadRequest, text
	case connect.CodePermissionDenied:
		return http.StatusForbidden, text
	case connect.CodeNotFound:
		return http.StatusNotFound, text
	case connect.CodeUnauthenticated:
		return http.StatusUnauthorized, text
	case connect.CodeAborted:
		return http.StatusConflict, text
	case connect.CodeResourceExhausted:
		return http.StatusTooManyRequests, text
	case connect.CodeUnavailable:
		return http.StatusServiceUnavailable, text
	}
	return http.StatusInternalServerError, text
}

// back sends the browser to a page of ours after a change.
func (v *visit) back(to string) error {
	http.Redirect(v.w, v.r, inside(to), http.StatusSeeOther)
	return nil
}

// inside gives a path of these pages, or the first one.
func inside(to string) string {
	if len(to) > 4096 || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	u, err := url.Parse(to)
	if err != nil || u.Host != "" || u.Scheme != "" {
		return "/"
	}
	return to
}

type signInPage struct {
	Next, Account, Problem string
	Elsewhere              string
}

func (p *Pages) signIn(v *visit) error {
	next := inside(v.r.URL.Query().Get("next"))
	if v.known && !v.left() {
		return v.back(next)
	}
	v.known, v.who, v.session = false, people.Person{}, session{} // the page is nobody's
	return v.render(http.StatusOK, "sign-in", "Sign in", &signInPage{Next: next, Elsewhere: p.o.Elsewhere})
}

func (p *Pages) signedIn(v *visit) error {
	form := v.r.PostForm
	from, _ := netip.ParseAddrPort(v.r.RemoteAddr)
	account := strings.TrimSpace(form.Get("account"))
	token, _, err := p.o.People.Login(v.ctx, account, form.Get("password"), from.Addr())
	if err != nil {
		again := &signInPage{Next: inside(form.Get("next")), Problem: err.Error(), Elsewhere: p.o.Elsewhere}
		if people.Name(account) {
			again.Account = account
		}
		wait, throttled := errors.AsType[*people.Throttled](err)
		status := http.StatusUnauthorized
		switch {
		case errors.Is(err, people.ErrLogin):
		case throttled:
			v.w.Header().Set("Retry-After", strconv.Itoa(int(wait.After/time.Second)+1))
			status = http.StatusTooManyRequests
		case errors.Is(err, people.ErrBusy):
			v.w.Header().Set("Retry-After", "2")
			status = http.StatusServiceUnavailable
		default:
			p.log.Error("login not carried out", zap.Error(err))
			status, again.Problem = http.StatusServiceUnavailable, "the hub cannot log anybody in now"
		}
		return v.render(status, "sign-in", "Sign in", again)
	}
	v.session = session{Token: token, Seen: p.o.Now()}
	v.remember()
	return v.back(form.Get("next"))
}

// Enter gives a browser the session of somebody who has signed in elsewhere. The browser
// comes from another site, so that a cookie of this one goes only with what the page
// that is shown asks for.
func (p *Pages) Enter(w http.ResponseWriter, r *http.Request, token string, _ time.Time) {
	guarded(w.Header())
	v := &visit{p: p, w: w, r: r, ctx: r.Context(), look: p.looks[language(r)], session: session{Token: token, Seen: p.o.Now()}}
	v.remember()
	w.Header().Set("Refresh", "0; url=/")
	if err := v.render(http.StatusOK, "entered", "Sign in", nil); err != nil {
		v.fail(err)
	}
}

func (p *Pages) signOut(v *visit) error {
	if err := p.o.People.Logout(v.ctx, v.session.Token); err != nil {
		p.log.Error("session not ended", zap.Error(err))
		return connect.NewError(connect.CodeUnavailable, errors.New("the hub cannot end sessions now"))
	}
	v.forget()
	return v.back("/sign-in")
}

// unlock keeps the authority under which addresses are asked for from now on. It is
// checked, and written down, with each request that it is used in; here with one that
// shows nothing, so that it is told at once when it is none.
func (p *Pages) unlock(v *visit) error {
	form := v.r.PostForm
	to := form.Get("next")
	v.session.Authority, v.session.Until = "", time.Time{}
	if form.Get("end") == "" {
		text := strings.TrimSpace(form.Get("authority"))
		if text == "" {
			return connect.NewError(connect.CodeInvalidArgument, errors.New("authority: a blank text names none"))
		}
		if _, _, err := p.o.Query.Gateways(v.ctx, text, 0, 0); err != nil {
			return err
		}
		v.session.Authority, v.session.Until = text, p.o.Now().Add(p.o.Unlock)
	}
	v.remember()
	return v.back(to)
}

func (p *Pages) help(v *visit) error { return v.render(http.StatusOK, "help", "Help", nil) }

// render writes a page. It is made whole before any of it is sent.
func (v *visit) render(status int, name, title string, main any) error {
	var b bytes.Buffer
	if err := v.look.page(name).Execute(&b, v.frame(name, title, main)); err != nil {
		v.p.log.Error("page not made", zap.String("page", name), zap.Error(err))
		http.Error(v.w, "the hub failed; its log says how", http.StatusInternalServerError)
		return nil
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b.Bytes()) // who has gone away reads nothing
	return nil
}
