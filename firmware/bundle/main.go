// Command bundle makes what appliances are updated with (firmware/update), and the keys
// that they trust:
//
//	bundle key FILE             makes a private key; prints the public one
//	bundle public FILE          prints the public key of a private one
//	bundle sign KEY RELEASE KERNEL SYSTEM BUNDLE
//
// A private key is 32 bytes in hexadecimal: keep it off the machines that build and off
// those that are updated.
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"simtrap/firmware/update"
)

func main() {
	err := errUsage
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "key":
		err = makeKey(args[1])
	case len(args) == 2 && args[0] == "public":
		err = printPublic(args[1])
	case len(args) == 6 && args[0] == "sign":
		err = sign(args[1], args[2], args[3], args[4], args[5])
	}
	if errors.Is(err, errUsage) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bundle: %v\n", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: bundle key FILE | public FILE | sign KEY RELEASE KERNEL SYSTEM BUNDLE")

func makeKey(file string) error {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%x\n", key.Seed())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return printPublic(file)
}

func printPublic(file string) error {
	key, err := readKey(file)
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%x\n", []byte(key.Public().(ed25519.PublicKey)))
	return err
}

func readKey(file string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s: it is no private key of %d bytes in hexadecimal", file, ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func sign(keyFile, releaseFile, kernelFile, systemFile, bundle string) (err error) {
	key, err := readKey(keyFile)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(releaseFile)
	if err != nil {
		return err
	}
	var r update.Release
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("%s: %w", releaseFile, err)
	}
	kernel, err := os.Open(kernelFile)
	if err != nil {
		return err
	}
	defer kernel.Close()
	system, err := os.Open(systemFile)
	if err != nil {
		return err
	}
	defer system.Close()
	out, err := os.Create(bundle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return update.Write(out, r, kernel, system, key)
}
