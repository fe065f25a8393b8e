package door

import (
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds of what is read.
const (
	maxBatch   = 4 << 20          // bytes of a batch, unpacked
	maxWindow  = 256 << 10        // bytes of a compressed batch's window
	maxRequest = maxBatch + 4<<10 // bytes of a request to send
	maxSmall   = 64 << 10         // bytes of any other request
	maxJSON    = 1 << 20          // bytes of a request in JSON, which takes more to read
	maxRecords = 10_000           // of a batch
	maxParts   = 300_000          // messages and repeated values of a request, all told
	maxDepth   = protowire.DefaultRecursionLimit
)

// errParts: a few bytes can ask for a message each. 4 MiB of what sensors send has
// about 120,000 parts.
var errParts = fmt.Errorf("more than %d messages and repeated values", maxParts)

// shape is what parts a message has, by the numbers of its fields.
type shape struct {
	parts    [64]*shape // of fields that are messages
	repeated uint64     // bits of other fields of which each value takes room
}

// shapes gives the shape of a message and of all that are in it.
func shapes(known map[protoreflect.FullName]*shape, d protoreflect.MessageDescriptor) *shape {
	if s, ok := known[d.FullName()]; ok {
		return s
	}
	s := &shape{}
	known[d.FullName()] = s
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		n := f.Number()
		switch {
		case n >= 64: // none yet; walk counts the field as one part
		case f.Message() != nil:
			s.parts[n] = shapes(known, f.Message())
		case f.IsList():
			s.repeated |= 1 << n
		}
	}
	return s
}

// count takes from budget what parts a message on the wire has, and fails when it
// is used up or the message is malformed.
func (s *shape) count(b []byte, budget *int, depth int) error {
	if depth > maxDepth {
		return errors.New("nested too deep")
	}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			if num < 64 && s.repeated&(1<<num) != 0 {
				*budget--
			}
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		switch {
		case num >= 64:
			*budget--
		case s.parts[num] != nil:
			*budget--
			if err := s.parts[num].count(v, budget, depth+1); err != nil {
				return err
			}
		case s.repeated&(1<<num) != 0:
			*budget--
		}
		if *budget < 0 {
			return errParts
		}
	}
	if *budget < 0 {
		return errParts
	}
	return nil
}

// protoCodec reads protobuf within bounds.
type protoCodec struct {
	shapes map[protoreflect.FullName]*shape
}

func newProtoCodec(messages ...proto.Message) *protoCodec {
	c := &protoCodec{shapes: make(map[protoreflect.FullName]*shape)}
	for _, m := range messages {
		shapes(c.shapes, m.ProtoReflect().Descriptor())
	}
	return c
}

func (c *protoCodec) Name() string { return "proto" }

func (c *protoCodec) Marshal(m any) ([]byte, error) {
	p, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no protobuf message", m)
	}
	return proto.Marshal(p)
}

func (c *protoCodec) Unmarshal(b []byte, m any) error {
	p, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protobuf message", m)
	}
	if s := c.shapes[p.ProtoReflect().Descriptor().FullName()]; s != nil {
		budget := maxParts
		if err := s.count(b, &budget, 0); err != nil {
			return err
		}
	}
	return proto.Unmarshal(b, p)
}

// jsonCodec reads JSON within bounds.
type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

func (jsonCodec) Marshal(m any) ([]byte, error) {
	p, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no protobuf message", m)
	}
	return protojson.Marshal(p)
}

func (jsonCodec) Unmarshal(b []byte, m any) error {
	p, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protobuf message", m)
	}
	if len(b) > maxJSON {
		return fmt.Errorf("%d bytes of JSON, at most %d", len(b), maxJSON)
	}
	if countJSON(b) > maxParts {
		return errParts
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, p)
}

// countJSON gives at least how many messages and repeated values a text asks for: the
// objects, lists and commas outside of its strings. What is no JSON is counted too.
func countJSON(b []byte) (n int) {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[', ',':
			n++
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		}
	}
	return n
}

// bounded is a request's body that fails when it is larger than it may be, in the
// words that tell a sender never to send it again.
type bounded struct {
	io.ReadCloser
	left, most int64
	whole      func() // called when all of it was read; may be nil
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.err()
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, b.err()
	}
	if errors.Is(err, io.EOF) && b.whole != nil {
		b.whole()
		b.whole = nil
	}
	return n, err
}

func (b *bounded) err() error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("a request of more than %d bytes", b.most))
}
