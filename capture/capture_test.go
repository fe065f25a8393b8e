package capture

import "testing"

func TestBatchReferences(t *testing.T) {
	released := 0
	b := NewBatch([]byte("x"), func(*Batch) { released++ })
	b.Retain()
	b.Release()
	if released != 0 {
		t.Error("released while a reference is held")
	}
	b.Release()
	if released != 1 {
		t.Error("not released after the last reference")
	}
	defer func() {
		if recover() == nil {
			t.Error("a second release went unnoticed")
		}
	}()
	b.Release()
}

// A damage is one line, whatever the file is called.
func TestDamageError(t *testing.T) {
	d := &Damage{File: "a\nb", Offset: 7, Kind: Cut, Detail: "it ends", Count: 3}
	if got := d.Error(); got != `"a\nb": offset 7: it ends (3 times)` {
		t.Error(got)
	}
}
