// Package story runs what a document tells: its commands, again, to compare what they
// print with what it says, or to write that down anew.
package story

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// Story is a Markdown file whose console blocks have real commands, each behind
// a "$ ", and below it what it printed. It can be run again: to compare, or to
// write down anew what is printed now.
type Story struct {
	Title string
	lines []string
	Steps []*Step
}

// Step is a command of a story, or something that the reader doesn't do: a
// remark `<!-- test: … -->` names it.
type Step struct {
	Command, Directive string
	// Printed is what it printed when the story was told.
	Printed string
	at      int // index of the command's line
	until   int // index of the line behind its output

	began, ended time.Duration
	// Now is what it printed just now.
	Now string
}

var directive = regexp.MustCompile(`^<!-- test: (.*) -->$`)

// Read parses a story.
func Read(text string) (*Story, error) {
	s := &Story{lines: strings.Split(text, "\n")}
	console := false
	var last *Step
	for i, line := range s.lines {
		switch found := directive.FindStringSubmatch(line); {
		case i == 0:
			s.Title = strings.TrimPrefix(line, "# ")
		case !console && found != nil:
			s.Steps = append(s.Steps, &Step{Directive: found[1]})
		case !console && line == "```console":
			console, last = true, nil
		case console && line == "```":
			console = false
		case console && strings.HasPrefix(line, "$ "):
			last = &Step{Command: line[2:], at: i, until: i + 1}
			s.Steps = append(s.Steps, last)
		case console && last == nil:
			return nil, fmt.Errorf("line %d: output without a command", i+1)
		case console:
			last.Printed += line + "\n"
			last.until = i + 1
		}
	}
	if console {
		return nil, fmt.Errorf("a console block isn't closed")
	}
	return s, nil
}

// Run runs all steps in a folder. A command that fails ends the story, unless it says by itself that it may.
func (s *Story) Run(dir string, environ []string, direct func(directive string) error) error {
	start := time.Now()
	for _, step := range s.Steps {
		if step.Directive != "" {
			if err := direct(step.Directive); err != nil {
				return fmt.Errorf("%s: %w", step.Directive, err)
			}
			continue
		}
		command := exec.Command("bash", "-c", step.Command)
		command.Dir, command.Env = dir, append(os.Environ(), environ...)
		var out bytes.Buffer
		command.Stdout, command.Stderr = &out, &out
		step.began = time.Since(start)
		err := command.Run()
		step.ended = time.Since(start)
		step.Now = out.String()
		if err != nil {
			return fmt.Errorf("$ %s: %w\n%s", step.Command, err, step.Now)
		}
	}
	return nil
}

// Told is the story with what was printed now.
func (s *Story) Told() string {
	var out []string
	from := 0
	for _, step := range s.Steps {
		if step.Command == "" {
			continue
		}
		out = append(out, s.lines[from:step.at+1]...)
		if text := strings.TrimRight(step.Now, "\n"); text != "" {
			out = append(out, strings.Split(text, "\n")...)
		}
		from = step.until
	}
	return strings.Join(append(out, s.lines[from:]...), "\n")
}

// Cast is the same as a recording of a terminal (asciicast, version 2): what
// is typed takes its time, and longer waits are cut to two seconds.
func (s *Story) Cast(width, height int, wall time.Time) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(map[string]any{"version": 2, "width": width, "height": height, "timestamp": wall.Unix(), "title": s.Title, "env": map[string]string{"TERM": "xterm-256color", "SHELL": "/bin/bash"}})
	at := 0.5
	say := func(text string) {
		if err == nil {
			err = encoder.Encode([]any{float64(int(at*1000)) / 1000, "o", text})
		}
	}
	for _, step := range s.Steps {
		if step.Command == "" {
			continue
		}
		say("\x1b[1;32m$\x1b[0m ")
		for _, letter := range step.Command {
			at += 0.03
			say(string(letter))
		}
		at += 0.3
		say("\r\n")
		at += min((step.ended - step.began).Seconds(), 2)
		if step.Now != "" {
			say(strings.ReplaceAll(step.Now, "\n", "\r\n"))
		}
		at += 1
	}
	return out.Bytes(), err
}

// What may differ between two runs: each becomes one sign.
var differs = []struct {
	pattern *regexp.Regexp
	sign    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`), "TIME"},
	{regexp.MustCompile(`\b(webfront)-[a-z0-9]{6,10}-[a-z0-9]{5}\b`), "$1-POD"},
	// How often kubectl says so depends on its watch; and warnings come on another output, in any order.
	{regexp.MustCompile(`(?m)^(Waiting for deployment|Warning:) .*\n`), ""},
	{regexp.MustCompile(`\b(\d+(\.\d+)? ?(ms|µs|us|s|m|h|d))+\b`), "AGO"},
	{regexp.MustCompile(`<unknown>|<invalid>|\bjust now\b`), "AGO"},
	{regexp.MustCompile(`\b\d{2,}\b`), "N"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// Shape is what of an output must be the same in every run.
func Shape(text string) string {
	for _, d := range differs {
		text = d.pattern.ReplaceAllString(text, d.sign)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}
