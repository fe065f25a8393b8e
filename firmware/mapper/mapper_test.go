package mapper

import (
	"encoding/binary"
	"testing"
)

// The layout of <linux/dm-ioctl.h>.
func TestRequest(t *testing.T) {
	ne := binary.NativeEndian
	const name = "simtrap-root"
	for _, params := range []string{"", "1234567", "12345678"} {
		for _, ro := range []bool{false, true} {
			b := table(name, Target{"verity", params, 4096, ro})
			if len(b)%8 != 0 || len(b) < headSize+targetSize+len(params)+1 || b[len(b)-1] != 0 {
				t.Errorf("%q: %d bytes", params, len(b))
			}
			flags := uint32(0x8000)
			if ro {
				flags |= 1
			}
			if ne.Uint32(b[12:]) != uint32(len(b)) || ne.Uint32(b[16:]) != headSize || ne.Uint32(b[20:]) != 1 || ne.Uint32(b[28:]) != flags {
				t.Errorf("%q: head %v", params, b[:48])
			}
			if got := string(b[headSize+targetSize:][:len(params)]); got != params || ne.Uint64(b[headSize+8:]) != 4096 || string(b[headSize+24:][:7]) != "verity\x00" {
				t.Errorf("params %q, want %q", got, params)
			}
		}
	}
	if b := head(create, name, 0); len(b) != headSize || string(b[48:48+len(name)]) != name || ne.Uint32(b[28:]) != 0 {
		t.Errorf("create: %v", b)
	}
}
