package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"simtrap/hub/store"
)

// memory is a store of people in memory.
type memory struct {
	mu       sync.Mutex
	accounts map[string]store.Account
	sessions map[[32]byte]store.Session
	audit    []store.AuditEntry
	failing  error  // of AppendAudit
	before   func() // AddSession
	drops    int    // of single sessions
}

func (m *memory) AddAccount(_ context.Context, a store.Account) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.accounts[a.Name]; ok {
		return store.ErrConflict
	}
	a.Version = 1
	m.accounts[a.Name] = a
	return nil
}

func (m *memory) PutAccount(_ context.Context, a store.Account) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.accounts[a.Name].Version != a.Version {
		return store.ErrConflict
	}
	a.Version++
	m.accounts[a.Name] = a
	return nil
}

func (m *memory) Account(_ context.Context, name string) (store.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.accounts[name]
	if !ok {
		return a, store.ErrNotFound
	}
	return a, nil
}

func (m *memory) AccountOf(_ context.Context, subject string) (store.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.accounts {
		if a.Password == subject {
			return a, nil
		}
	}
	return store.Account{}, store.ErrNotFound
}

func (m *memory) Accounts(context.Context) ([]store.Account, error) { return nil, nil }

func (m *memory) AddSession(_ context.Context, s store.Session) error {
	if m.before != nil {
		m.before()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[s.Hash] = s
	return nil
}

func (m *memory) Session(_ context.Context, hash [32]byte, now time.Time) (store.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[hash]
	if !ok || !now.Before(s.Expires) {
		return s, store.ErrNotFound
	}
	return s, nil
}

func (m *memory) DropSession(_ context.Context, hash [32]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drops++
	delete(m.sessions, hash)
	return nil
}

func (m *memory) DropSessions(_ context.Context, account string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for h, s := range m.sessions {
		if s.Account == account {
			delete(m.sessions, h)
		}
	}
	return nil
}

func (m *memory) AppendAudit(_ context.Context, next func(store.AuditEntry) (store.AuditEntry, error)) (store.AuditEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing != nil {
		return store.AuditEntry{}, m.failing
	}
	var head store.AuditEntry
	if n := len(m.audit); n > 0 {
		head = m.audit[n-1]
	}
	e, err := next(head)
	if err == nil {
		m.audit = append(m.audit, e)
	}
	return e, err
}

func (m *memory) Audit(_ context.Context, from uint64, n int) (list []store.AuditEntry, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.audit {
		if e.Sequence >= from && len(list) < n {
			list = append(list, e)
		}
	}
	return list, nil
}

const password = "correct horse battery"

var here = netip.MustParseAddr("192.0.2.7")

func crowd(t *testing.T) (*People, *memory, *time.Time) {
	t.Helper()
	m := &memory{accounts: map[string]store.Account{}, sessions: map[[32]byte]store.Session{}}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := New(Options{Store: m, Now: func() time.Time { return at }})
	if err := p.Add(t.Context(), "root", "ann", Analyst, password); err != nil {
		t.Fatal(err)
	}
	return p, m, &at
}

func TestLogin(t *testing.T) {
	p, m, at := crowd(t)
	token, until, err := p.Login(t.Context(), "ann", password, here)
	if err != nil || until != at.Add(SessionLife) {
		t.Fatalf("%v, until %v", err, until)
	}
	if who, err := p.Who(t.Context(), token); err != nil || who != (Person{"ann", Analyst}) {
		t.Errorf("%v, %v", who, err)
	}
	for h := range m.sessions {
		if strings.Contains(token, fmt.Sprintf("%x", h)) {
			t.Error("the store holds the token itself")
		}
	}
	for _, a := range m.accounts {
		if strings.Contains(a.Password, password) || !strings.HasPrefix(a.Password, "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Errorf("stored as %q", a.Password)
		}
	}
	for name, try := range map[string][2]string{
		"wrong": {"ann", password + "."}, "nobody": {"bob", password}, "no name": {"", password}, "odd name": {"ann\n", password}, "long": {"ann", strings.Repeat("a", maxPassword+1)}, "empty": {"ann", ""},
	} {
		if _, _, err := p.Login(t.Context(), try[0], try[1], here); !errors.Is(err, ErrLogin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "sp1-", token[:len(token)-1], token + "0", "xx1-" + token[4:], strings.ToUpper(token)} {
		if _, err := p.Who(t.Context(), bad); !errors.Is(err, ErrSession) {
			t.Errorf("token %q: %v", bad, err)
		}
	}

	// What is changed holds for sessions that are open.
	if err := p.SetRole(t.Context(), "root", "ann", Viewer); err != nil {
		t.Fatal(err)
	}
	if who, err := p.Who(t.Context(), token); err != nil || who.Role.Clear() || !who.Role.Reads() {
		t.Errorf("after a change of role: %v, %v", who, err)
	}
	if err := p.SetPassword(t.Context(), "root", "ann", password+" staple"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Who(t.Context(), token); !errors.Is(err, ErrSession) {
		t.Errorf("after a change of password: %v", err)
	}
	token, _, err = p.Login(t.Context(), "ann", password+" staple", here)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Logout(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Who(t.Context(), token); !errors.Is(err, ErrSession) {
		t.Errorf("after a logout: %v", err)
	}
	token, _, err = p.Token(t.Context(), "root", "ann", 90*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	*at = at.Add(89 * 24 * time.Hour)
	if _, err := p.Who(t.Context(), token); err != nil {
		t.Errorf("a program's token after 89 days: %v", err)
	}
	*at = at.Add(24 * time.Hour)
	if _, err := p.Who(t.Context(), token); !errors.Is(err, ErrSession) {
		t.Errorf("a program's token after 90 days: %v", err)
	}
	token, _, _ = p.Token(t.Context(), "root", "ann", time.Hour)
	if err := p.Disable(t.Context(), "root", "ann", true); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Who(t.Context(), token); !errors.Is(err, ErrSession) {
		t.Errorf("disabled: %v", err)
	}
	if _, _, err := p.Login(t.Context(), "ann", password+" staple", here); !errors.Is(err, ErrLogin) {
		t.Errorf("disabled: %v", err)
	}
	if _, _, err := p.Token(t.Context(), "root", "ann", time.Hour); err == nil {
		t.Error("a disabled account is given a token")
	}
}

func TestAccountsRefused(t *testing.T) {
	p, _, _ := crowd(t)
	for name, err := range map[string]error{
		"there already": p.Add(t.Context(), "root", "ann", Viewer, password),
		"short":         p.Add(t.Context(), "root", "bob", Viewer, "short"),
		"name":          p.Add(t.Context(), "root", "Bob Ross", Viewer, password),
		"role":          p.Add(t.Context(), "root", "bob", "king", password),
		"nobody":        p.SetRole(t.Context(), "root", "bob", Viewer),
		"other role":    p.SetRole(t.Context(), "root", "ann", "king"),
		"no life":       errOf(p.Token(t.Context(), "root", "ann", 0)),
		"long life":     errOf(p.Token(t.Context(), "root", "ann", MaxTokenLife+1)),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func errOf(_ string, _ time.Time, err error) error { return err }

func TestThrottle(t *testing.T) {
	p, _, at := crowd(t)
	// The hash is what takes the time; here it is the counting.
	for range placeFailures {
		p.throttle.take("ann", here)
	}
	elsewhere := netip.MustParseAddr("198.51.100.1")
	var wait *Throttled
	if _, _, err := p.Login(t.Context(), "ann", password, here); !errors.As(err, &wait) || wait.After <= 0 {
		t.Errorf("after %d failures: %v", placeFailures, err)
	}
	if _, _, err := p.Login(t.Context(), "ann", password, elsewhere); err != nil {
		t.Errorf("from elsewhere, after %d failures: %v", placeFailures, err)
	}
	*at = at.Add(failureWindow)
	if _, _, err := p.Login(t.Context(), "ann", password, here); err != nil {
		t.Errorf("a while later: %v", err)
	}
	// From ever new addresses the account is closed, but not where it has logged in.
	for i := range accountFailures {
		p.throttle.take("ann", netip.AddrFrom4([4]byte{198, 18, byte(i), 1}))
	}
	if _, _, err := p.Login(t.Context(), "ann", password, netip.MustParseAddr("198.19.0.1")); !errors.As(err, &wait) {
		t.Errorf("from where it never was, after %d failures: %v", accountFailures, err)
	}
	if _, _, err := p.Login(t.Context(), "ann", password, elsewhere); err != nil {
		t.Errorf("from where it was, after %d failures: %v", accountFailures, err)
	}
	// Nor there by who is beside it, however often: not for longer than a pause.
	for range 2 * addressFailures {
		p.throttle.take("ann", elsewhere)
		p.throttle.take("bob", elsewhere)
	}
	if _, _, err := p.Login(t.Context(), "ann", password, elsewhere); !errors.As(err, &wait) || wait.After > goodPause {
		t.Errorf("from where it was, at once after many failures: %v", err)
	}
	*at = at.Add(goodPause)
	if _, _, err := p.Login(t.Context(), "ann", password, elsewhere); err != nil {
		t.Errorf("a pause later: %v", err)
	}
	*at = at.Add(failureWindow)
	// Of one address, and of one network of IPv6, many names are one.
	for i := range addressFailures {
		p.throttle.take(fmt.Sprint("name", i), netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i)))
	}
	if _, _, err := p.Login(t.Context(), "ann", password, netip.MustParseAddr("2001:db8::ffff")); !errors.As(err, &wait) {
		t.Errorf("from a network of many failures: %v", err)
	}
	if _, _, err := p.Login(t.Context(), "ann", password, netip.MustParseAddr("2001:db8:1::1")); err != nil {
		t.Errorf("from another network: %v", err)
	}
	// An own success gives no tries at others.
	p.throttle.succeeded("ann", netip.MustParseAddr("2001:db8:1::1"))
	if wait := p.throttle.take("bob", netip.MustParseAddr("2001:db8::1")); wait == 0 {
		t.Error("one's own success forgave the address")
	}
	for i := range 3 * maxTries {
		p.throttle.take(fmt.Sprint("flood", i), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if a, b := len(p.throttle.accounts.by), len(p.throttle.addresses.by); a != maxTries || b != maxTries || p.throttle.accounts.order.Len() != maxTries {
		t.Errorf("%d accounts and %d addresses are remembered", a, b)
	}
	if p.throttle.evicted() < 4*maxTries {
		t.Errorf("%d evictions counted", p.throttle.evicted())
	}
}

// Many tries at once are no more than many one after the other.
func TestThrottleAtOnce(t *testing.T) {
	p, _, _ := crowd(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	compared, told := 0, 0
	for range 3 * placeFailures {
		wg.Go(func() {
			_, _, err := p.Login(t.Context(), "ann", "not the password", here)
			var wait *Throttled
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, ErrLogin):
				compared++
			case errors.As(err, &wait):
				told++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if compared != placeFailures || told != 2*placeFailures {
		t.Errorf("%d passwords were compared, %d told to wait; want %d and %d", compared, told, placeFailures, 2*placeFailures)
	}
}

// Who cannot be served now has not failed.
func TestLoginBusy(t *testing.T) {
	p, _, _ := crowd(t)
	for range maxWaiting {
		p.waiting <- struct{}{}
	}
	for range 2 * accountFailures {
		if _, _, err := p.Login(t.Context(), "ann", password, here); !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
	}
	for range maxWaiting {
		<-p.waiting
	}
	if _, _, err := p.Login(t.Context(), "ann", password, here); err != nil {
		t.Error(err)
	}
	if len(p.waiting) != 0 {
		t.Errorf("%d wait still", len(p.waiting))
	}
}

// A login that is under way when the password is changed, or the account disabled,
// opens nothing.
func TestLoginOvertaken(t *testing.T) {
	for name, change := range map[string]func(*People) error{
		"password": func(p *People) error { return p.SetPassword(context.Background(), "root", "ann", password+" staple") },
		"disable":  func(p *People) error { return p.Disable(context.Background(), "root", "ann", true) },
	} {
		p, m, _ := crowd(t)
		m.before = func() {
			if err := change(p); err != nil {
				t.Error(err)
			}
		}
		if _, _, err := p.Login(t.Context(), "ann", password, here); !errors.Is(err, ErrLogin) {
			t.Errorf("%s: %v", name, err)
		}
		if len(m.sessions) != 0 {
			t.Errorf("%s: a session of the old password is open", name)
		}
	}
}

// Who has no session makes the store write nothing.
func TestLogoutOfNobody(t *testing.T) {
	p, m, _ := crowd(t)
	for _, token := range []string{"", "x", strings.Repeat("x", 5000), sessionKind + strings.Repeat("0", 2*sessionSecret)} {
		if err := p.Logout(t.Context(), token); err != nil {
			t.Error(err)
		}
	}
	if m.drops != 0 {
		t.Errorf("%d sessions that are none were ended", m.drops)
	}
}

func TestPasswordHashes(t *testing.T) {
	h := hashPassword(password)
	if h == hashPassword(password) {
		t.Error("no salt")
	}
	if !samePassword(h, password) || samePassword(h, "other") {
		t.Error("does not tell passwords apart")
	}
	for _, bad := range []string{"", "$", password, strings.Replace(h, "argon2id", "argon2i", 1), strings.Replace(h, "m=19456", "m=99999999", 1), strings.Replace(h, "t=2", "t=99", 1), strings.Replace(h, "p=1", "p=0", 1), strings.Replace(h, "v=19", "v=16", 1), h[:len(h)-40], "$argon2id$v=19$m=64,t=1,p=1$$"} {
		if samePassword(bad, password) {
			t.Errorf("%q is the hash of a password", bad)
		}
	}
}

func TestNothingWithoutAudit(t *testing.T) {
	p, m, _ := crowd(t)
	m.failing = errors.New("disk full")
	for name, err := range map[string]error{
		"add":      p.Add(t.Context(), "root", "bob", Viewer, password),
		"password": p.SetPassword(t.Context(), "root", "ann", password+"!"),
		"role":     p.SetRole(t.Context(), "root", "ann", Admin),
		"disable":  p.Disable(t.Context(), "root", "ann", true),
		"token":    errOf(p.Token(t.Context(), "root", "ann", time.Hour)),
		"login":    errOf(p.Login(t.Context(), "ann", password, here)),
	} {
		if !errors.Is(err, m.failing) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a := m.accounts["ann"]; len(m.accounts) != 1 || a.Version != 1 || len(m.sessions) != 0 {
		t.Errorf("done without being written down: %+v", m)
	}
}

func TestAuditVerify(t *testing.T) {
	fresh := func(t *testing.T) (*People, *memory, []Anchor) {
		p, m, at := crowd(t)
		m.audit = nil
		var anchors []Anchor
		for i := range 5 {
			*at = at.Add(time.Second + 7*time.Nanosecond)
			a, err := p.Record(t.Context(), Entry{Account: "ann", Action: "clear", Object: "ListFindings", Authority: "case 2026-114", Detail: fmt.Sprint("\"\x00\xff<>", i)})
			if err != nil {
				t.Fatal(err)
			}
			anchors = append(anchors, a)
		}
		return p, m, anchors
	}
	p, _, anchors := fresh(t)
	head, err := p.Verify(t.Context(), anchors...)
	if err != nil || head != anchors[4] {
		t.Fatalf("%v, %v", head, err)
	}
	if got, err := ParseAnchor(head.String()); err != nil || got != head {
		t.Errorf("%v, %v", got, err)
	}
	list, err := p.Log(t.Context(), 2, 2)
	if err != nil || len(list) != 2 || list[0].Sequence != 2 || list[0].Authority != "case 2026-114" {
		t.Errorf("%+v, %v", list, err)
	}

	rewrite := func(m *memory, from int) {
		// Whoever can write the store can make a chain that holds.
		for i := from; i < len(m.audit); i++ {
			e, _ := readEntry(m.audit[i].Body)
			e.Account = "nobody"
			m.audit[i].Body, _ = json.Marshal(e)
			m.audit[i].Account = "nobody"
			if i > 0 {
				m.audit[i].Previous = m.audit[i-1].Hash
			}
			m.audit[i].Hash = chained(m.audit[i].Previous, m.audit[i].Body)
		}
	}
	tests := map[string]struct {
		spoil   func(*memory)
		anchors func([]Anchor) []Anchor
		at      uint64 // 0: not to be seen
	}{
		"text":               {spoil: func(m *memory) { m.audit[2].Body[20] ^= 1 }, at: 3},
		"column":             {spoil: func(m *memory) { m.audit[2].Account = "bob" }, at: 3},
		"action":             {spoil: func(m *memory) { m.audit[2].Action = "login" }, at: 3},
		"time":               {spoil: func(m *memory) { m.audit[2].At = m.audit[2].At.Add(1000) }, at: 3},
		"hash":               {spoil: func(m *memory) { m.audit[4].Hash[0] ^= 1 }, at: 5},
		"first previous":     {spoil: func(m *memory) { m.audit[0].Previous[0] ^= 1 }, at: 1},
		"one taken out":      {spoil: func(m *memory) { m.audit = append(m.audit[:2:2], m.audit[3:]...) }, at: 3},
		"two changed places": {spoil: func(m *memory) { m.audit[1], m.audit[2] = m.audit[2], m.audit[1] }, at: 2},
		"first taken out":    {spoil: func(m *memory) { m.audit = m.audit[1:] }, at: 1},
		"cut, no anchor":     {spoil: func(m *memory) { m.audit = m.audit[:3] }},
		"cut, anchor":        {spoil: func(m *memory) { m.audit = m.audit[:3] }, anchors: func(a []Anchor) []Anchor { return a[4:] }, at: 4},
		"rewritten":          {spoil: func(m *memory) { rewrite(m, 1) }},
		"rewritten, anchor":  {spoil: func(m *memory) { rewrite(m, 1) }, anchors: func(a []Anchor) []Anchor { return a[1:2] }, at: 2},
		"rewritten behind":   {spoil: func(m *memory) { rewrite(m, 3) }, anchors: func(a []Anchor) []Anchor { return a[:2] }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, m, anchors := fresh(t)
			test.spoil(m)
			var want []Anchor
			if test.anchors != nil {
				want = test.anchors(anchors)
			}
			_, err := p.Verify(t.Context(), want...)
			var broken *AuditBroken
			switch {
			case test.at == 0 && err != nil:
				t.Errorf("%v, though nothing tells", err)
			case test.at != 0 && (!errors.As(err, &broken) || broken.Sequence != test.at):
				t.Errorf("%v, want it broken at %d", err, test.at)
			}
		})
	}
	for _, bad := range []string{"", "1", "1:", "0:" + strings.Repeat("0", 64), "x:" + strings.Repeat("0", 64), "1:" + strings.Repeat("0", 62)} {
		if _, err := ParseAnchor(bad); err == nil {
			t.Errorf("anchor %q is taken", bad)
		}
	}
}

func TestAuditBounds(t *testing.T) {
	p, m, _ := crowd(t)
	if _, err := p.Record(t.Context(), Entry{Account: "ann", Action: "clear", Detail: strings.Repeat("\u00e9", maxDetail)}); err != nil {
		t.Fatal(err)
	}
	if n := len(m.audit[len(m.audit)-1].Body); n > 64<<10 {
		t.Errorf("an entry of %d bytes", n)
	}
	if _, err := p.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := p.Record(t.Context(), Entry{Account: "ann", Action: "clear", Detail: strings.Repeat("<", maxDetail)}); err != nil {
		t.Fatal(err)
	}
	if n := len(m.audit[len(m.audit)-1].Body); n > 64<<10 {
		t.Errorf("an entry of %d bytes: the store refuses it", n)
	}
	if _, err := p.Record(t.Context(), Entry{Action: "clear"}); err == nil {
		t.Error("nobody did it")
	}
}

func TestHTTP(t *testing.T) {
	p, _, _ := crowd(t)
	who := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if x, ok := FromContext(r.Context()); ok {
			fmt.Fprint(w, x.Account, " ", x.Role)
		} else {
			fmt.Fprint(w, "nobody")
		}
	}))
	ask := func(h http.Handler, method, body string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const kind, jsonType = "Content-Type", "application/json"
	login := p.LoginHandler()
	w := ask(login, "POST", `{"account":"ann","password":"`+password+`"}`, kind, jsonType)
	var got struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := ask(who, "GET", "", "Authorization", "Bearer "+got.Token); w.Body.String() != "ann analyst" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(who, "GET", ""); w.Code != http.StatusUnauthorized || w.Body.String() == "nobody" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(who, "GET", "", "Authorization", "Bearer nonsense"); w.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for name, test := range map[string]struct {
		method, body, kind string
		want               int
	}{
		"wrong password": {"POST", `{"account":"ann","password":"wrong"}`, jsonType, 401},
		"a form":         {"POST", "account=ann", "application/x-www-form-urlencoded", 415},
		"no JSON":        {"POST", "ann", jsonType, 400},
		"another field":  {"POST", `{"account":"ann","password":"x","role":"admin"}`, jsonType, 400},
		"large":          {"POST", `{"account":"` + strings.Repeat("a", maxLogin) + `"}`, jsonType, 400},
		"GET":            {"GET", "", jsonType, 405},
		"no token":       {"DELETE", "", jsonType, 401},
	} {
		if w := ask(login, test.method, test.body, kind, test.kind); w.Code != test.want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := ask(login, "DELETE", "", "Authorization", "Bearer "+got.Token); w.Code != http.StatusNoContent {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(who, "GET", "", "Authorization", "Bearer "+got.Token); w.Code != http.StatusUnauthorized {
		t.Errorf("after the logout: %d %s", w.Code, w.Body)
	}
	for i := range addressFailures {
		p.throttle.take(fmt.Sprint("x", i), netip.MustParseAddr("192.0.2.1"))
	}
	if w := ask(login, "POST", `{"account":"bob","password":"`+password+`"}`, kind, jsonType); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("throttled: %d %s", w.Code, w.Body)
	}
}
