package door

import (
	"bytes"
	"context"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"simtrap/report/reportpb"
)

// parts counts what count bounds, from the message that was read.
func parts(m protoreflect.Message) (n int) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				n += 1 + parts(v.List().Get(i).Message())
			}
		case f.IsList():
			n += v.List().Len()
		case f.Message() != nil:
			n += 1 + parts(v.Message())
		}
		return true
	})
	return n
}

func seeds(f *testing.F) {
	many := &reportpb.Batch{}
	for i := range 20 {
		r := finding(uint64(i+1), byte(i), 1, "203.0.113.7")
		r.GetFinding().Finding.Signals = []*reportpb.Signal{{Id: "a"}, {}}
		r.GetFinding().Finding.Unseen = []string{"", "b"}
		many.Records = append(many.Records, r)
	}
	b, err := proto.Marshal(many)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(bytes.Repeat([]byte{0x0a, 0}, 100))
	f.Add([]byte{0x0a, 0x02, 0x1a, 0x00, 0x0b, 0x0c})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
}

// What is counted before a batch is read is no less than what is in it then, and
// whatever can be read is let through while it is small.
func FuzzCount(f *testing.F) {
	seeds(f)
	shape := newProtoCodec(&reportpb.SendRequest{}).shapes["simtrap.report.v1.Batch"]
	f.Fuzz(func(t *testing.T, b []byte) {
		budget := len(b) + 1
		err := shape.count(b, &budget, 0)
		m := &reportpb.Batch{}
		if proto.Unmarshal(b, m) != nil {
			return
		}
		if err != nil {
			t.Fatalf("%v, though it can be read", err)
		}
		if counted, is := len(b)+1-budget, parts(m.ProtoReflect()); is > counted {
			t.Fatalf("%d parts, %d counted", is, counted)
		}
	})
}

func FuzzSend(f *testing.F) {
	seeds(f)
	d, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(d.Close)
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	codec := newProtoCodec(&reportpb.SendRequest{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range []*reportpb.SendRequest{
			{FirstSequence: 1, LastSequence: 1 << 40, Content: &reportpb.SendRequest_BatchZstd{BatchZstd: b}},
			{FirstSequence: 1, LastSequence: 1 << 40, Content: &reportpb.SendRequest_BatchZstd{BatchZstd: zip.EncodeAll(b, nil)}},
		} {
			if batch, err := (reports{d}).read(context.Background(), m); err == nil && check(m, batch) == nil && len(batch.GetRecords()) > maxRecords {
				t.Error("too many records")
			}
		}
		m := &reportpb.SendRequest{}
		if codec.Unmarshal(b, m) == nil {
			_ = check(m, m.GetBatch())
		}
		_ = jsonCodec{}.Unmarshal(b, m)
	})
}
