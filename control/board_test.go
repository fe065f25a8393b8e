package control

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const boardTokenHex = "3f4bffa77257d243875d0a5a80635934"

func boardGet(query string) []byte {
	return fmt.Appendf(nil, "GET /ctrl?%s HTTP/1.1\r\nHost: 203.0.113.7:38585\r\n\r\n", query)
}

func TestTwoSlotBoard(t *testing.T) {
	const end = "\x11\x12"
	mark := func(c boardCommand) string { return "two-slot-board gateway " + c.detail() }
	ping := `{"devId":"498060912345","type":998,"netCh":0,"cnt":7}` + end
	for name, c := range map[string]struct {
		turns []turn
		want  []string
	}{
		"dials":    {[]turn{{false, boardGet("token=" + boardTokenHex + "&cmd=teldial&p1=2&p2=10086")}, {true, httpOK(`{"code":0}`)}}, []string{mark(boardCall)}},
		"sends":    {[]turn{{false, boardGet("token=" + boardTokenHex + "&cmd=sendsms&tid=1&p1=2&p2=10001&p3=" + smsText)}, {true, httpOK("{\n  \"code\": 0\n}\n")}}, []string{mark(boardMessage)}},
		"asked":    {[]turn{{false, boardGet("cmd=stat&token=" + boardTokenHex + boardTokenHex)}, {true, httpOK(`{"code":0,"type":999}`)}}, []string{mark(boardManage)}},
		"pings":    {[]turn{{true, []byte(ping)}, {false, []byte(`{"cmd":"stat", "tid":"1234"}` + end)}, {true, []byte(ping)}}, []string{mark(boardNone), mark(boardManage)}},
		"by TCP":   {[]turn{{false, []byte(`{"cmd":"teldial", "p1":2, "p2":"10086", "tid":"1"}` + end)}, {true, []byte(ping)}}, []string{mark(boardCall)}},
		"as first": {[]turn{{true, []byte(`{"type": 998, "devId": "498060912345", "cnt": 7}` + end)}, {false, []byte(`{"cmd":"now"}` + end)}}, []string{mark(boardNone)}},

		"a token too short":       {[]turn{{false, boardGet("token=3f4b&cmd=teldial")}, {true, httpOK(`{"code":0}`)}}, nil},
		"no hexadecimal token":    {[]turn{{false, boardGet("token=" + boardTokenHex[1:] + "x&cmd=teldial")}, {true, httpOK(`{"code":0}`)}}, nil},
		"no token":                {[]turn{{false, boardGet("cmd=teldial")}, {true, httpOK(`{"code":0}`)}}, nil},
		"a command of others":     {[]turn{{false, boardGet("token=" + boardTokenHex + "&cmd=reboot_tv")}, {true, httpOK(`{"code":0}`)}}, nil},
		"no code":                 {[]turn{{false, boardGet("token=" + boardTokenHex + "&cmd=teldial")}, {true, httpOK(`{"ok":true}`)}}, nil},
		"a page":                  {[]turn{{false, boardGet("token=" + boardTokenHex + "&cmd=teldial")}, {true, httpOK(`<html>`)}}, nil},
		"not found":               {[]turn{{false, boardGet("token=" + boardTokenHex + "&cmd=teldial")}, {true, []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\n{\"code\":0}")}}, nil},
		"JSON by TCP, no end":     {[]turn{{true, []byte(`{"devId":"498060912345","type":998}`)}, {false, []byte(`{"cmd":"now"}`)}}, nil},
		"JSON by TCP, no board":   {[]turn{{true, []byte(`{"devId":"498060912345","kind":998}` + end)}, {false, []byte(`{"cmd":"now"}` + end)}}, nil},
		"nobody speaks with it":   {[]turn{{true, []byte(ping)}, {true, []byte(ping)}}, nil},
		"a thermometer's message": {[]turn{{true, []byte(`{"type":"temp","devId":"498060912345"}` + end)}, {false, []byte("ok")}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1 << 20, 61, 1} {
				x := converse(t, size, c.turns...)
				var got []string
				for i := range x.records {
					r := &x.records[i]
					if r.Kind != Mark || r.Sound || r.Src != gateway {
						t.Errorf("%+v", r)
					}
					got = append(got, fmt.Sprintf("%s %v %s", r.Protocol, r.Sender, r.Detail))
				}
				if d := cmp.Diff(c.want, got); d != "" {
					t.Errorf("in pieces of %d: %s", size, d)
				}
			}
		})
	}
	// A year of calls by remote command proves nothing.
	x := newTalk(t)
	for i := range 100 {
		w := way{server, gateway, uint16(50000 + i), 38585, 6}
		x.tcp(w, int64(i)*60*second, boardGet("token="+boardTokenHex+"&cmd=teldial&p1=2&p2=10086"))
		x.tcp(w.back(), int64(i)*60*second+1e6, httpOK(`{"code":0}`))
	}
	e := x.about(gateway, TwoSlotBoard)
	if e == nil || e.Marks != 100 {
		t.Fatalf("%+v", e)
	}
	if proof, _, _ := e.Proof(); proof {
		t.Error("marks prove something")
	}
}

func FuzzTwoSlotBoard(f *testing.F) {
	f.Add([]byte(`{"devId":"498060912345","type":998,"netCh":0,"cnt":7}`+"\x11\x12"), uint8(5))
	f.Add([]byte(`{"cmd":"teldial", "p1":2, "p2":"10086", "tid":"1"}`+"\x11\x12"), uint8(5))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		a, c := &boardStream{}, &boardStream{}
		a.pair(&boardStream{})
		c.pair(&boardStream{})
		pieces(t, a, c, b, int(size))
	})
}
