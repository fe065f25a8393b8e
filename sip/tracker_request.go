package sip

import (
	"simtrap/ident"
	"simtrap/packet"
)

// request is one request outside calls and registrations. It stays for a while
// after its final response so that a retransmission of either is known.
type request struct {
	from, to Party
	t        int64
	realm    ident.Realm
	method   Method
	done     bool
}

func (t *Tracker) request(p *packet.Packet, m *Message) {
	if m.Status != 0 && m.Status < 200 {
		return
	}
	key := sequence(t.exchange(p, m), m)
	i := t.requests.find(key)
	if i == none {
		if v := t.requests.victim(); v != none {
			if !t.requests.at(v).done {
				t.count.RequestsEvicted++
			}
			t.requests.remove(v)
		}
		i = t.requests.add(key, gradeWeak, t.now+linger)
		q := t.requests.at(i)
		*q = request{from: source(p), to: destination(p), t: t.now, realm: p.Realm, method: m.Method}
		if m.Status != 0 {
			q.from, q.to = q.to, q.from
		}
	}
	q := t.requests.at(i)
	if m.Status == 0 || q.done {
		return
	}
	q.done = true
	t.requests.touch(i, gradeDone, t.now+linger)
	q.tell(t.h, m.Status)
}

func (t *Tracker) requestExpired(i int32) {
	q := *t.requests.at(i)
	t.requests.remove(i)
	if !q.done {
		q.tell(t.h, 0)
	}
}

func (q *request) tell(h Handler, status uint16) {
	h.Request(&Request{Method: q.method, From: q.from, To: q.to, Realm: q.realm, Status: status, Time: q.t})
}
