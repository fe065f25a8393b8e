package match

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"google.golang.org/protobuf/encoding/protojson"

	"simtrap/report/reportpb"
)

// Limits of a file of calls.
const (
	maxCallLine = 64 << 10 // bytes
	maxCalls    = 1 << 20
)

// WriteCalls writes calls as JSON Lines of simtrap.report.v1.Call.
func WriteCalls(w io.Writer, calls []*reportpb.Call) error {
	out := bufio.NewWriter(w)
	for _, c := range calls {
		b, err := protojson.Marshal(c)
		if err != nil {
			return err
		}
		// The encoder puts spaces where it likes, so that nobody relies on them.
		var line bytes.Buffer
		if err := json.Compact(&line, b); err != nil {
			return err
		}
		line.WriteByte('\n')
		if _, err := out.Write(line.Bytes()); err != nil {
			return err
		}
	}
	return out.Flush()
}

var (
	errNoCall    = errors.New("no JSON of simtrap.report.v1.Call")
	errNoLine    = errors.New("the call names no line")
	errLongCall  = errors.New("more than 65536 bytes")
	errManyCalls = errors.New("more than 1048576 calls: take some of the lines with --line, or fewer hours")
)

// ReadCalls reads what WriteCalls wrote. A line that holds no call is counted;
// fields that are not known are passed over.
func ReadCalls(r io.Reader) (calls []*reportpb.Call, bad BadRows, err error) {
	in := &rows{in: bufio.NewReaderSize(r, maxCallLine)}
	for {
		line, err := in.read()
		switch {
		case errors.Is(err, errLong):
			bad.add(in.line, errLongCall)
			continue
		case errors.Is(err, io.EOF):
			return calls, bad, nil
		case err != nil:
			return nil, bad, err
		case len(bytes.TrimSpace(line)) == 0:
			continue
		}
		c := &reportpb.Call{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, c); err != nil {
			bad.add(in.line, errNoCall) // its own words would hold some of it
			continue
		}
		if c.Line == "" {
			bad.add(in.line, errNoLine)
			continue
		}
		if len(calls) >= maxCalls {
			return nil, bad, errManyCalls
		}
		calls = append(calls, c)
	}
}
