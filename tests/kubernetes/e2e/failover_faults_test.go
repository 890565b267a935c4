package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/history"
	"helium.dev/tests/kubernetes/trace"
)

// failoverOnly skips a test of failover where the clusters have no agents.
func failoverOnly(t *testing.T) {
	t.Helper()
	if !failing() {
		t.Skip("the clusters need agents and nodes: E2E_FAILOVER=1")
	}
}

// Two groups, one of each mode, with a member in each of three clusters and real
// payloads, whose pods write to shared objects. Whatever happens, a strict group's payload is never in
// two clusters, a fast group's only where its agent was kept from stopping it, and what is written with an old
// token isn't accepted.
func TestFailoverWhateverHappens(t *testing.T) {
	failoverOnly(t)
	faults := int64(40)
	if os.Getenv("HELIUM_TEST_FULL") == "1" {
		faults = 500
	}
	faults, seed := number(t, "E2E_FAULTS", faults), number(t, "E2E_SEED", time.Now().UnixNano()%1_000_000)
	t.Logf("%d faults with E2E_SEED=%d", faults, seed)
	r, err := startTrial(seed, map[string]string{"quick": history.Fast, "careful": history.Strict}, []string{"quick", "careful"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.clear(); err != nil {
			t.Error(err)
		}
	})
	progress := func(text string) { fmt.Printf("%6.1f s  %s\n", time.Duration(trace.Now()-r.began).Seconds(), text) }
	if err := r.suffer(int(faults), progress); err != nil {
		t.Error(err)
	}
	// With everything whole again each group must get a leader that works, without help.
	if err := r.settled(startBound); err != nil {
		t.Error(err)
	}
	f, err := r.finish(fmt.Sprintf("A payload in one cluster: %d faults", faults))
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range history.JudgeFailover(f) {
		t.Errorf("%v", finding)
	}
	for i := range f.Groups {
		g := &f.Groups[i]
		m := history.MeasureFailover(f, g)
		t.Logf("%s (%s): %d terms, %d changes of cluster, %v; %d writes accepted, %d refused, %d unanswered; %d overlaps that fast mode allows",
			g.Name, g.Mode, m.Terms, m.Takeovers, m.ByCluster, m.Accepted, m.Stale, m.Unknown, m.Excused)
		if m.Takeovers < int(faults)/20 || m.Accepted == 0 {
			t.Errorf("%s changed its cluster too rarely to show anything: %+v", g.Name, m)
		}
	}
	dir := os.Getenv("E2E_REPORTS")
	if dir == "" {
		dir = clusters[0].env.Dir
	}
	name := fmt.Sprintf("failover-%d-faults", faults)
	if err := writeFailoverReport(f, dir, name); err != nil {
		t.Error(err)
	}
	t.Logf("the report is %s", filepath.Join(dir, name+".md"))
}

// writeFailoverReport keeps a history with its report and picture in a folder.
func writeFailoverReport(f *history.Failover, dir, name string) error {
	return keepReport(dir, name, f.Write,
		func(w io.Writer) error { return history.FailoverReport(w, f, name+".svg") },
		func(w io.Writer) error { return history.FailoverTimeline(w, f) })
}

// What the fence is for: the agent of a fast group's leader is paused for longer than its lease, and
// the payload's pods write on. Without their fence that is accepted, and the judge must say so; with it it is refused.
func TestFailoverOfAPausedAgent(t *testing.T) {
	failoverOnly(t)
	for _, unfenced := range []bool{true, false} {
		t.Run(map[bool]string{true: "without a fence", false: "with a fence"}[unfenced], func(t *testing.T) {
			works.unfenced.Store(unfenced)
			defer works.unfenced.Store(false)
			callsign := fmt.Sprintf("paused-%v", unfenced)
			r, err := startTrial(1, map[string]string{callsign: history.Fast}, []string{callsign})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := r.clear(); err != nil {
					t.Error(err)
				}
			})
			name, token := seer.holder("default/" + callsign)
			old := named(name)
			fault := history.Fault{Kind: "an agent is paused", Target: name, Disables: name, Began: trace.Now()}
			if err := old.pauseAgent(); err != nil {
				t.Fatal(err)
			}
			resume := func() {
				if err := old.resumeAgent(); err != nil {
					t.Error(err)
				}
			}
			// The old pods write on for a while after the successor's first.
			err = harness.WaitFor("a successor's pods write, and the old ones try", startBound, func() error {
				var mine, theirs int
				for _, run := range workersOf("default/" + callsign) {
					for _, line := range run.Lines {
						switch {
						case line.Event != trace.Wrote:
						case run.Cluster == name && line.Sent > fault.Began && (unfenced || line.Outcome == trace.Refused):
							mine++
						case run.Cluster != name && line.Outcome == trace.Accepted:
							theirs++
						}
					}
				}
				if mine < 3 || theirs < 3 {
					return fmt.Errorf("%d late writes, %d of a successor", mine, theirs)
				}
				if now, _ := seer.holder("default/" + callsign); unfenced && now == name {
					return fmt.Errorf("%s leads still", now)
				}
				return nil
			})
			if unfenced && err == nil {
				// One more second, in which both write.
				err = harness.WaitFor("a stale write", 10*time.Second, func() (err error) {
					err = fmt.Errorf("none so far")
					seer.look("default/"+callsign, func(g *witnessed) {
						for _, w := range g.Writes {
							if n := len(g.Terms); w.Token == token && w.Revision > g.Terms[n-1].Token {
								err = nil
							}
						}
					})
					return err
				})
			}
			resume()
			fault.Ended = trace.Now()
			r.faults = append(r.faults, fault)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.settled(startBound); err != nil {
				t.Error(err)
			}
			f, err := r.finish("a paused agent")
			if err != nil {
				t.Fatal(err)
			}
			found := history.JudgeFailover(f)
			stale := 0
			for _, finding := range found {
				if unfenced && finding.Rule == history.FencesHold {
					stale++
				} else {
					t.Errorf("%v", finding)
				}
			}
			if unfenced && stale == 0 {
				t.Error("stale writes were accepted, and the judge found none")
			}
			if m := history.MeasureFailover(f, &f.Groups[0]); m.Excused == 0 {
				t.Errorf("both clusters must have had the payload for a while: %+v", m)
			}
		})
	}
}
