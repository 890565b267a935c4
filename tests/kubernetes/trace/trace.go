// Package trace lets a program that stands for election tell what it does, and
// do the work of a leader: it looks at the election from outside, through the
// requests that pass, so that the elector itself stays as it is.
//
// A line is one JSON object on standard output; tests/programs/README.md says
// what each field means. Times are CLOCK_BOOTTIME in nanoseconds, which can be
// compared between the processes of one machine.
package trace

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Line is what a program says.
type Line struct {
	Identity string `json:"identity"`
	Event    string `json:"event"`
	Leader   string `json:"leader,omitempty"`
	Token    int64  `json:"token,omitempty"`
	// Sent is when the request was sent that this is the answer to.
	Sent int64 `json:"sent,omitempty"`
	Boot int64 `json:"boot"`
	// Wall is for people.
	Wall     string `json:"wall,omitempty"`
	Outcome  string `json:"outcome,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	Message  string `json:"message,omitempty"`
}

// The events.
const (
	Started = "started" // it believes to lead from here on
	Stopped = "stopped" // it no longer does
	Leader  = "leader"  // whom it sees lead
	Renewed = "renewed" // an acquisition or renewal was acknowledged
	Wrote   = "wrote"   // a write of its work was answered, or not
)

// The outcomes of a write.
const (
	Accepted = "accepted" // it happened, at Revision
	Refused  = "refused"  // it didn't happen
	Unknown  = "unknown"  // nobody answered: it may have happened, or happen yet
)

var output sync.Mutex

// Say prints a line, with the present time unless it has one. A program that
// can't speak ends: what it does would count as something it didn't do.
func Say(line Line) {
	if line.Boot == 0 {
		line.Boot = Now()
	}
	line.Wall = time.Now().UTC().Format(time.RFC3339Nano)
	output.Lock()
	defer output.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		os.Exit(1)
	}
}

// Now reads CLOCK_BOOTTIME.
func Now() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		fmt.Fprintf(os.Stderr, "reading the clock: %v\n", err)
		os.Exit(1)
	}
	return now.Nano()
}
