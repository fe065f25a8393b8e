package sip

import "testing"

func TestHolds(t *testing.T) {
	const answered = `
		1    A>B INVITE     sdp=10.0.0.1:4000
		1000 B>A 200/INVITE tt=t sdp=10.0.0.2:5000
		1050 A>B ACK        tt=t br=b2
		`
	for _, c := range []struct {
		name, script string
		holds        [2]uint16 // by caller and callee
		port         uint16    // where the caller listens in the end
	}{
		{"none", "", [2]uint16{}, 4000},
		{"hold and back, twice", `
			2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4000 more=a=sendonly
			2010 B>A 200/INVITE tt=t br=b3 cseq=2 sdp=10.0.0.2:5000 more=a=recvonly
			3000 A>B INVITE     tt=t br=b4 cseq=3 sdp=10.0.0.1:4000
			3010 B>A 200/INVITE tt=t br=b4 cseq=3 sdp=10.0.0.2:5000
			4000 A>B UPDATE     tt=t br=b5 cseq=4 sdp=10.0.0.1:4000 more=a=inactive
			4010 B>A 200/UPDATE tt=t br=b5 cseq=4 sdp=10.0.0.2:5000 more=a=inactive`, [2]uint16{2}, 4000},
		{"by the callee, of old", `
			2000 B>A INVITE     ft=t tt=f br=b3 cseq=9 sdp=0.0.0.0:5000
			2010 A>B 200/INVITE ft=t tt=f br=b3 cseq=9 sdp=10.0.0.1:4000`, [2]uint16{0, 1}, 4000},
		{"both ends", `
			2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4000 more=a=sendonly
			2010 B>A 200/INVITE tt=t br=b3 cseq=2 sdp=10.0.0.2:5000 more=a=recvonly
			3000 B>A INVITE     ft=t tt=f br=b4 cseq=9 sdp=10.0.0.2:5000 more=a=inactive
			3010 A>B 200/INVITE ft=t tt=f br=b4 cseq=9 sdp=10.0.0.1:4000 more=a=inactive`, [2]uint16{1, 1}, 4000},
		{"repeated", `
			2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4000 more=a=sendonly
			2500 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4000 more=a=sendonly
			2510 B>A 200/INVITE tt=t br=b3 cseq=2 sdp=10.0.0.2:5000 more=a=recvonly
			3000 A>B INVITE     tt=t br=b4 cseq=3 sdp=10.0.0.1:4000 more=a=sendonly
			3010 B>A 200/INVITE tt=t br=b4 cseq=3 sdp=10.0.0.2:5000 more=a=recvonly`, [2]uint16{1}, 4000},
		{"refused", `
			2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4444 more=a=sendonly
			2010 B>A 488/INVITE tt=t br=b3 cseq=2
			2020 A>B ACK        tt=t br=b3 cseq=2`, [2]uint16{}, 4000},
		{"glare, then again", `
			2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4000 more=a=sendonly
			2001 B>A INVITE     ft=t tt=f br=b4 cseq=2 sdp=10.0.0.2:5000 more=a=sendonly
			2010 B>A 491/INVITE tt=t br=b3 cseq=2
			2011 A>B 491/INVITE ft=t tt=f br=b4 cseq=2
			4000 A>B INVITE     tt=t br=b5 cseq=3 sdp=10.0.0.1:4000 more=a=sendonly
			4010 B>A 200/INVITE tt=t br=b5 cseq=3 sdp=10.0.0.2:5000 more=a=recvonly`, [2]uint16{1}, 4000},
		{"challenged, then again", `
			2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4000 more=a=sendonly
			2010 B>A 407/INVITE tt=t br=b3 cseq=2
			2020 A>B INVITE     tt=t br=b5 cseq=3 sdp=10.0.0.1:4000 more=a=sendonly
			2030 B>A 200/INVITE tt=t br=b5 cseq=3 sdp=10.0.0.2:5000`, [2]uint16{1}, 4000},
		{"the offer in the answer to a bare re-INVITE", `
			2000 A>B INVITE     tt=t br=b3 cseq=2
			2010 B>A 200/INVITE tt=t br=b3 cseq=2 sdp=10.0.0.2:5000 more=a=sendonly
			2020 A>B ACK        tt=t br=b4 cseq=2 sdp=10.0.0.1:4000 more=a=recvonly`, [2]uint16{0, 1}, 4000},
		{"a refresh of the session", `
			2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4000
			2010 B>A 200/INVITE tt=t br=b3 cseq=2 sdp=10.0.0.2:5000
			3000 A>B UPDATE     tt=t br=b4 cseq=3
			3010 B>A 200/UPDATE tt=t br=b4 cseq=3`, [2]uint16{}, 4000},
		{"an answer that only listens, and one that only sends", `
			2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4000
			2010 B>A 200/INVITE tt=t br=b3 cseq=2 sdp=10.0.0.2:5000 more=a=sendonly
			3000 A>B INVITE     tt=t br=b4 cseq=3 sdp=10.0.0.1:4000
			3010 B>A 200/INVITE tt=t br=b4 cseq=3 sdp=10.0.0.2:5000 more=a=recvonly`, [2]uint16{}, 4000},
		{"candidates tell the address", `
			2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=0.0.0.0:9 more=a=ice-ufrag:x
			2010 B>A 200/INVITE tt=t br=b3 cseq=2 sdp=10.0.0.2:5000`, [2]uint16{}, 9},
		{"the media moves", `
			2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4002
			2010 B>A 200/INVITE tt=t br=b3 cseq=2 sdp=10.0.0.2:5000`, [2]uint16{}, 4002},
		{"an offer under a made-up tag", `
			2000 A>B INVITE     tt=x br=b3 cseq=2 sdp=10.9.9.9:4002
			2010 B>A 481/INVITE tt=x br=b3 cseq=2
			2020 A>B ACK        tt=x br=b3 cseq=2`, [2]uint16{}, 4000},
		{"the first of two lines is refused", `
			2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:0 more=m=audio_4100_RTP/SAVP_8|m=application_9_x
			2010 B>A 200/INVITE tt=t br=b3 cseq=2 sdp=10.0.0.2:5000`, [2]uint16{}, 4100},
		{"a refused offer moves nothing", `
			2000 A>B UPDATE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4002
			2010 B>A 504/UPDATE tt=t br=b3 cseq=2`, [2]uint16{}, 4000},
	} {
		r, tr := play(t, Config{}, answered+c.script)
		tr.Flush()
		got := r.calls[1]
		if got.HoldsBy != c.holds || got.Holds != c.holds[0]+c.holds[1] || got.CallerMedia.Port != c.port || got.CallerMedia.Addr != addr("10.0.0.1") || got.CalleeMedia.Addr != addr("10.0.0.2") {
			t.Errorf("%s: %d holds, media at %v:%d and %v, want %d holds, port %d", c.name, got.HoldsBy, got.CallerMedia.Addr, got.CallerMedia.Port, got.CalleeMedia.Addr, c.holds, c.port)
		}
	}
	// What a call begins with is no hold: somebody connects two others.
	r, tr := play(t, Config{}, `
		1    A>B INVITE     sdp=0.0.0.0:4000
		1000 B>A 200/INVITE tt=t sdp=10.0.0.2:5000
		1050 A>B ACK        tt=t br=b2
		2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4000
		2010 B>A 200/INVITE tt=t br=b3 cseq=2 sdp=10.0.0.2:5000`)
	tr.Flush()
	if c := r.calls[1]; c.Holds != 0 || c.CallerMedia.Addr != addr("10.0.0.1") {
		t.Errorf("%d holds, media at %v", c.Holds, c.CallerMedia.Addr)
	}
}

