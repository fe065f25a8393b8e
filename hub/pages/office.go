package pages

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"simtrap/hub/query"
	"simtrap/report/adminpb"
)

// Rows of the pages of the office.
const (
	gatewayRows = 200
	auditRows   = 100
	maxDays     = 3650
)

type gatewaysPage struct {
	Rows        []gatewayRow
	All         int
	Change      bool
	First, Next string
}

type gatewayRow struct {
	query.Gateway
	Ended bool
}

func (p *Pages) gateways(v *visit) error {
	from, err := strconv.Atoi("0" + v.r.URL.Query().Get("from"))
	if err != nil || from > 1_000_000 {
		return errInvalid
	}
	list, all, err := p.o.Query.Gateways(v.ctx, v.authority(), from, gatewayRows)
	if err != nil {
		return err
	}
	m := &gatewaysPage{All: all, Change: admins.met(v.who)}
	for _, g := range list {
		m.Rows = append(m.Rows, gatewayRow{g, g.Expires.Before(p.o.Now())})
	}
	if from > 0 {
		m.First = "/gateways"
	}
	if from+len(list) < all {
		m.Next = "/gateways?from=" + strconv.Itoa(from+len(list))
	}
	return v.render(http.StatusOK, "gateways", "Declared gateways", m)
}

func (p *Pages) declare(v *visit) error {
	form := v.r.PostForm
	days, err := strconv.Atoi(form.Get("days"))
	if err != nil || days < 1 || days > maxDays {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("days: want 1 to 3650"))
	}
	if _, err := p.o.Office.DeclareGateway(v.ctx, connect.NewRequest(&adminpb.DeclareGatewayRequest{
		Line: strings.TrimSpace(form.Get("line")), Reason: strings.TrimSpace(form.Get("reason")), Owner: strings.TrimSpace(form.Get("owner")),
		Life: durationpb.New(time.Duration(days) * 24 * time.Hour),
	})); err != nil {
		return err
	}
	return v.back("/gateways")
}

func (p *Pages) undeclare(v *visit) error {
	line, err := p.o.Query.GatewayLine(v.ctx, v.r.PostForm.Get("id"))
	if err != nil {
		return err
	}
	if line == "" {
		return connect.NewError(connect.CodeNotFound, errors.New("there is none of that id"))
	}
	if _, err := p.o.Office.RemoveGateway(v.ctx, connect.NewRequest(&adminpb.RemoveGatewayRequest{Line: line})); err != nil {
		return err
	}
	return v.back("/gateways")
}

type auditPage struct {
	Rows          []*adminpb.Entry // newest first
	Head          uint64
	Newest, Older string
	Verified      *adminpb.VerifyLogResponse
	Anchor        string
}

// audit gives entries from the newest on; whoever asks for it has the chain followed.
func (p *Pages) audit(v *visit) error {
	q := v.r.URL.Query()
	head, err := p.o.Store.AuditHead(v.ctx)
	if err != nil {
		return v.broken("audit log not read", err)
	}
	m := &auditPage{Head: head.Sequence, Anchor: strings.TrimSpace(q.Get("anchor"))}
	until := head.Sequence + 1
	if text := q.Get("before"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return errInvalid
		}
		if n < until {
			until = max(n, 1)
			m.Newest = "/audit"
		}
	}
	from := uint64(1)
	if until > auditRows+1 {
		from = until - auditRows
		m.Older = "/audit?before=" + strconv.FormatUint(from, 10)
	}
	if until > from {
		list, err := p.o.Office.ListEntries(v.ctx, connect.NewRequest(&adminpb.ListEntriesRequest{From: from, Size: uint32(until - from)}))
		if err != nil {
			return err
		}
		for i := len(list.Msg.GetEntries()) - 1; i >= 0; i-- {
			m.Rows = append(m.Rows, list.Msg.GetEntries()[i])
		}
	}
	if q.Has("verify") {
		var anchors []string
		if m.Anchor != "" {
			anchors = []string{m.Anchor}
		}
		got, err := p.o.Office.VerifyLog(v.ctx, connect.NewRequest(&adminpb.VerifyLogRequest{Anchors: anchors}))
		if err != nil {
			return err
		}
		m.Verified = got.Msg
	}
	return v.render(http.StatusOK, "audit", "Audit log", m)
}
