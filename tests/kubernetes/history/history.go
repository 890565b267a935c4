// Package history judges what happened in elections: who believed to lead when,
// and which writes of leaders were accepted.
//
// # What is judged
//
// A stock client promises less than one may think. Its leader stops when it
// couldn't renew for its renew deadline, by its own clock, if it runs. A process
// that is stopped, or whose request hangs without a timeout, goes on believing.
// So what a lease gives is an [Interval]: from the moment a candidate is told
// that it leads until it stops, or is dead, and at the latest until its last
// acknowledged renewal, counted from the *sending* of that renewal, is a lease
// duration old; after that nobody promises it anything.
//
//   - One leader: intervals of different candidates of a lease never overlap.
//   - Growing tokens: each term's fencing token is greater than all before it,
//     of the same lease.
//   - Fences hold: in the order of the store, the tokens of accepted writes never
//     go back, and no write with a token is accepted once the next term began,
//     whatever a paused leader believes.
//   - Nothing is invented: a write that was acknowledged is in the object's
//     history, once; a write that was refused isn't; and each token that a
//     candidate used was one that the store gave to that candidate.
//
// What a leader believes beyond its interval is not judged but reported: that is
// the part of the time in which only the fence stands between it and the data.
//
// Times are CLOCK_BOOTTIME in nanoseconds; all processes are on one machine.
package history

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"helium.dev/tests/kubernetes/trace"
)

// History is all that is known of one run.
type History struct {
	Title string `json:"title"`
	Seed  int64  `json:"seed"`
	// Wall is the time of day at Began.
	Wall  time.Time `json:"wall"`
	Began int64     `json:"began"`
	Ended int64     `json:"ended"`
	// Lease is the duration of all leases.
	Lease  time.Duration     `json:"lease"`
	Runs   []Run             `json:"runs"`
	Faults []Fault           `json:"faults"`
	Terms  map[string][]Term `json:"terms"` // by lease, in the order of the store
	// Writes are the versions of the object that a lease protects which a
	// leader's write made, in the order of the store; by lease.
	Writes map[string][]Write `json:"writes"`
}

// Run is the life of one process.
type Run struct {
	Program  string       `json:"program"` // client-go, controller-runtime, kube-rs, python
	Cluster  string       `json:"cluster"`
	Lease    string       `json:"lease"`
	Identity string       `json:"identity"`
	Lines    []trace.Line `json:"lines"`
	// Dead is when it was gone for certain; 0 if it outlived the history.
	Dead int64 `json:"dead"`
}

// Fault is one thing that was broken for a while.
type Fault struct {
	Kind   string `json:"kind"`
	Target string `json:"target"`
	Began  int64  `json:"began"`
	Ended  int64  `json:"ended"`
	// Disables names the cluster whose agent could do nothing about its payload
	// meanwhile: it didn't run, or had no way to its own API server.
	Disables string `json:"disables,omitempty"`
}

// Term is a lease's term as the store has it.
type Term struct {
	Token   int64  `json:"token"` // the revision that began it
	Holder  string `json:"holder"`
	Cluster string `json:"cluster"`
}

// Write is one version of a protected object.
type Write struct {
	Revision int64  `json:"revision"`
	Token    int64  `json:"token"` // what the writer said
	Holder   string `json:"holder"`
	// At is when the writer sent it, which tells its writes apart.
	At int64 `json:"at"`
}

// Interval is a time in which a candidate may act as leader.
type Interval struct {
	Run   *Run  `json:"-"`
	Start int64 // it was told that it leads
	End   int64 // see the package's documentation
	// Believed is when it stopped believing, or died. It may be later than End.
	Believed int64
	Token    int64 // of its first write or renewal that names one, else 0
}

// Intervals returns the intervals of a lease in the order in which they began.
func (h *History) Intervals(lease string) []Interval {
	var all []Interval
	for i := range h.Runs {
		if h.Runs[i].Lease == lease {
			all = append(all, h.Runs[i].intervals(h.Ended, h.Lease)...)
		}
	}
	slices.SortStableFunc(all, func(a, b Interval) int { return cmp.Compare(a.Start, b.Start) })
	return all
}

// Leases returns the names of all leases, sorted.
func (h *History) Leases() []string {
	var names []string
	for _, run := range h.Runs {
		if !slices.Contains(names, run.Lease) {
			names = append(names, run.Lease)
		}
	}
	slices.Sort(names)
	return names
}

func (r *Run) intervals(ended int64, lease time.Duration) (all []Interval) {
	if r.Dead != 0 {
		ended = r.Dead
	}
	var renewed int64 // when the last acknowledged renewal was sent
	var token int64
	var open *Interval
	shut := func(at int64) {
		if open != nil {
			open.Believed = at
			open.End = max(open.Start, min(at, renewed+int64(lease)))
			all = append(all, *open)
			open = nil
		}
	}
	for _, line := range r.Lines {
		switch line.Event {
		case trace.Renewed:
			renewed = max(renewed, line.Sent)
			token = line.Token
		case trace.Started:
			shut(line.Boot)
			open = &Interval{Run: r, Start: line.Boot, Token: max(token, line.Token)}
		case trace.Wrote:
			if open != nil && open.Token == 0 {
				open.Token = line.Token
			}
		case trace.Stopped:
			shut(line.Boot)
		}
	}
	shut(ended)
	return all
}

// ReadLines reads what a program printed; what isn't a line of the protocol is
// its own log and skipped.
func ReadLines(r io.Reader) (lines []trace.Line, err error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line trace.Line
		switch err := json.Unmarshal(scanner.Bytes(), &line); {
		case err == nil && line.Event != "":
			lines = append(lines, line)
		case bytes.Contains(scanner.Bytes(), []byte(`"event"`)):
			return nil, fmt.Errorf("a line is broken, and what it said is lost: %s", scanner.Bytes())
		}
	}
	return lines, scanner.Err()
}

// Read reads a history that Write wrote.
func Read(r io.Reader) (*History, error) {
	var h History
	if err := json.NewDecoder(r).Decode(&h); err != nil {
		return nil, fmt.Errorf("reading a history: %w", err)
	}
	return &h, nil
}

// Write writes the history, from which it can be judged again.
func (h *History) Write(w io.Writer) error { return json.NewEncoder(w).Encode(h) }
