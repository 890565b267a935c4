// Command judge judges the history of elections that a run has kept, again, and
// writes its report and picture beside it:
//
//	judge election-200-faults.json
//
// It ends with status 1 if a rule was broken.
package main

import (
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
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	h, err := history.Read(file)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	base := strings.TrimSuffix(path, ".json")
	picture := filepath.Base(base) + ".svg"
	if err := write(base+".md", func(w io.Writer) error { return history.Report(w, h, picture) }); err != nil {
		return false, err
	}
	if err := write(base+".svg", func(w io.Writer) error { return history.Timeline(w, h) }); err != nil {
		return false, err
	}
	found := history.Judge(h)
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
