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
// short time, and the one who came first makes room for the next, so that however
// many come, sensors and people get through. Who is known has so many, and a further
// one ends the first.
type crowd struct {
	most, strangers, each int
	within                time.Duration // that a stranger has to become known
	refuse                func(reason string)

	mu      sync.Mutex
	open    int
	unknown *list.List            // of *visitor, the first at the back
	known   map[string]*list.List // the same, by name
}

func newCrowd(l Limits, within time.Duration, refuse func(string)) *crowd {
	return &crowd{most: l.Connections, strangers: l.Strangers, each: l.Each, within: within, refuse: refuse,
		unknown: list.New(), known: make(map[string]*list.List)}
}

// visitor is one connection.
type visitor struct {
	net.Conn
	crowd *crowd
	name  string // empty of a stranger
	place *list.Element
	end   *time.Timer
}

// enter takes a connection in, or gives nil where there is no room for it.
func (c *crowd) enter(conn net.Conn) *visitor {
	c.mu.Lock()
	var out *visitor
	switch {
	case c.unknown.Len() > 0 && (c.open >= c.most || c.unknown.Len() >= c.strangers):
		out = c.unknown.Back().Value.(*visitor)
		c.leave(out)
	case c.open >= c.most:
		c.mu.Unlock()
		c.refuse("connections")
		return nil
	}
	v := &visitor{Conn: conn, crowd: c}
	v.place = c.unknown.PushFront(v)
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
		c.unknown.Remove(v.place)
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
	c.unknown.Remove(v.place)
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