// A gateway that knows no T.38 refuses it, and the voice goes on.
func TestFaxRefused(t *testing.T) {
	const call = `
		1    A>B INVITE     sdp=10.0.0.1:4000
		1000 B>A 200/INVITE tt=t sdp=10.0.0.2:5000
		2000 B>A INVITE     ft=t tt=f br=b3 cseq=2 sdp=10.0.0.2:0 more=m=image_5004_udptl_t38
		`
	for script, want := range map[string][2]uint16{
		"2100 A>B 488/INVITE ft=t tt=f br=b3 cseq=2":                                            {0, 5000},
		"2100 A>B 200/INVITE ft=t tt=f br=b3 cseq=2 sdp=10.0.0.1:0 more=m=image_4004_udptl_t38": {5004, 0},
	} {
		r, tr := play(t, Config{}, call+script)
		tr.Flush()
		if c := r.calls[1]; c.Fax[1].Port != want[0] || c.CalleeMedia.Port != want[1] || c.Holds != 0 {
			t.Errorf("%s: fax at %d, voice at %d, %d holds", script, c.Fax[1].Port, c.CalleeMedia.Port, c.Holds)
		}
	}
}

func TestForks(t *testing.T) {
	for _, c := range []struct {
		name, script string
		forks        uint8
	}{
		{"one dialog", "2 B>A 180/INVITE tt=t\n 3 B>A 183/INVITE tt=t\n 4 B>A 200/INVITE tt=t", 0},
		{"three", "2 B>A 180/INVITE tt=t\n 3 B>A 180/INVITE tt=u\n 4 B>A 200/INVITE tt=v", 2},
		{"two answers", "2 B>A 200/INVITE tt=t\n 3 B>A 200/INVITE tt=u", 1},
		{"a refused branch opens none", "2 B>A 180/INVITE tt=t\n 3 B>A 486/INVITE tt=u", 0},
		{"a challenge opens none", "2 B>A 407/INVITE tt=x\n 3 A>B ACK tt=x\n 4 A>B INVITE br=b2 cseq=2\n 5 B>A 200/INVITE tt=t br=b2 cseq=2", 0},
		{"nor does 100", "2 B>A 100/INVITE\n 3 B>A 180/INVITE tt=t", 0},
		{"a made-up branch", "2 B>A 180/INVITE tt=t\n 3 B>A 180/INVITE tt=u br=other", 0},
		{"again with credentials", "2 B>A 180/INVITE tt=t\n 3 B>A 407/INVITE tt=x\n 4 A>B INVITE br=b2 cseq=2\n 5 B>A 200/INVITE tt=u br=b2 cseq=2", 0},
		{"many", "2 B>A 180/INVITE tt=a\n 3 B>A 180/INVITE tt=b\n 4 B>A 180/INVITE tt=c\n 5 B>A 180/INVITE tt=d\n 6 B>A 180/INVITE tt=e\n 7 B>A 200/INVITE tt=g", 4},
	} {
		r, tr := play(t, Config{}, "1 A>B INVITE\n"+c.script)
		tr.Flush()
		if got := r.calls[1].Forks; len(r.calls) != 1 || got != c.forks {
			t.Errorf("%s: %d forks in %d calls, want %d", c.name, got, len(r.calls), c.forks)
		}
	}
}

