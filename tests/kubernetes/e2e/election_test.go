package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"helium.dev/tests/harness"
)

// candidate is a running election program.
type candidate struct {
	name    string
	process *harness.Process
	killed  int64 // CLOCK_BOOTTIME just after it was killed, else 0
}

// line is one line that the program printed.
type line struct {
	Event  string
	Leader string
	Boot   int64
}

func (c *candidate) lines(t *testing.T) (all []line) {
	t.Helper()
	text, err := os.ReadFile(c.process.Log)
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(text)) {
		var l line
		// The log has the program's own messages in it as well.
		if json.Unmarshal([]byte(text), &l) == nil && l.Event != "" {
			all = append(all, l)
		}
	}
	return all
}

// leads reports whether the candidate believes that it leads.
func (c *candidate) leads(t *testing.T) bool {
	leading := false
	for _, l := range c.lines(t) {
		switch l.Event {
		case "started":
			leading = true
		case "stopped":
			leading = false
		}
	}
	return leading && c.killed == 0
}

// interval is a time in which a candidate believed to lead.
type interval struct {
	name       string
	start, end int64
}

func (c *candidate) intervals(t *testing.T, now int64) (all []interval) {
	open := false
	for _, l := range c.lines(t) {
		switch l.Event {
		case "started":
			all, open = append(all, interval{c.name, l.Boot, now}), true
		case "stopped":
			if open { // it is printed as well by one that never led
				all[len(all)-1].end, open = l.Boot, false
			}
		}
	}
	if open && c.killed != 0 {
		all[len(all)-1].end = c.killed
	}
	return all
}

func bootTime(t *testing.T) int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano()
}

// race is an election with one candidate in each cluster, and watches of its
// Lease through all of them.
type race struct {
	candidates []*candidate
	lease      string
	recorders  []*recorder
}

func startRace(t *testing.T, name, group string, kubeconfig func(*cluster) string) *race {
	t.Helper()
	return startProgram(t, "election", name, func(c *cluster) []string {
		return []string{"--kubeconfig", kubeconfig(c), "--group", group, "--name", name, "--identity", c.name}
	})
}

