// Command judge judges the history of elections or failovers that a run has
// kept, again, and writes its report and picture beside it:
//
//	judge election-200-faults.json
//	judge failover-500-faults.json
//
// It ends with status 1 if a rule was broken.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"helium.dev/tests/kubernetes/history"
)

func main() {
	if len(os.Args) != 2 || !strings.HasSuffix(os.Args[1], ".json") {
		fmt.Fprintln(os.Stderr, "usage: judge HISTORY.json")
		os.Exit(2)
	}
	broken, err := run(os.Args[1])
	if err != nil {
		fmt.Fprintf(os.Stderr, "judge: %v\n", err)
		os.Exit(2)
	}
	if broken {
		os.Exit(1)
	}
}

func run(path string) (broken bool, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	// A history of failovers has groups, one of elections has runs.
	var kind struct {
		Groups json.RawMessage `json:"groups"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	base := strings.TrimSuffix(path, ".json")
	picture := filepath.Base(base) + ".svg"
	var found []history.Finding
	var report, draw func(io.Writer) error
	if kind.Groups != nil {
		f, err := history.ReadFailover(bytes.NewReader(text))
		if err != nil {
			return false, fmt.Errorf("%s: %w", path, err)
		}
		found = history.JudgeFailover(f)
		report = func(w io.Writer) error { return history.FailoverReport(w, f, picture) }
		draw = func(w io.Writer) error { return history.FailoverTimeline(w, f) }
	} else {
		h, err := history.Read(bytes.NewReader(text))
		if err != nil {
			return false, fmt.Errorf("%s: %w", path, err)
		}
		found = history.Judge(h)
		report = func(w io.Writer) error { return history.Report(w, h, picture) }
		draw = func(w io.Writer) error { return history.Timeline(w, h) }
	}
	if err := write(base+".md", report); err != nil {
		return false, err
	}
	if err := write(base+".svg", draw); err != nil {
		return false, err
	}
	for _, finding := range found {
		fmt.Println(finding)
	}
	return len(found) > 0, nil
}

func write(path string, content func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := content(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
