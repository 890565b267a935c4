package history

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"helium.dev/tests/kubernetes/trace"
)

const second = int64(time.Second)

// fair is a history of two candidates in which all is well: a leads from 1 s
// until it is killed, b from 12 s on. The lease lasts 6 s.
func fair() *History {
	line := func(event string, sent, at int64) trace.Line {
		return trace.Line{Event: event, Sent: sent * second, Boot: at * second}
	}
	wrote := func(token, at int64, outcome string, revision int64) trace.Line {
		return trace.Line{Event: trace.Wrote, Token: token, Sent: at * second, Boot: at * second, Outcome: outcome, Revision: revision}
	}
	return &History{
		Began: 0, Ended: 20 * second, Lease: 6 * time.Second,
		Runs: []Run{
			{Program: "client-go", Cluster: "one", Lease: "l", Identity: "a", Dead: 8 * second, Lines: []trace.Line{
				line(trace.Renewed, 1, 1), line(trace.Started, 0, 1), wrote(10, 2, trace.Accepted, 11), line(trace.Renewed, 5, 5), wrote(10, 6, trace.Accepted, 13),
			}},
			{Program: "python", Cluster: "two", Lease: "l", Identity: "b", Lines: []trace.Line{
				line(trace.Renewed, 12, 12), line(trace.Started, 0, 12), wrote(20, 13, trace.Accepted, 21), line(trace.Renewed, 18, 18),
			}},
		},
		Terms: map[string][]Term{"l": {{Token: 10, Holder: "a", Cluster: "one"}, {Token: 20, Holder: "b", Cluster: "two"}}},
		Writes: map[string][]Write{"l": {
			{Revision: 11, Token: 10, Holder: "a", At: 2 * second}, {Revision: 13, Token: 10, Holder: "a", At: 6 * second},
			{Revision: 21, Token: 20, Holder: "b", At: 13 * second},
		}},
	}
}

// What the judge exists to find it finds, and nothing else.
func TestJudgeFindsWhatMustNotBe(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(h *History)
		want  []string
	}{
		"nothing": {func(*History) {}, nil},
		"a successor that begins before the lease ran out": {func(h *History) {
			for i := range h.Runs[1].Lines {
				h.Runs[1].Lines[i].Boot -= 5 * second
			}
		}, []string{OneLeader}},
		"a dead leader's lease that is taken at once": {func(h *History) { // nobody acts: it is the elector's affair
			h.Runs[0].Dead = 5 * second
			for i := range h.Runs[1].Lines {
				h.Runs[1].Lines[i].Boot -= 6 * second
			}
		}, nil},
		"a leader that believes for too long": {func(h *History) { h.Runs[0].Dead = 15 * second }, nil},
		"a short term within a long one": {func(h *History) {
			h.Runs[0].Dead = 0
			h.Runs[0].Lines = append(h.Runs[0].Lines, trace.Line{Event: trace.Renewed, Sent: 19 * second, Boot: 19 * second})
			h.Runs[1].Lines = append(h.Runs[1].Lines, trace.Line{Event: trace.Stopped, Boot: 14 * second})
		}, []string{OneLeader}},
		"equal tokens": {func(h *History) {
			h.Terms["l"][1].Token = 10
			h.Writes["l"] = h.Writes["l"][:2]
			h.Runs[1].Lines = h.Runs[1].Lines[:2]
		}, []string{GrowingTokens, NothingForged}},
		"a token that goes back": {func(h *History) {
			h.Terms["l"] = append(h.Terms["l"], Term{Token: 15, Holder: "c"})
		}, []string{GrowingTokens}},
		"an old token behind a new one": {func(h *History) {
			h.Writes["l"] = append(h.Writes["l"], Write{Revision: 22, Token: 10, Holder: "a", At: 14 * second})
		}, []string{FencesHold}},
		"an old token before the successor's first write": {func(h *History) {
			h.Writes["l"] = slices.Insert(h.Writes["l"], 2, Write{Revision: 20, Token: 10, Holder: "a", At: 7 * second})
			h.Terms["l"][1].Token = 19
			h.Writes["l"][3].Token = 19
			h.Runs[1].Lines[2].Token = 19
		}, []string{FencesHold}},
		"a write that got lost": {func(h *History) { h.Writes["l"] = h.Writes["l"][:2] }, []string{NothingLost}},
		"a refused write that happened": {func(h *History) {
			h.Runs[0].Lines[2].Outcome = trace.Refused
		}, []string{NothingHidden}},
		"a write that nobody was told of": {func(h *History) { h.Runs[0].Lines[2].Outcome = trace.Unknown }, nil},
		"another's token":                 {func(h *History) { h.Terms["l"][1].Holder = "c" }, []string{NothingForged}},
	} {
		t.Run(name, func(t *testing.T) {
			h := fair()
			test.spoil(h)
			var found []string
			for _, f := range Judge(h) {
				if !slices.Contains(found, f.Rule) {
					found = append(found, f.Rule)
				}
			}
			slices.Sort(found)
			slices.Sort(test.want)
			if !slices.Equal(found, test.want) {
				t.Errorf("found %v, not %v: %v", found, test.want, Judge(h))
			}
		})
	}
}

