package smoke

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// stream is a running etcdctl whose lines are read as they come.
type stream struct {
	t      *testing.T
	name   string
	lines  chan string
	stdin  io.WriteCloser
	cancel context.CancelFunc
	ended  chan struct{}
}

// follow starts a command that runs until stop, which interrupts it as Ctrl-C.
func (on target) follow(t *testing.T, args ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	command := on.command(ctx, t, args...)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s := &stream{t, on.name + ": etcdctl " + strings.Join(args, " "), make(chan string, 1000), stdin, cancel, make(chan struct{})}
	go func() {
		defer close(s.ended)
		defer close(s.lines)
		scanner := bufio.NewScanner(out)
		for scanner.Scan() {
			s.lines <- scanner.Text()
		}
		_ = command.Wait()
	}()
	t.Cleanup(s.stop)
	return s
}

func (s *stream) stop() {
	s.cancel()
	<-s.ended
}

func (s *stream) say(line string) {
	s.t.Helper()
	if _, err := fmt.Fprintln(s.stdin, line); err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
}

// line waits for the next line.
func (s *stream) line() string {
	s.t.Helper()
	select {
	case line, ok := <-s.lines:
		if !ok {
			s.t.Fatalf("%s ended", s.name)
		}
		return line
	case <-time.After(20 * time.Second):
		s.t.Fatalf("%s printed nothing for 20 s", s.name)
	}
	return ""
}

// until reads lines up to and including one.
func (s *stream) until(last string) (lines []string) {
	s.t.Helper()
	for {
		lines = append(lines, s.line())
		if lines[len(lines)-1] == last {
			return lines
		}
	}
}

func TestWatch(t *testing.T) {
	for i, options := range []string{
		"--prefix",
		"--prefix --prev-kv",
		"--prefix -w json",
		"--prefix --prev-kv -w fields",
	} {
		t.Run(options, func(t *testing.T) {
			prefix := fmt.Sprintf("watch/%d/", i)
			syncRevisions(t)
			start := revision(t, oracle) + 1
			in := func(text string) []string { return strings.Fields(strings.ReplaceAll(text, "P/", prefix)) }
			for _, line := range []string{"put P/a 1", "put P/b 1", "put P/a 2", "del P/b", "put other 1"} {
				both(t, "", in(line)...)
			}
			args := append([]string{"watch", prefix, fmt.Sprintf("--rev=%d", start)}, strings.Fields(options)...)
			streams := []*stream{oracle.follow(t, args...), subject.follow(t, args...)}
			for _, on := range []target{oracle, subject} {
				on.must(t, "put", prefix+"live", "1")
				on.etcdctl(t, strings.ReplaceAll("\nput P/x 1\ndel P/live\nput P/end END\n\n\n", "P/", prefix), "txn")
			}
			want, got := streams[0].untilEnd(oracle), streams[1].untilEnd(subject)
			if strings.HasSuffix(options, "json") {
				// How events are grouped into messages is a matter of timing.
				want, got = events(want), events(got)
			}
			if strings.HasSuffix(options, "fields") {
				// The header is printed once a message.
				want, got = withoutHeaders(want), withoutHeaders(got)
			}
			if !slices.Equal(want, got) {
				t.Errorf("--- etcd\n%s\n--- %s\n%s", strings.Join(want, "\n"), subject.name, strings.Join(got, "\n"))
			}
		})
	}
}

// untilEnd reads up to the line that has END in it, as text or in base64.
func (s *stream) untilEnd(on target) (lines []string) {
	s.t.Helper()
	for {
		line := s.line()
		lines = append(lines, on.normal(line))
		if strings.Contains(line, "END") || strings.Contains(line, "RU5E") {
			return lines
		}
	}
}

func withoutHeaders(lines []string) []string {
	return slices.DeleteFunc(lines, func(line string) bool {
		for _, field := range []string{`"ClusterID"`, `"MemberID"`, `"Revision"`, `"RaftTerm"`} {
			if strings.HasPrefix(line, field) {
				return true
			}
		}
		return false
	})
}

// events takes the events out of lines of JSON.
func events(lines []string) (all []string) {
	for _, line := range lines {
		_, list, _ := strings.Cut(line, `"Events":[`)
		list, _, _ = strings.Cut(list, `],"CompactRevision"`)
		for event := range strings.SplitSeq(list, `},{`) {
			all = append(all, strings.Trim(event, "{}"))
		}
	}
	return all
}

func TestWatchInteractive(t *testing.T) {
	syncRevisions(t)
	var outputs [][]string
	for _, on := range []target{oracle, subject} {
		s := on.follow(t, "watch", "-i")
		s.say("watch inter/a")
		s.say("watch inter/b")
		// Watches begin at "now": write until the first event shows that they have.
		on.waitForWatch(t, s, "inter/a")
		on.waitForWatch(t, s, "inter/b")
		on.must(t, "put", "inter/a", "END")
		lines := s.until("END")
		s.say("progress")
		lines = append(lines, strings.Fields(s.line())[0]) // "progress notify: <revision>"
		outputs = append(outputs, lines)
	}
	if !slices.Equal(outputs[0], outputs[1]) {
		t.Errorf("etcd: %q\nsubject: %q", outputs[0], outputs[1])
	}
}

