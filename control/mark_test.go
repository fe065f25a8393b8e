package control

import "testing"

func markRecord(w way, at int64, reply bool) *Record {
	r := &Record{Time: start + at, Src: w.src, Dst: w.dst, SrcPort: w.srcPort, DstPort: w.dstPort, TCP: w.proto == 6,
		Protocol: "p", Vendor: "V", Exchange: 7, Digest: uint64(at)<<1 | 1}
	if reply {
		r.Kind, r.Sender, r.Reply = Answer, RoleServer, true
	} else {
		r.Kind, r.Sender, r.Detail = Mark, RoleGateway, "what it is"
	}
	return r
}

// A mark is told of, counts as answered when the peer answers, and never proves
// anything.
func TestMarks(t *testing.T) {
	s := NewSessions(Limits{})
	w := up(1)
	for i := range int64(10) {
		e, _ := s.Record(markRecord(w, 30*i*second, false))
		if e == nil || e.Marks != int(i)+1 || e.MarksAnswered != int(i) || e.Mark != "what it is" {
			t.Fatalf("mark %d: %+v", i, e)
		}
		_, e = s.Record(markRecord(w.back(), 30*i*second+second, true))
		if e == nil || e.MarksAnswered != int(i)+1 || e.FirstMarkAnswered != start {
			t.Fatalf("answer %d: %+v", i, e)
		}
		if proof, oneWay, _ := e.Proof(); proof || oneWay || e.Sound != 0 || e.Answered != 0 {
			t.Fatalf("marks became proof: %+v", e)
		}
	}
	e := s.All()[0]
	e.Reopen()
	if e.Marks != 0 || e.MarksAnswered != 0 || e.Mark != "" {
		t.Errorf("after Reopen: %+v", e)
	}
	// An answer to the old epoch's mark is the old epoch's.
	s.Record(markRecord(w, 1000*second, false))
	e.Reopen()
	s.Record(markRecord(w.back(), 1001*second, true))
	if e.MarksAnswered != 0 {
		t.Errorf("an answer to the epoch before counts: %+v", e)
	}
}

// Marks that nobody answers stay unanswered, and what comes back as it was sent
// is no mark of whoever sends it back.
func TestMarksUnanswered(t *testing.T) {
	s := NewSessions(Limits{})
	w := up(1)
	for i := range int64(5) {
		r := markRecord(w, 30*i*second, false)
		s.Record(r)
		echo := markRecord(w.back(), 30*i*second+1000, false)
		echo.Digest = r.Digest
		if sender, _ := s.Record(echo); sender != nil {
			t.Errorf("an echo counts for its sender: %+v", sender)
		}
	}
	if all := s.All(); len(all) != 1 || all[0].Marks != 5 || all[0].MarksAnswered != 0 {
		t.Errorf("%+v", all[0])
	}
}
