package sip

import "simtrap/packet"

// request is a Request that stays for a while after its final response so that
// a retransmission of either is known.
type request struct {
	Request
	done bool
}

func (t *Tracker) request(p *packet.Packet, m *Message) {
	if m.Status != 0 && m.Status < 200 {
		return
	}
	key := sequence(t.exchange(p), m)
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
		q.Method, q.From, q.To, q.Realm, q.Time = m.Method, source(p), destination(p), p.Realm, t.now
		if m.Status != 0 {
			q.From, q.To = q.To, q.From
		}
		if m.Method == MESSAGE {
			_, q.TargetKey, q.TargetClass = t.called(m, q.To.Addr, p.Realm)
		}
	}
	q := t.requests.at(i)
	q.Doubtful = q.Doubtful || p.Doubtful
	if m.Status == 0 {
		q.Seen |= SeenRequest
		if q.Package == PackageNone {
			q.Package = packageOf(m)
		}
		if q.Content == ContentNone {
			q.Content = m.Kind()
		}
		return
	}
	if q.done {
		return
	}
	q.Seen |= SeenResponse
	q.Status, q.done = m.Status, true
	t.requests.touch(i, gradeDone, t.now+linger)
	t.h.Request(&q.Request)
}

func (t *Tracker) requestExpired(i int32) {
	if q := t.requests.at(i); !q.done {
		t.h.Request(&q.Request)
	}
	t.requests.remove(i)
}
