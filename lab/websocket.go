package lab

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// sendFramed sends a SIP message over WebSocket (RFC 7118), after the handshake
// on a new connection. Some come in two frames, with a ping between them. from
// is 0 for the client, whose frames are masked (RFC 6455 section 5.1).
func (c *conn) sendFramed(t int64, from int, data []byte, r *rand.Rand) int64 {
	if !c.ws {
		c.ws = true
		key := make([]byte, 16)
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		k := base64.StdEncoding.EncodeToString(key)
		sum := sha1.Sum([]byte(k + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		t = c.send(t, 0, fmt.Appendf(nil, "GET /ws HTTP/1.1\r\nHost: %v\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n", c.side[1].f.src.addr, k))
		t = c.send(t, 1, fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: sip\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:])))
	}
	if r.IntN(8) > 0 {
		return c.send(t, from, wsFrame(nil, 0x81, data, from == 0, r))
	}
	half := len(data) / 2
	b := wsFrame(nil, 0x01, data[:half], from == 0, r)
	b = wsFrame(b, 0x89, nil, from == 0, r)
	return c.send(t, from, wsFrame(b, 0x80, data[half:], from == 0, r))
}

// sendSealed sends data in a record of TLS, after the handshake on a new
// connection: nothing of it can be read.
func (c *conn) sendSealed(t int64, from int, data []byte, r *rand.Rand) int64 {
	if !c.sealed {
		c.sealed = true
		t = c.send(t, 0, clientHello(r, fmt.Sprintf("sip%d.example.net", c.side[1].f.src.addr.As16()[15]%50)))
		t = c.send(t, 1, tlsRecord(22, c.s.stuff(r, 2600+r.IntN(1400))))
		t = c.send(t, 0, tlsRecord(20, c.s.stuff(r, 64)))
	}
	return c.send(t, from, tlsRecord(23, c.s.stuff(r, len(data)+24)))
}

// wsFrame appends a frame to b (RFC 6455 section 5.2).
func wsFrame(b []byte, first byte, data []byte, masked bool, r *rand.Rand) []byte {
	var m byte
	if masked {
		m = 0x80
	}
	b = append(b, first)
	switch n := len(data); {
	case n < 126:
		b = append(b, m|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, m|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, m|127), uint64(n))
	}
	if !masked {
		return append(b, data...)
	}
	key := binary.LittleEndian.AppendUint32(nil, r.Uint32())
	b = append(b, key...)
	for i, c := range data {
		b = append(b, c^key[i&3])
	}
	return b
}
