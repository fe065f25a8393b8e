//go:build !linux

package main

func machineClock() string { return "not known" }
