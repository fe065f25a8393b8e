package control

import "testing"

// Whatever two ends say to each other, and in whatever pieces: no more is held
// than may be, nothing when both are closed, no mark is sound, and nothing of a
// connection that was read from its middle.
func FuzzTalk(f *testing.F) {
	simbank, _ := simbankStream()
	for _, c := range [][2][]byte{
		{httpPost(twoPorts(1)), httpOK(`{"code":200}`)},
		{httpOK(twoPorts(1)), []byte(ejoinPull)},
		{[]byte(amiHello + amiList + amiEvt), []byte(amiLogin + amiShow)},
		{modemToCard(77, 3, unhexed(f, selectIMSI)), cardToModem(78, 3, unhexed(f, "9f0f"))},
		{smppSubmitTo(2, "8613800138000"), smppBind("goip07")},
		{[]byte(`{"devId":"498060912345","type":998}` + "\x11\x12"), []byte(`{"cmd":"teldial"}` + "\x11\x12")},
		{[]byte(dinstarShell), []byte("admin\r\n")},
		{simbank, simbank},
	} {
		f.Add(c[0], c[1], uint8(20), uint8(0))
		f.Add(c[0], c[1], uint8(255), uint8(7))
	}
	f.Fuzz(func(t *testing.T, up1, down []byte, size, mode uint8) {
		set, sessions := New(), NewSessions(Limits{})
		origin := [...]Origin{Origin(mode % 3), Origin(mode / 3 % 3)}
		text := [...][]byte{up1, down}
		var st [2]*Stream
		record := func(r *Record) {
			if r.Kind == Mark && r.Sound || r.Sound && (origin[0] == OriginMiddle && st[0] != nil || origin[1] == OriginMiddle && st[1] != nil) {
				t.Fatalf("%+v", r)
			}
			sessions.Record(r)
		}
		for at := int64(0); len(text[0])+len(text[1]) > 0; at += second {
			d := int(at/second) % 2
			n := min(int(size)+1, len(text[d]))
			if n == 0 {
				continue
			}
			if st[d] == nil {
				st[d] = set.NewStream(st[1-d])
				st[d].Began(origin[d])
			}
			w := up(40000).tcp()
			if d == 1 {
				w = w.back()
			}
			st[d].Push(w.packet(at, text[d][:n]), record)
			if text[d] = text[d][n:]; mode&64 != 0 && at%(5*second) == 0 {
				st[d].Gap()
			}
			if set.held < 0 || set.held > maxHeldAll {
				t.Fatalf("%d bytes held", set.held)
			}
		}
		for _, s := range st {
			if s != nil {
				s.Close()
			}
		}
		if set.held != 0 {
			t.Fatalf("%d bytes held after all", set.held)
		}
	})
}
