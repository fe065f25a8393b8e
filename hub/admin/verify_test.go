package admin

import (
	"testing"

	"connectrpc.com/connect"

	"simtrap/hub/people"
	"simtrap/report/adminpb"
)

// The log has no end: it is read by one at a time.
func TestOneVerifies(t *testing.T) {
	s, _, _ := office(t)
	s.verifying <- struct{}{}
	if err := do(as(people.Auditor), s.VerifyLog, &adminpb.VerifyLogRequest{}); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("while another reads: %v", err)
	}
	<-s.verifying
	for range 2 {
		if err := do(as(people.Auditor), s.VerifyLog, &adminpb.VerifyLogRequest{}); err != nil {
			t.Error(err)
		}
	}
}
