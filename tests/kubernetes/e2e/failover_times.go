package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/trace"
)

// passage is one change of leader, as the witness saw it. Times are of one clock;
// what is measured lies between two events of watches, each of which may be late by about a millisecond.
type passage struct {
	// Released is from the acknowledged end of the old term to the new leader's saying
	// that it leads; 0 where nothing was given up.
	Released time.Duration `json:"released,omitempty"`
	// Whole is from the cause, the moment before the command is sent or right after
	// the kill, to the new leader's saying that it leads.
	Whole time.Duration `json:"whole"`
	// There is from the cause until the first of the new leader's objects exists.
	There time.Duration `json:"there"`
}

// passages are all of one cause.
type passages struct {
	Cause string    `json:"cause"`
	Crash bool      `json:"crash"`
	All   []passage `json:"all"`
}

// measurement is what a run has measured.
type measurement struct {
	Wall     time.Time     `json:"wall"`
	Machine  string        `json:"machine"`
	Lease    time.Duration `json:"lease"`
	Budget   time.Duration `json:"stopBudget"`
	Passages []passages    `json:"passages"`
}

// follow waits until another cluster than the one that led says that it leads,
// and tells how long that took since the cause.
func follow(callsign, from string, cause int64, bound time.Duration) (to string, p passage, err error) {
	err = harness.WaitFor("another leads "+callsign, bound, func() error {
		seen := false
		seer.look("default/"+callsign, func(g *witnessed) {
			for _, state := range g.States {
				if state.At <= cause || state.State != "Leading" || state.Cluster == from {
					continue
				}
				seen, to = true, state.Cluster
				p.Whole = time.Duration(state.At - cause)
				for _, lease := range g.Leases {
					if lease.At > cause && lease.At <= state.At && lease.Holder == "" {
						p.Released = time.Duration(state.At - lease.At)
					}
				}
				for _, life := range slices.Backward(g.Lives) {
					if life.Cluster == to && life.Seen > cause && !life.Derived {
						p.There = time.Duration(life.Seen - cause)
					}
				}
				return
			}
		})
		if !seen {
			return fmt.Errorf("%s led last", from)
		}
		return nil
	})
	return to, p, err
}

// statistics are those of some durations.
type statistics struct{ Median, P99, Worst time.Duration }

func statisticsOf(all []time.Duration) (s statistics) {
	if len(all) == 0 {
		return s
	}
	all = slices.Clone(all)
	slices.Sort(all)
	n := len(all)
	return statistics{Median: all[n/2], P99: all[min(n-1, n*99/100)], Worst: all[n-1]}
}

// collect takes one figure of each passage.
func (p *passages) collect(figure func(passage) time.Duration) (all []time.Duration) {
	for _, one := range p.All {
		all = append(all, figure(one))
	}
	return all
}

// write writes the measurement as JSON and as Markdown.
func (m *measurement) write(dir string) error {
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "failover-times.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "failover-times.md"))
	if err != nil {
		return err
	}
	defer file.Close()
	return m.report(file)
}

func (m *measurement) report(w io.Writer) (err error) {
	line := func(format string, arguments ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format+"\n", arguments...)
		}
	}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
	line("# How long failing over takes")
	line("")
	line("%s, %s. Three real kube-apiservers with their controllers, a helium-apiserver, kine-shim and agent each, one PostgreSQL,", m.Wall.UTC().Format("2 January 2006"), m.Machine)
	line("all on that machine. Fast mode, T = %v, stop budget %v; the payload is a ConfigMap and a Deployment. Written by `bench/run.sh failover`.", m.Lease, m.Budget)
	line("")
	line("## Hand-overs")
	line("")
	line("Seconds. *Stop to lead*: from the release of the lease, with which the old leader acknowledges that its payload is gone, until the new one")
	line("says that it leads, its payload applied. *Whole*: from sending the command. *Payload there*: from sending the command until the new")
	line("leader's first object exists.")
	line("")
	line("| cause | times | stop to lead: median | p99 | worst | whole: median | p99 | worst | payload there: median | worst |")
	line("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for i := range m.Passages {
		p := &m.Passages[i]
		if p.Crash {
			continue
		}
		released := statisticsOf(p.collect(func(p passage) time.Duration { return p.Released }))
		whole := statisticsOf(p.collect(func(p passage) time.Duration { return p.Whole }))
		there := statisticsOf(p.collect(func(p passage) time.Duration { return p.There }))
		line("| %s | %d | %s | %s | %s | %s | %s | %s | %s | %s |", p.Cause, len(p.All), seconds(released.Median), seconds(released.P99), seconds(released.Worst),
			seconds(whole.Median), seconds(whole.P99), seconds(whole.Worst), seconds(there.Median), seconds(there.Worst))
	}
	line("")
	line("## Crashes")
	line("")
	line("Seconds from the kill until another cluster says that it leads, its payload applied. The old term can't end before its last record is T old.")
	line("")
	line("| cause | times | median | p99 | worst | worst beyond T | payload there: median | worst |")
	line("|---|---:|---:|---:|---:|---:|---:|---:|")
	for i := range m.Passages {
		p := &m.Passages[i]
		if !p.Crash {
			continue
		}
		whole := statisticsOf(p.collect(func(p passage) time.Duration { return p.Whole }))
		there := statisticsOf(p.collect(func(p passage) time.Duration { return p.There }))
		line("| %s | %d | %s | %s | %s | %s | %s | %s |", p.Cause, len(p.All), seconds(whole.Median), seconds(whole.P99), seconds(whole.Worst),
			seconds(whole.Worst-m.Lease), seconds(there.Median), seconds(there.Worst))
	}
	return err
}

// machine says on what was measured.
func machine() string {
	return fmt.Sprintf("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}

// now is the time of a cause.
func now() int64 { return trace.Now() }
