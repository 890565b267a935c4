package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Result is what a run measured.
type Result struct {
	Leases   int            `json:"leases"`
	Every    time.Duration  `json:"every_ns"`
	Duration time.Duration  `json:"duration_ns"`
	Systems  []SystemResult `json:"systems"`
}

// SystemResult is one system's part of it.
type SystemResult struct {
	System string   `json:"system"`
	Rounds []Sample `json:"rounds"`
}

// print writes the result in a format, and as JSON to a file if one is named.
func (r Result) print(w io.Writer, format, file string) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		return err
	}
	if file != "" {
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if format == "json" {
		_, err := w.Write(text.Bytes())
		return err
	}
	return r.markdown(w)
}

// markdown prints the median of the rounds, figure by figure.
func (r Result) markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d leases, each renewed every %v; median of %d rounds of %v.\n\n", r.Leases, r.Every, len(r.Systems[0].Rounds), r.Duration)
	fmt.Fprint(&b, "| system | renewals/s | p50 ms | p99 ms | max ms | errors | cores | of them |\n|---|---:|---:|---:|---:|---:|---:|---|\n")
	var p99s, cores []float64
	for _, s := range r.Systems {
		parts, total := s.cores()
		var of []string
		for _, name := range slices.Sorted(maps.Keys(parts)) {
			of = append(of, fmt.Sprintf("%s %.2f", name, parts[name]))
		}
		p99 := s.middle(func(x Sample) float64 { return x.P99.Seconds() * 1000 })
		p99s, cores = append(p99s, p99), append(cores, total)
		errors := 0
		for _, round := range s.Rounds {
			errors += round.Errors
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.1f | %.1f | %.1f | %d | %.2f | %s |\n", s.System,
			s.middle(func(x Sample) float64 { return float64(x.Renewals) })/r.Duration.Seconds(),
			s.middle(func(x Sample) float64 { return x.P50.Seconds() * 1000 }), p99,
			s.middle(func(x Sample) float64 { return x.Max.Seconds() * 1000 }), errors, total, strings.Join(of, ", "))
	}
	if len(r.Systems) == 2 && p99s[1] > 0 && cores[1] > 0 {
		fmt.Fprintf(&b, "\nThe first as a share of the second: p99 %.2f, cores %.2f. The load generator took %.2f cores beside the first.\n",
			p99s[0]/p99s[1], cores[0]/cores[1], r.Systems[0].middle(func(x Sample) float64 { return x.Client }))
	}
	for _, s := range r.Systems {
		for _, round := range s.Rounds {
			if round.Error != "" {
				fmt.Fprintf(&b, "\n%s: %s\n", s.System, round.Error)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cores is the median of each part, and of their sum.
func (s SystemResult) cores() (parts map[string]float64, total float64) {
	parts = map[string]float64{}
	for name := range s.Rounds[0].Cores {
		parts[name] = s.middle(func(x Sample) float64 { return x.Cores[name] })
	}
	total = s.middle(func(x Sample) (sum float64) {
		for _, cores := range x.Cores {
			sum += cores
		}
		return sum
	})
	return parts, total
}

func (s SystemResult) middle(figure func(Sample) float64) float64 {
	var all []float64
	for _, round := range s.Rounds {
		all = append(all, figure(round))
	}
	slices.Sort(all)
	return all[len(all)/2]
}
