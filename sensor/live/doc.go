// Package live holds tests alone: simtrapd on cables of the test's own, in every
// way of capturing, against simtrap replay on a capture of the same traffic; what
// it takes of memory; and a flood of forged senders.
package live
