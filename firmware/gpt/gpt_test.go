package gpt

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	esp   = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	linux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
	disk  = "9A1B2C3D-0001-4000-8000-000000000000"
)

func parts() []Partition {
	return []Partition{
		{"esp", esp, "9A1B2C3D-0001-4000-8000-000000000001", 4 << 20},
		{"slot-a", linux, "9A1B2C3D-0001-4000-8000-000000000002", 2 << 20},
	}
}

// sfdisk reads the same out of it.
func TestWrite(t *testing.T) {
	tool, err := exec.LookPath("sfdisk")
	if err != nil {
		t.Skip("no sfdisk (Debian: fdisk)")
	}
	file := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(f, disk, parts()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "--verify", file).CombinedOutput(); err != nil || !strings.Contains(string(out), "No errors detected") {
		t.Errorf("%v: %s", err, out)
	}
	out, err := exec.Command(tool, "--json", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	type part struct {
		Start, Size      int64
		Type, UUID, Name string
	}
	var got struct {
		Table struct {
			ID         string
			Label      string
			Partitions []part
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	want := []part{
		{2048, 8192, esp, "9A1B2C3D-0001-4000-8000-000000000001", "esp"},
		{10240, 4096, linux, "9A1B2C3D-0001-4000-8000-000000000002", "slot-a"},
	}
	if diff := cmp.Diff(want, got.Table.Partitions); diff != "" || got.Table.ID != disk || got.Table.Label != "gpt" {
		t.Errorf("%s %s %s", got.Table.ID, got.Table.Label, diff)
	}
}

func TestWriteRefuses(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, change := range map[string]func(*Partition){
		"type": func(p *Partition) { p.Type = "esp" },
		"id":   func(p *Partition) { p.ID = "" },
		"name": func(p *Partition) { p.Name = strings.Repeat("x", 37) },
		"size": func(p *Partition) { p.Size = 4<<20 + 512 },
		"none": func(p *Partition) { p.Size = 0 },
	} {
		list := parts()
		change(&list[1])
		if err := Write(f, disk, list); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := Write(f, "x", parts()); err == nil {
		t.Error("a disk without GUID was taken")
	}
}
