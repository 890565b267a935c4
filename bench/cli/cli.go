// Package cli has the flags that both programs of the benchmark share.
package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"helium.dev/bench/measure"
)

// Flags are the parsed common flags.
type Flags struct {
	cells, clients string
	options        measure.Options
	format, file   string
}

// Register declares the flags.
func Register(set *flag.FlagSet) *Flags {
	f := &Flags{}
	set.StringVar(&f.cells, "cells", strings.Join(measure.CellNames, ","), "what to measure")
	set.StringVar(&f.clients, "clients", "1,64,1000", "numbers of clients at once (50 connections at most)")
	set.DurationVar(&f.options.Duration, "duration", 3*time.Second, "of one cell in one round")
	set.IntVar(&f.options.Rounds, "rounds", 3, "the median of so many is printed")
	set.IntVar(&f.options.Value, "value", 600, "bytes of a value")
	set.IntVar(&f.options.Keys, "keys", 10_000, "stored keys for get and page")
	set.StringVar(&f.format, "o", "table", strings.Join(measure.Formats, ", "))
	set.StringVar(&f.file, "json", "", "write the result as JSON to this file as well, every round included")
	return f
}

// Print writes the rows to standard output in the chosen format, and to the
// file if one was named.
func (f *Flags) Print(rows []measure.Row) error {
	if f.file != "" {
		var text bytes.Buffer
		if err := measure.Print(&text, rows, "json"); err != nil {
			return err
		}
		if err := os.WriteFile(f.file, text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return measure.Print(os.Stdout, rows, f.format)
}

// Options checks the flags and returns what they say.
func (f *Flags) Options() (measure.Options, error) {
	o := f.options
	if !slices.Contains(measure.Formats, f.format) {
		return o, fmt.Errorf("-o: unknown format %q: expected one of %s", f.format, strings.Join(measure.Formats, ", "))
	}
	o.Cells = strings.Split(f.cells, ",")
	for _, name := range o.Cells {
		if !measure.Known(name) {
			return o, fmt.Errorf("unknown cell %q: expected some of %s", name, strings.Join(measure.CellNames, ","))
		}
	}
	for text := range strings.SplitSeq(f.clients, ",") {
		count, err := strconv.Atoi(text)
		if err != nil || count < 1 {
			return o, fmt.Errorf("--clients: %q is not a positive number", text)
		}
		o.Clients = append(o.Clients, count)
	}
	if o.Rounds < 1 || o.Duration <= 0 || o.Keys < 1 || o.Value < 1 {
		return o, fmt.Errorf("--rounds, --duration, --keys and --value must be positive")
	}
	o.Progress = func(text string) { fmt.Fprintln(os.Stderr, text) }
	return o, nil
}
