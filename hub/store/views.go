package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// View is a list that somebody looks at again and again.
type View struct {
	Account string
	Name    string // 1 to 80 bytes
	Query   string // of its address, at most 4,096 bytes
	Made    time.Time
}

// Bounds of views.
const (
	maxViews     = 50 // of one account
	maxViewName  = 80
	maxViewQuery = 4096
)

// SaveView keeps one, in the place of another of its name. ErrFull: the account has
// 50 already.
func (s *Store) SaveView(ctx context.Context, v View) error {
	if v.Account == "" || len(v.Account) > maxText || !plain(v.Account) || v.Name == "" || len(v.Name) > maxViewName || !plain(v.Name) || len(v.Query) > maxViewQuery || !plain(v.Query) {
		return fmt.Errorf("%w: a view", ErrInvalid)
	}
	return s.within(ctx, func(t *tx) error {
		// Whoever else saves one waits, and counts this.
		if err := one(ctx, t, []any{new(int64)}, "SELECT version FROM account WHERE name = ?"+t.forUpdate(), v.Account); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "DELETE FROM saved_view WHERE account = ? AND name = ?", v.Account, v.Name); err != nil {
			return err
		}
		var have int
		if err := one(ctx, t, []any{&have}, "SELECT count(*) FROM saved_view WHERE account = ?", v.Account); err != nil {
			return err
		}
		if have >= maxViews {
			return ErrFull
		}
		_, err := t.exec(ctx, "INSERT INTO saved_view (account, name, query, made) VALUES (?, ?, ?, ?)", v.Account, v.Name, v.Query, nanosOf(v.Made))
		return err
	})
}

// DropView forgets one, if there is such a one.
func (s *Store) DropView(ctx context.Context, account, name string) error {
	return s.within(ctx, func(t *tx) error {
		_, err := t.exec(ctx, "DELETE FROM saved_view WHERE account = ? AND name = ?", account, clean(name, maxViewName))
		return err
	})
}

// Views gives those of an account, by name.
func (s *Store) Views(ctx context.Context, account string) ([]View, error) {
	var vs []View
	err := each(ctx, s.db, func(r *sql.Rows) error {
		v := View{Account: account}
		var made int64
		if err := r.Scan(&v.Name, &v.Query, &made); err != nil {
			return err
		}
		v.Made = moment(made)
		vs = append(vs, v)
		return nil
	}, "SELECT name, query, made FROM saved_view WHERE account = ? ORDER BY name", clean(account, maxText))
	return vs, err
}

// Stand is a mark of each kind of row that changes with what people are shown of it.
// It is cheap to ask for: of findings it rests on what sensors' rows count.
type Stand struct {
	Findings, Sensors, Rings, Cases, Policy string
}

// Stand gives the present one.
func (s *Store) Stand(ctx context.Context) (Stand, error) {
	var st Stand
	for _, ask := range []struct {
		to *string
		q  string
	}{
		{&st.Findings, "SELECT CAST(coalesce(sum(n_watch), 0) AS BIGINT), CAST(coalesce(sum(n_review), 0) AS BIGINT), CAST(coalesce(sum(n_case), 0) AS BIGINT) FROM sensor"},
		{&st.Sensors, "SELECT count(*), coalesce(max(last_report), 0), CAST(coalesce(sum(missing), 0) AS BIGINT) FROM sensor"},
		{&st.Rings, "SELECT count(*), CAST(coalesce(sum(lines), 0) AS BIGINT), coalesce(max(last_seen), 0) FROM ring"},
		{&st.Cases, "SELECT count(*), CAST(coalesce(sum(version), 0) AS BIGINT), CAST(coalesce(sum(state), 0) AS BIGINT) FROM casefile"},
		{&st.Policy, "SELECT count(*), coalesce(max(version), 0), 0 FROM policy"},
	} {
		var a, b, c int64
		if err := one(ctx, s.db, []any{&a, &b, &c}, ask.q); err != nil {
			return Stand{}, err
		}
		*ask.to = fmt.Sprint(a, " ", b, " ", c)
	}
	return st, nil
}