// startProgram is startRace with a program of another kind.
func startProgram(t *testing.T, program, name string, args func(*cluster) []string) *race {
	t.Helper()
	path, err := harness.Component(program)
	if err != nil {
		t.Fatal(err)
	}
	r := &race{lease: name, recorders: recordAll(t, leases)}
	for _, c := range clusters {
		process, err := c.env.Start(harness.Spec{Name: "candidate-" + name + "-" + c.name, Path: path, Args: args(c)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(process.Kill)
		r.candidates = append(r.candidates, &candidate{name: c.name, process: process})
	}
	return r
}

// One candidate in each cluster; the leader is killed twice. Never two lead.
func TestElectionAcrossClusters(t *testing.T) {
	for _, test := range []struct {
		group      string
		kubeconfig func(*cluster) string
	}{
		// As every client sees it through its own kube-apiserver …
		{"coordination.helium.dev", func(c *cluster) string { return c.kubeconfig }},
		// … and as an unmodified controller sees it on helium-apiserver's own endpoint.
		{"coordination.k8s.io", func(c *cluster) string { return c.direct }},
	} {
		t.Run(test.group, func(t *testing.T) {
			r := startRace(t, "election-"+test.group, test.group, test.kubeconfig)
			r.killLeadersAndFinish(t)
		})
	}
}

// The leader's cluster dies as a whole while the leader lives: it must stop by
// itself before another starts, and may stand again when its cluster is back.
func TestElectionMovesWhenTheLeadersClusterDies(t *testing.T) {
	r := startRace(t, "election-outage", "coordination.helium.dev", func(c *cluster) string { return c.kubeconfig })
	leader := r.waitForLeader(t, nil)
	for _, c := range clusters {
		if c.name == leader.name {
			c.crash()
			defer func() {
				if err := c.waitAvailable(append(builtin, shared...)...); err != nil {
					t.Error(err)
				}
			}()
			defer func() {
				if err := c.revive(); err != nil {
					t.Error(err)
				}
			}()
		}
	}
	next := r.waitForLeader(t, leader)
	if leader.leads(t) {
		t.Errorf("%s still believes to lead, and so does %s", leader.name, next.name)
	}
	leader.process.Kill() // the same that it would do if it were asked: it doesn't lead
	r.finish(t, next, 2)
}

// killLeadersAndFinish kills two leaders, one after the other.
func (r *race) killLeadersAndFinish(t *testing.T) {
	t.Helper()
	for range 2 {
		r.waitForLeader(t, nil).kill(t)
	}
	r.finish(t, r.waitForLeader(t, nil), 3)
}

func (c *candidate) kill(t *testing.T) {
	c.process.Kill()
	c.killed = bootTime(t)
}

// finish lets the last leader give its leadership back when it is asked to
// end, and judges the whole history: what the candidates believed, and what
// the Lease said.
func (r *race) finish(t *testing.T, last *candidate, leaders int) {
	t.Helper()
	if err := last.process.Stop(); err != nil {
		t.Error(err)
	}
	if last.leads(t) {
		t.Errorf("%s ended without giving up leadership", last.name)
	}
	for _, c := range r.candidates {
		c.process.Kill()
		if c.killed == 0 {
			c.killed = bootTime(t)
		}
	}
	now := bootTime(t)
	var intervals []interval
	for _, c := range r.candidates {
		intervals = append(intervals, c.intervals(t, now)...)
	}
	if len(intervals) < leaders {
		t.Errorf("expected %d leaders: %v", leaders, intervals)
	}
	if err := overlap(intervals); err != nil {
		t.Error(err)
	}
	terms := r.terms(t)
	if err := checkTerms(terms); err != nil {
		t.Error(err)
	}
	holders := 0
	for i, event := range terms {
		if event.Lease.Holder != "" && (i == 0 || event.Lease.Holder != terms[i-1].Lease.Holder) {
			holders++
		}
	}
	if holders < leaders {
		t.Errorf("the Lease had %d holders, expected %d: %v", holders, leaders, terms)
	}
}

// terms is the Lease's history as the watch of one of the living clusters
// showed it.
func (r *race) terms(t *testing.T) (terms []seen) {
	t.Helper()
	for _, recorder := range r.recorders {
		if ended, _ := recorder.cluster.helium.Ended(); ended {
			continue
		}
		lease, _ := recorder.cluster.get(t, "leases.coordination.helium.dev "+r.lease+" -n default")
		err := harness.WaitFor(recorder.cluster.name+"'s watch has the Lease's last change", 10*time.Second, func() error {
			events, err := recorder.snapshot()
			if err != nil {
				return &harness.FinalError{Err: err}
			}
			terms = slices.DeleteFunc(events, func(e seen) bool { return e.Name != r.lease })
			if len(terms) == 0 || fmt.Sprint(terms[len(terms)-1].Revision) != lease.ResourceVersion {
				return fmt.Errorf("it isn't there after %d events", len(terms))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return terms
}

// overlap finds two candidates that believed to lead at the same time.
func overlap(intervals []interval) error {
	for i, a := range intervals {
		for _, b := range intervals[i+1:] {
			if a.start < b.end && b.start < a.end {
				return fmt.Errorf("%s and %s led at the same time: %v, %v", a.name, b.name, a, b)
			}
		}
	}
	return nil
}

// The judges themselves: what they exist to find, they find.
func TestJudgesOfElections(t *testing.T) {
	if err := overlap([]interval{{"a", 10, 20}, {"b", 20, 30}, {"a", 31, 40}}); err != nil {
		t.Errorf("terms one after the other: %v", err)
	}
	if err := overlap([]interval{{"a", 10, 20}, {"b", 19, 30}}); err == nil {
		t.Error("two leaders at once were not found")
	}
	at := func(seconds float64) time.Time { return time.UnixMilli(int64(1000 * seconds)) }
	term := func(holder string, acquired, renewed float64, transitions int32) seen {
		return seen{Lease: leaseSpec{holder, transitions, at(acquired), at(renewed), 5 * time.Second}}
	}
	for name, test := range map[string]struct {
		terms []seen
		fair  bool
	}{
		"taken after it ran out":   {[]seen{term("a", 0, 0, 0), term("a", 0, 3, 0), term("b", 8, 8, 1)}, true},
		"taken after it was given": {[]seen{term("a", 0, 0, 0), term("", 0, 1, 0), term("b", 1, 1, 1)}, true},
		"taken too early":          {[]seen{term("a", 0, 0, 0), term("a", 0, 3, 0), term("b", 7, 7, 1)}, false},
		"renewed in one second":    {[]seen{term("a", 0.1, 0.1, 0), term("a", 0.1, 0.9, 0), term("b", 5.2, 5.2, 1)}, true},
		"taken in the next second": {[]seen{term("a", 0.1, 0.1, 0), term("a", 0.1, 1.1, 0), term("b", 5.9, 5.9, 1)}, false},
		"not counted":              {[]seen{term("a", 0, 0, 0), term("b", 8, 8, 0)}, false},
	} {
		if err := checkTerms(test.terms); (err == nil) != test.fair {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// waitForLeader waits until one of the living candidates leads, other than a
// given one.
func (r *race) waitForLeader(t *testing.T, other *candidate) (leader *candidate) {
	t.Helper()
	err := harness.WaitFor("one of the candidates leads", time.Minute, func() error {
		for _, c := range r.candidates {
			if ended, err := c.process.Ended(); ended && c.killed == 0 {
				return &harness.FinalError{Err: fmt.Errorf("%s ended: %v\n%s", c.name, err, c.process.LogTail(2000))}
			}
			if c != other && c.leads(t) {
				leader = c
				return nil
			}
		}
		return errors.New("none does yet")
	})
	if err != nil {
		t.Fatal(err)
	}
	return leader
}
