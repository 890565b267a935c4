package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"helium.dev/tests/kubernetes/trace"
)

// Finding is something that must not be.
type Finding struct {
	Rule  string
	Lease string
	Text  string
}

func (f Finding) String() string { return fmt.Sprintf("%s: lease %s: %s", f.Rule, f.Lease, f.Text) }

// The rules; the package's documentation explains them.
const (
	OneLeader     = "two leaders at once"
	GrowingTokens = "a token that doesn't grow"
	FencesHold    = "a stale write was accepted"
	NothingLost   = "an acknowledged write is missing"
	NothingHidden = "a refused write happened"
	NothingForged = "a token that nobody was given"
)

// Judge returns everything in a history that must not be.
func Judge(h *History) (found []Finding) {
	for _, lease := range h.Leases() {
		report := func(rule, format string, arguments ...any) {
			found = append(found, Finding{rule, lease, fmt.Sprintf(format, arguments...)})
		}
		judgeIntervals(h.Intervals(lease), h.Began, report)
		judgeTerms(h.Terms[lease], report)
		judgeWrites(h.Writes[lease], h.Terms[lease], report)
		for i := range h.Runs {
			if h.Runs[i].Lease == lease {
				judgeAnswers(&h.Runs[i], h.Writes[lease], h.Terms[lease], report)
			}
		}
	}
	return found
}

type reporter func(rule, format string, arguments ...any)

func judgeIntervals(intervals []Interval, began int64, report reporter) {
	seconds := func(at int64) float64 { return time.Duration(at - began).Seconds() }
	var last *Interval // the one that ends last of those that began
	for i := range intervals {
		now := &intervals[i]
		if last != nil && now.Start < last.End && now.Run.Identity != last.Run.Identity {
			report(OneLeader, "%s from %.3f s to %.3f s, and %s from %.3f s", last.Run.Identity, seconds(last.Start), seconds(last.End), now.Run.Identity, seconds(now.Start))
		}
		if last == nil || now.End > last.End {
			last = now
		}
	}
}

func judgeTerms(terms []Term, report reporter) {
	for i := 1; i < len(terms); i++ {
		if terms[i].Token <= terms[i-1].Token {
			report(GrowingTokens, "%s has token %d, behind %d of %s", terms[i].Holder, terms[i].Token, terms[i-1].Token, terms[i-1].Holder)
		}
	}
}

// judgeWrites looks at the accepted writes in the order of the store, which is
// the order of tokens as well: a token is the revision that began its term.
func judgeWrites(writes []Write, terms []Term, report reporter) {
	for i, w := range writes {
		if i > 0 && w.Token < writes[i-1].Token {
			report(FencesHold, "@%d: %s wrote with token %d behind a write with %d of %s", w.Revision, w.Holder, w.Token, writes[i-1].Token, writes[i-1].Holder)
			continue
		}
		next := slices.IndexFunc(terms, func(t Term) bool { return t.Token > w.Token })
		if next >= 0 && w.Revision > terms[next].Token {
			report(FencesHold, "@%d: %s wrote with token %d though the term %d of %s had begun", w.Revision, w.Holder, w.Token, terms[next].Token, terms[next].Holder)
		}
	}
}

// judgeAnswers compares what a program was told with what the store has.
func judgeAnswers(run *Run, writes []Write, terms []Term, report reporter) {
	given := map[int64]string{}
	for _, t := range terms {
		given[t.Token] = t.Holder
	}
	stored := map[int64]Write{}
	for _, w := range writes {
		stored[w.Revision] = w
	}
	refused := map[int64]int64{}                 // by the time that the writer put into it
	names := map[string]bool{run.Identity: true} // and those of its elector
	reported := map[int64]bool{}
	for _, line := range run.Lines {
		if line.Event == trace.Renewed && line.Leader != "" {
			names[line.Leader] = true
		}
		if line.Token != 0 && !names[given[line.Token]] && !reported[line.Token] {
			reported[line.Token] = true
			report(NothingForged, "%s used token %d, which the store gave to %q", run.Identity, line.Token, given[line.Token])
		}
		if line.Event != trace.Wrote {
			continue
		}
		switch w, ok := stored[line.Revision]; {
		case line.Outcome == trace.Accepted && (!ok || w.Holder != run.Identity || w.Token != line.Token):
			report(NothingLost, "%s was told that its write is @%d, where the store has %+v", run.Identity, line.Revision, w)
		case line.Outcome == trace.Refused:
			refused[line.Sent] = line.Token
		}
	}
	for _, w := range writes {
		if token, ok := refused[w.At]; ok && w.Holder == run.Identity && token == w.Token {
			report(NothingHidden, "@%d: %s was told that this write with token %d was refused", w.Revision, w.Holder, w.Token)
		}
	}
}

// Figures are what a history says beyond right and wrong.
type Figures struct {
	Terms, Takeovers int
	// ByProgram and ByCluster count intervals.
	ByProgram, ByCluster map[string]int
	Accepted, Refused    int
	Unknown              int
	// Stale are the refused writes whose term was over: what the fence is for.
	Stale int
	// Overstayed are intervals whose leader believed beyond their end, and
	// Overlapped those of them in which another led meanwhile; by program.
	Overstayed, Overlapped map[string]int
	LongestOverstay        map[string]time.Duration
	// Gaps are the times without a leader, between two intervals of a lease.
	Gaps []time.Duration
}

// Measure counts what happened.
func Measure(h *History) Figures {
	f := Figures{
		ByProgram: map[string]int{}, ByCluster: map[string]int{},
		Overstayed: map[string]int{}, Overlapped: map[string]int{}, LongestOverstay: map[string]time.Duration{},
	}
	for _, lease := range h.Leases() {
		intervals := h.Intervals(lease)
		f.Terms += len(h.Terms[lease])
		for i, interval := range intervals {
			program := interval.Run.Program
			f.ByProgram[program]++
			f.ByCluster[interval.Run.Cluster]++
			if i > 0 {
				if intervals[i-1].Run.Identity != interval.Run.Identity {
					f.Takeovers++
				}
				f.Gaps = append(f.Gaps, time.Duration(max(0, interval.Start-intervals[i-1].End)))
			}
			if over := time.Duration(interval.Believed - interval.End); over > 0 {
				f.Overstayed[program]++
				f.LongestOverstay[program] = max(f.LongestOverstay[program], over)
				if i+1 < len(intervals) && intervals[i+1].Start < interval.Believed {
					f.Overlapped[program]++
				}
			}
		}
	}
	for i := range h.Runs {
		run := &h.Runs[i]
		for _, line := range run.Lines {
			if line.Event != trace.Wrote {
				continue
			}
			switch line.Outcome {
			case trace.Accepted:
				f.Accepted++
			case trace.Refused:
				f.Refused++
				if strings.Contains(line.Message, "is not held at token") {
					f.Stale++
				}
			default:
				f.Unknown++
			}
		}
	}
	slices.Sort(f.Gaps)
	return f
}

// sorted returns the keys of a count in order.
func sorted[V any](counts map[string]V) []string { return slices.Sorted(maps.Keys(counts)) }