// A line of the protocol that is lost could hide a leader.
func TestBrokenLinesAreNoticed(t *testing.T) {
	log := "==== program\n{\"event\":\"started\",\"boot\":7}\nI1121 its own log\n{\"level\":\"info\"}\n"
	lines, err := ReadLines(strings.NewReader(log))
	if err != nil || len(lines) != 1 || lines[0].Event != trace.Started || lines[0].Boot != 7 {
		t.Errorf("%+v, %v", lines, err)
	}
	if lines, err := ReadLines(strings.NewReader(log + "{\"event\":\"started\"}INFO: and more\n")); err == nil {
		t.Errorf("a broken line was skipped: %+v", lines)
	}
}

// A leader that is paused believes on; its interval ends with its lease.
func TestFiguresCountBeliefBeyondTheLease(t *testing.T) {
	h := fair()
	h.Runs[0].Dead = 15 * second
	h.Runs[0].Lines = append(h.Runs[0].Lines, trace.Line{Event: trace.Wrote, Token: 10, Outcome: trace.Refused, Message: "lease default/l is not held at token 10"})
	f := Measure(h)
	if f.Overstayed["client-go"] != 1 || f.Overlapped["client-go"] != 1 || f.LongestOverstay["client-go"] != 4*time.Second {
		t.Errorf("%+v", f)
	}
	if f.Stale != 1 || f.Accepted != 3 || f.Takeovers != 1 || f.Terms != 2 || f.Gaps[0] != time.Second {
		t.Errorf("%+v", f)
	}
}

func TestReportSaysWhatHappened(t *testing.T) {
	h := fair()
	h.Faults = []Fault{{Kind: "kill", Target: "client-go in one", Began: 8 * second, Ended: 9 * second}}
	var kept, text, picture bytes.Buffer
	if err := h.Write(&kept); err != nil {
		t.Fatal(err)
	}
	h, err := Read(&kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := Report(&text, h, "picture.svg"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"picture.svg", "No rule was broken", "| kill | 1 |", "| client-go | 1 |", "l: a"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &text)
		}
	}
	if err := Timeline(&picture, h); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "client-go in one", "</svg>"} {
		if !strings.Contains(picture.String(), want) {
			t.Errorf("the picture lacks %q:\n%s", want, &picture)
		}
	}
	h.Terms["l"][1].Token = 10
	text.Reset()
	if err := Report(&text, h, "picture.svg"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), GrowingTokens) || strings.Contains(text.String(), "No rule was broken") {
		t.Errorf("the report hides what was found:\n%s", &text)
	}
}
