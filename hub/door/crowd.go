package door

import (
	"container/list"
	"context"
	"net"
	"sync"
	"time"
)

// crowd are the connections that are open. Who has shown neither a certificate that
// holds nor a token is a stranger: strangers have a part of the room, each for a
// short time, and one of them makes room for the next, so that however many come,
// sensors and people get through: the first of the place that most of them come from,
// so that nobody clears the room by himself, or where they come from everywhere the
// first of all. Who is known has so many, and a further one ends the first.
type crowd struct {
	most, strangers, each int
	within                time.Duration // that a stranger has to become known
	refuse                func(reason string)

	mu      sync.Mutex
	open    int
	unknown *list.List            // of *visitor, the first at the back
	places  map[string]*list.List // the same, by where they come from
	crowded map[string]bool       // places that a share or more of them come from
	known   map[string]*list.List // of *visitor, by name
}

// share is how many strangers of one place are many: an eighth of all.
func (c *crowd) share() int { return max(1, c.strangers/8) }

func newCrowd(l Limits, within time.Duration, refuse func(string)) *crowd {
	return &crowd{most: l.Connections, strangers: l.Strangers, each: l.Each, within: within, refuse: refuse,
		unknown: list.New(), places: make(map[string]*list.List), crowded: make(map[string]bool), known: make(map[string]*list.List)}
}

// visitor is one connection.
type visitor struct {
	net.Conn
	crowd *crowd
	name  string // empty of a stranger
	from  string // as place counts it
	place *list.Element
	near  *list.Element // among the strangers of the same place
	end   *time.Timer
}

// admit counts a stranger.
func (c *crowd) admit(v *visitor) {
	of := c.places[v.from]
	if of == nil {
		of = list.New()
		c.places[v.from] = of
	}
	v.place, v.near = c.unknown.PushFront(v), of.PushFront(v)
	if of.Len() >= c.share() {
		c.crowded[v.from] = true
	}
}

// dismiss counts a stranger no more.
func (c *crowd) dismiss(v *visitor) {
	of := c.places[v.from]
	c.unknown.Remove(v.place)
	of.Remove(v.near)
	if of.Len() < c.share() {
		delete(c.crowded, v.from)
	}
	if of.Len() == 0 {
		delete(c.places, v.from)
	}
	v.place, v.near = nil, nil
}

// first is the stranger who makes room.
func (c *crowd) first() *visitor {
	of := c.unknown
	most := 0
	for from := range c.crowded { // eight at most
		if x := c.places[from]; x.Len() > most {
			of, most = x, x.Len()
		}
	}
	return of.Back().Value.(*visitor)
}

// enter takes a connection in, or gives nil where there is no room for it.
func (c *crowd) enter(conn net.Conn) *visitor {
	c.mu.Lock()
	var out *visitor
	switch {
	case c.unknown.Len() > 0 && (c.open >= c.most || c.unknown.Len() >= c.strangers):
		out = c.first()
		c.leave(out)
	case c.open >= c.most:
		c.mu.Unlock()
		c.refuse("connections")
		return nil
	}
	v := &visitor{Conn: conn, crowd: c, from: place(conn.RemoteAddr().String())}
	c.admit(v)
	c.open++
	v.end = time.AfterFunc(c.within, v.expire)
	c.mu.Unlock()
	if out != nil {
		c.refuse("strangers")
		out.Conn.Close()
	}
	return v
}

// leave takes a connection out of the count, if it is in.
func (c *crowd) leave(v *visitor) {
	if v.place == nil {
		return
	}
	v.end.Stop()
	if v.name == "" {
		c.dismiss(v)
	} else if of := c.known[v.name]; of.Remove(v.place) != nil && of.Len() == 0 {
		delete(c.known, v.name)
	}
	v.place = nil
	c.open--
}

// expire ends a stranger's connection whose time is over.
func (v *visitor) expire() {
	c := v.crowd
	c.mu.Lock()
	late := v.place != nil && v.name == ""
	if late {
		c.leave(v)
	}
	c.mu.Unlock()
	if late {
		c.refuse("stranger too long")
		v.Conn.Close()
	}
}

// vouch says whose a stranger's connection is.
func (v *visitor) vouch(name string) {
	c := v.crowd
	c.mu.Lock()
	if v.place == nil || v.name != "" {
		c.mu.Unlock()
		return
	}
	v.end.Stop()
	c.dismiss(v)
	of := c.known[name]
	if of == nil {
		of = list.New()
		c.known[name] = of
	}
	v.name, v.place = name, of.PushFront(v)
	var out *visitor
	if of.Len() > c.each {
		out = of.Back().Value.(*visitor)
		c.leave(out)
	}
	c.mu.Unlock()
	if out != nil {
		c.refuse("connections of one")
		out.Conn.Close()
	}
}

// Close implements net.Conn.
func (v *visitor) Close() error {
	v.crowd.mu.Lock()
	v.crowd.leave(v)
	v.crowd.mu.Unlock()
	return v.Conn.Close()
}

func (c *crowd) count() (open, strangers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open, c.unknown.Len()
}

// gate lets connections in.
type gate struct {
	net.Listener
	crowd *crowd
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if v := g.crowd.enter(c); v != nil {
			return v, nil
		}
		c.Close()
	}
}

type visitorKey struct{}

// visiting makes a connection's context tell which it is.
func visiting(ctx context.Context, c net.Conn) context.Context {
	// Of TLS it is the one beneath.
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	if v, ok := c.(*visitor); ok {
		return context.WithValue(ctx, visitorKey{}, v)
	}
	return ctx
}

// Vouch says that whoever asks is known, by a name that tells him from all others:
// his connection is a stranger's no more. For what is answered Beside.
func Vouch(ctx context.Context, name string) {
	if v, ok := ctx.Value(visitorKey{}).(*visitor); ok {
		v.vouch(name)
	}
}
