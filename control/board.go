package control

import "bytes"

// The two-slot board: a small computer with two radio modules that relays calls
// and messages of two cards for a program elsewhere. The program asks
//
//	GET /ctrl?token=<32 or 64 hex>&cmd=teldial&p1=<slot>&p2=…
//
// or, over a TCP connection that the board keeps open, sends JSON with the same
// fields; JSON ends with the bytes 11 12. The board answers with a code and
// pushes messages of numeric types: 998 every ten seconds or more, 5xx about
// messages, 6xx about calls.
//
// People buy these boards to have the messages of two cards forwarded to them,
// which is nobody's business. So nothing about them is ever sound: a mark says
// that there is one and whether calls are made with it by remote command.

type boardCommand uint8

const (
	boardNone    boardCommand = iota
	boardManage               // state, settings
	boardMessage              // sends a message
	boardCall                 // dials, answers, hangs up, forwards
)

func boardCommandOf(b []byte) boardCommand {
	switch string(b) {
	case "sendsms", "smssend":
		return boardMessage
	case "teldial", "telanswer", "telhangup", "teltts", "simcfu", "asksimcfu", "telkeypress":
		return boardCall
	case "stat", "ping", "restart", "pingsec", "addwf", "delwf", "clrwf", "slotrst", "slotoff", "sloton", "now", "ota":
		return boardManage
	}
	return boardNone
}

// boardQuery reads the name of the command out of a query, if the query is one
// of a board: a token of hexadecimal digits and a command that is known.
func boardQuery(q []byte) boardCommand {
	command, token := boardNone, false
	for i := 0; i < 16 && len(q) > 0; i++ {
		var f []byte
		f, q, _ = bytes.Cut(q, []byte{'&'})
		switch {
		case bytes.HasPrefix(f, []byte("token=")):
			token = boardToken(f[6:])
		case bytes.HasPrefix(f, []byte("cmd=")):
			command = boardCommandOf(f[4:])
		}
		if token && command != boardNone {
			return command
		}
	}
	return boardNone
}

func boardToken(b []byte) bool {
	if len(b) != 32 && len(b) != 64 {
		return false
	}
	for _, c := range b {
		if _, ok := hexDigit(c); !ok {
			return false
		}
	}
	return true
}