func TestCallContentAndTimer(t *testing.T) {
	r, tr := play(t, Config{}, `
		1    A>B INVITE      sdp=10.0.0.1:4000 head=Session-Expires:_1800;refresher=uas
		10   B>A 422/INVITE  tt=x head=Session-Expires:_7
		20   A>B INVITE      cseq=2 br=b2 sdp=10.0.0.1:4000 head=x:3600
		100  B>A 200/INVITE  cseq=2 br=b2 tt=t sdp=10.0.0.2:5000 head=Session-Expires:_900;refresher=uas
		200  A>B INFO        cseq=3 br=b3 tt=t type=application/dtmf-relay body=Signal=1
		210  A>B MESSAGE     cseq=4 br=b4 tt=t type=text/plain body=x`)
	tr.Flush()
	if c := r.calls[1]; c.Timer != 900 || c.Content != ContentSDP || c.Video {
		t.Errorf("timer %d, content %d, video %v", c.Timer, c.Content, c.Video)
	}
	if len(r.asked) != 0 {
		t.Errorf("%d requests told of inside a call", len(r.asked))
	}
	r, tr = play(t, Config{}, `
		1    A>B INVITE     type=application/isup body=x
		100  B>A 200/INVITE tt=t sdp=10.0.0.2:5000 more=m=video_5002_RTP/AVP_96
		110  A>B ACK        tt=t br=b2 sdp=10.0.0.1:4000 more=m=video_4002_RTP/AVP_96
		200  A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:0 more=m=image_4004_udptl_t38
		210  B>A 200/INVITE tt=t br=b3 cseq=2 sdp=10.0.0.2:0 more=m=image_5004_udptl_t38`)
	tr.Flush()
	// The change to fax is no end of the voice that was told.
	if c := r.calls[1]; c.Content != ContentOther || !c.Video {
		t.Errorf("content %d, video %v", c.Content, c.Video)
	}
	r, tr = play(t, Config{}, `
		1    A>B INVITE     sdp=10.0.0.1:4000 more=m=video_4002_RTP/AVP_96
		100  B>A 200/INVITE tt=t sdp=10.0.0.2:5000 more=m=video_0_RTP/AVP_96`)
	tr.Flush()
	if c := r.calls[1]; c.Video {
		t.Error("video that was refused")
	}
	r, tr = play(t, Config{}, `
		1    A>B INVITE     uri=34020000001320000001 type=APPLICATION/SDP body=v=0|o=34020000002000000001_0_0_IN_IP4_10.0.0.1|s=Play|c=IN_IP4_10.0.0.1|t=0_0|m=video_6000_RTP/AVP_96|y=0100000001
		100  B>A 200/INVITE tt=t type=application/sdp body=v=0|o=-_0_0_IN_IP4_10.0.0.2|s=x|c=IN_IP4_10.0.0.2|t=0_0|m=video_7000_RTP/AVP_96`)
	tr.Flush()
	if c := r.calls[1]; c.Content != ContentMANSCDP || !c.Video {
		t.Errorf("a camera's stream: content %d, video %v", c.Content, c.Video)
	}
}
