package lab

import (
	"crypto/rc4"
	"fmt"
	"math/rand/v2"
	"time"
)

// drawKeystream is what a device scrambles each datagram with: RC4 under a
// shared key, started anew each time, or a short key over and over.
func drawKeystream(r *rand.Rand) []byte {
	stream := make([]byte, 2048)
	key := make([]byte, 5+r.IntN(12))
	for i := range key {
		key[i] = byte('!' + r.IntN(94))
	}
	if r.IntN(2) == 0 {
		for i := range stream {
			stream[i] = key[i%len(key)]
		}
		return stream
	}
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic(err) // the length is a good one
	}
	c.XORKeyStream(stream, stream)
	return stream
}

func scrambled(b, stream []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ stream[i%len(stream)]
	}
	return out
}

// hiddenBox is a gateway that scrambles its SIP and says nothing else.
func hiddenBox(s *sim) {
	n := pick(s.rng("size"), 4, 8, 16, 32)
	l := s.newLine(ClassGateway, fmt.Sprintf("%d-channel gateway, SIP scrambled", n), VerdictNone, VerdictCase)
	b := s.newBox(l, n)
	b.load = drawLoad(l, n)
	b.softswitch(dialVOS("V2.1.8.05"), "registrar")
	stream := drawKeystream(l.rng)
	b.ctrl.keystream = stream
	d := dialDBL()
	for i := range b.channels {
		a := b.account(d, 5060, fmt.Sprint(1001+i))
		a.keystream = stream
		b.channels[i].account = a
		s.register(s.start+int64(i)*int64(220*time.Millisecond), a, b.ctrl, 60*time.Second, false)
	}
	b.start()
	b.boot()
}
