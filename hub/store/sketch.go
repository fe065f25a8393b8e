package store

import "github.com/axiomhq/hyperloglog"

// maxPrecision of sketches: 16,384 registers.
const maxPrecision = 14

// soundSketch says whether bytes are a HyperLogLog that can be joined with others.
func soundSketch(b []byte) bool {
	_, err := readSketch(b)
	return err == nil
}

func readSketch(b []byte) (*hyperloglog.Sketch, error) {
	if len(b) < 8 || b[1] != maxPrecision {
		return nil, ErrInvalid
	}
	var k hyperloglog.Sketch
	if err := k.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	return &k, nil
}
