package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
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
		t.Run(test.group, func(t *testing.T) { elect(t, test.group, test.kubeconfig) })
	}
}

func elect(t *testing.T, group string, kubeconfig func(*cluster) string) {
	path, err := harness.Component("election")
	if err != nil {
		t.Fatal(err)
	}
	var all []*candidate
	for _, c := range clusters {
		name := c.name + "-" + strings.ReplaceAll(group, ".", "-")
		process, err := c.env.Start(harness.Spec{Name: "candidate-" + name, Path: path, Args: []string{
			"--kubeconfig", kubeconfig(c), "--group", group, "--name", "election-" + group, "--identity", name,
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(process.Kill)
		all = append(all, &candidate{name: name, process: process})
	}
	for range 2 {
		leader := waitForLeader(t, all)
		leader.process.Kill()
		leader.killed = bootTime(t)
	}
	last := waitForLeader(t, all)
	// The one that is left gives its leadership back when it is asked to end.
	if err := last.process.Stop(); err != nil {
		t.Error(err)
	}
	if last.leads(t) {
		t.Errorf("%s ended without giving up leadership", last.name)
	}

	now := bootTime(t)
	var intervals []interval
	for _, c := range all {
		intervals = append(intervals, c.intervals(t, now)...)
	}
	if len(intervals) < 3 {
		t.Errorf("expected three leaders: %v", intervals)
	}
	for i, a := range intervals {
		for _, b := range intervals[i+1:] {
			if a.start < b.end && b.start < a.end {
				t.Errorf("%s and %s led at the same time: %v, %v", a.name, b.name, a, b)
			}
		}
	}
}

// waitForLeader waits until one of the living candidates leads.
func waitForLeader(t *testing.T, all []*candidate) (leader *candidate) {
	t.Helper()
	err := harness.WaitFor("one of the candidates leads", time.Minute, func() error {
		for _, c := range all {
			if ended, err := c.process.Ended(); ended && c.killed == 0 {
				return &harness.FinalError{Err: fmt.Errorf("%s ended: %v\n%s", c.name, err, c.process.LogTail(2000))}
			}
			if c.leads(t) {
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
