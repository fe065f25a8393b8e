package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// subject is what a bill is of.
type subject struct{ Name, Version, Arch string }

// The parts of an SPDX 2.3 document that are used here.
type (
	document struct {
		Version       string         `json:"spdxVersion"`
		DataLicense   string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      creation       `json:"creationInfo"`
		Packages      []part         `json:"packages"`
		Relationships []relationship `json:"relationships"`
	}
	creation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	part struct {
		ID        string      `json:"SPDXID"`
		Name      string      `json:"name"`
		Version   string      `json:"versionInfo"`
		Download  string      `json:"downloadLocation"`
		Analyzed  bool        `json:"filesAnalyzed"`
		Checksums []checksum  `json:"checksums,omitempty"`
		Concluded string      `json:"licenseConcluded"`
		Declared  string      `json:"licenseDeclared"`
		Copyright string      `json:"copyrightText"`
		Refs      []reference `json:"externalRefs,omitempty"`
	}
	checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	reference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	relationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

const none = "NOASSERTION"

// bill gathers parts by their identifiers, so that what two programs share is there
// once.
type bill struct {
	of      subject
	created time.Time
	parts   map[string]part
}

func newBill(of subject, created time.Time) *bill {
	return &bill{of: of, created: created, parts: map[string]part{}}
}

// id makes an identifier of SPDX, of letters, digits, dots and hyphens.
func id(kind, name, version string) string {
	return "SPDXRef-" + regexp.MustCompile(`[^A-Za-z0-9.-]+`).ReplaceAllString(kind+"-"+name+"-"+version, "-")
}

func newPart(kind, name, version, purl string) part {
	return part{ID: id(kind, name, version), Name: name, Version: version, Download: none, Concluded: none, Declared: none, Copyright: none,
		Refs: []reference{{Category: "PACKAGE-MANAGER", Type: "purl", Locator: purl}}}
}

// addProgram adds the modules that a program was built of, and the Go it was built
// with, whose library is in it. A module that was replaced is named by what took its
// place.
func (b *bill) addProgram(info *debug.BuildInfo) error {
	version := strings.TrimPrefix(info.GoVersion, "go")
	std := newPart("go", "stdlib", version, "pkg:golang/stdlib@"+version)
	std.Declared = "BSD-3-Clause"
	b.parts[std.ID] = std
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		p := newPart("go", m.Path, m.Version, "pkg:golang/"+m.Path+"@"+url.PathEscape(m.Version))
		// h1 is a SHA-256 over the list of the module's files.
		if sum, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
			raw, err := base64.StdEncoding.DecodeString(sum)
			if err != nil || len(raw) != sha256.Size {
				return fmt.Errorf("%s: checksum %q", m.Path, m.Sum)
			}
			p.Checksums = []checksum{{"SHA256", hex.EncodeToString(raw)}}
		}
		b.parts[p.ID] = p
	}
	return nil
}

// addDebs adds packages of Debian: each line has name, version, architecture and
// SHA-256 of one. Empty lines and those that begin with # are passed over.
func (b *bill) addDebs(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		f := strings.Fields(text)
		if len(f) != 4 {
			return fmt.Errorf("line %d: %d words instead of name, version, architecture and SHA-256", n, len(f))
		}
		if sum, err := hex.DecodeString(f[3]); err != nil || len(sum) != sha256.Size {
			return fmt.Errorf("line %d: %q is no SHA-256", n, f[3])
		}
		p := newPart("deb", f[0], f[1], "pkg:deb/debian/"+f[0]+"@"+url.PathEscape(f[1])+"?arch="+f[2])
		p.Checksums = []checksum{{"SHA256", f[3]}}
		if _, twice := b.parts[p.ID]; twice {
			return fmt.Errorf("line %d: %s is there twice", n, f[0])
		}
		b.parts[p.ID] = p
	}
	return lines.Err()
}

// document gives the bill, in a fixed order.
func (b *bill) document() document {
	root := newPart("root", b.of.Name, b.of.Version, "pkg:generic/"+b.of.Name+"@"+url.PathEscape(b.of.Version)+"?arch="+b.of.Arch)
	root.Declared = "Apache-2.0"
	d := document{Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: b.of.Name + " " + b.of.Version + " " + b.of.Arch,
		Creation:      creation{Created: b.created.UTC().Format(time.RFC3339), Creators: []string{"Tool: simtrap-sbom"}},
		Packages:      []part{root},
		Relationships: []relationship{{"SPDXRef-DOCUMENT", "DESCRIBES", root.ID}}}
	content := sha256.New()
	fmt.Fprintln(content, b.of, root.ID)
	for _, k := range slices.Sorted(maps.Keys(b.parts)) {
		p := b.parts[k]
		d.Packages = append(d.Packages, p)
		d.Relationships = append(d.Relationships, relationship{root.ID, "CONTAINS", p.ID})
		fmt.Fprintln(content, p)
	}
	// A namespace is unique to a document: other content, other namespace.
	d.Namespace = "https://simtrap.invalid/spdx/" + b.of.Name + "-" + hex.EncodeToString(content.Sum(nil)[:16])
	return d
}
