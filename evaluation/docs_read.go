package evaluation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ReadReport reads what Report.WriteJSON wrote.
func ReadReport(r io.Reader) (*Report, error) {
	out := new(Report)
	if err := readJSON(r, out); err != nil {
		return nil, fmt.Errorf("no figures of eval: %w", err)
	}
	if out.Catalogue == "" || out.Draws < 1 || len(out.Variants) == 0 {
		return nil, errors.New("no figures of eval: it has no tables, no draws or no figures")
	}
	return out, nil
}

// ReadPopulation reads what Population.WriteJSON wrote.
func ReadPopulation(r io.Reader) (*Population, error) {
	out := new(Population)
	if err := readJSON(r, out); err != nil {
		return nil, fmt.Errorf("no figures of population: %w", err)
	}
	if out.Catalogue == "" || len(out.Goals) == 0 {
		return nil, errors.New("no figures of population: it has no tables or no goals")
	}
	return out, nil
}

// ReadPromise reads what PromiseReport.WriteJSON wrote.
func ReadPromise(r io.Reader) (*PromiseReport, error) {
	out := new(PromiseReport)
	if err := readJSON(r, out); err != nil {
		return nil, fmt.Errorf("no figures of promise: %w", err)
	}
	if out.Catalogue == "" || len(out.Laws) == 0 {
		return nil, errors.New("no figures of promise: it has no tables or no laws")
	}
	return out, nil
}

// readJSON takes one value without fields that nobody knows: a file of another
// command, or of another version, is not to be half read.
func readJSON(r io.Reader, to any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind it")
	}
	return nil
}