// waitForWatch writes to a key until an event of it arrives, and reads all
// events that the writing caused.
func (on target) waitForWatch(t *testing.T, s *stream, key string) {
	t.Helper()
	for i := range 100 {
		value := fmt.Sprintf("%s-probe-%d", key, i)
		on.must(t, "put", key, value)
		select {
		case line := <-s.lines:
			for line != value {
				line = s.line()
			}
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
	t.Fatalf("%s: no event of %s arrived", s.name, key)
}

func TestLock(t *testing.T) {
	for _, on := range []target{oracle, subject} {
		t.Run(on.name, func(t *testing.T) {
			if out := on.must(t, "lock", "mutex", "echo", "locked"); out != "locked\n" {
				t.Errorf("a command under the lock printed %q", out)
			}
			if a := on.etcdctl(t, "", "lock", "mutex", "sh", "-c", "exit 7"); a.code == 0 {
				t.Errorf("a command that fails under the lock must fail: %s", a)
			}
			first := on.follow(t, "lock", "mutex")
			if key := first.line(); !strings.HasPrefix(key, "mutex/") {
				t.Fatalf("lock printed %q", key)
			}
			second := on.follow(t, "lock", "mutex")
			// Both wait in line once two keys are there; the second must not be told.
			for len(strings.Fields(on.must(t, "get", "mutex/", "--prefix", "--keys-only"))) < 2 {
				time.Sleep(10 * time.Millisecond)
			}
			select {
			case line := <-second.lines:
				t.Fatalf("two hold the lock: %q", line)
			case <-time.After(300 * time.Millisecond):
			}
			first.stop()
			if key := second.line(); !strings.HasPrefix(key, "mutex/") {
				t.Fatalf("lock printed %q", key)
			}
		})
	}
}

func TestElect(t *testing.T) {
	for _, on := range []target{oracle, subject} {
		t.Run(on.name, func(t *testing.T) {
			first := on.follow(t, "elect", "race", "one")
			if key := first.line(); !strings.HasPrefix(key, "race/") {
				t.Fatalf("elect printed %q", key)
			}
			if value := first.line(); value != "one" {
				t.Fatalf("elect printed %q", value)
			}
			observer := on.follow(t, "elect", "--listen", "race")
			observer.until("one")
			second := on.follow(t, "elect", "race", "two")
			for len(strings.Fields(on.must(t, "get", "race/", "--prefix", "--keys-only"))) < 2 {
				time.Sleep(10 * time.Millisecond)
			}
			first.stop()
			second.until("two")
			observer.until("two")
		})
	}
}

// A minute of 150 writes a second, of which none may take half a second. Both
// servers get it at once: where the machine is too busy for a real etcd, too,
// the slowest request proves nothing.
func TestCheckPerf(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	servers := []target{oracle, subject}
	answers := make([]answer, len(servers))
	var running sync.WaitGroup
	for i, on := range servers {
		running.Go(func() {
			answers[i] = on.etcdctl(t, "", "check", "perf", "--load=s", "--prefix", "/perf/", "--auto-compact")
		})
	}
	running.Wait()
	for _, want := range []string{"PASS: Throughput", "PASS: Slowest", "PASS: Stddev"} {
		if !strings.Contains(answers[1].out, want) && (want == "PASS: Throughput" || strings.Contains(answers[0].out, want)) {
			t.Errorf("no %q\n--- etcd\n%s--- %s\n%s", want, answers[0].out, subject.name, answers[1].out)
		}
	}
	if code := answers[1].code; code != 0 && answers[0].code == 0 {
		t.Errorf("exit status %d", code)
	}
}

// A lease lives as long as it is kept alive, and its keys go with it.
func TestLeaseKeptAliveByAStream(t *testing.T) {
	t.Run("both", func(t *testing.T) { // ends when both are done
		for _, on := range []target{oracle, subject} {
			t.Run(on.name, func(t *testing.T) {
				t.Parallel()
				id := grant(t, on, "2")
				on.must(t, "put", "kept-alive", "1", "--lease="+id)
				keeping := on.follow(t, "lease", "keep-alive", id)
				began := time.Now()
				for time.Since(began) < 4*time.Second { // twice its time to live
					if line := keeping.line(); !strings.Contains(line, "keepalived with TTL(2)") {
						t.Fatalf("keep-alive printed %q", line)
					}
				}
				if out := on.must(t, "get", "kept-alive", "--print-value-only"); out != "1\n" {
					t.Fatalf("the key of a living lease: %q", out)
				}
				keeping.stop()
				watching := on.follow(t, "watch", "kept-alive", fmt.Sprintf("--rev=%d", revision(t, on)))
				watching.until("DELETE")
				if out := on.must(t, "lease", "timetolive", id); !strings.Contains(out, "already expired") {
					t.Errorf("a lease that ran out: %s", out)
				}
			})
		}
	})
	syncRevisions(t)
}
