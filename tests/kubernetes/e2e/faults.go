package e2e

import (
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/history"
	"helium.dev/tests/kubernetes/trace"
)

// faultKind is a way of breaking something.
type faultKind struct {
	name string
	// hold is how long it lasts, from and to.
	from, to time.Duration
	// prepare chooses what it hits and returns how it begins and ends.
	prepare func(r *ordeal) (target string, begin, end func() error)
}

// deck are twenty faults, from which a run draws until it is empty, and then
// from the next: each kind comes as often in any run.
func deck() (all []faultKind) {
	add := func(times int, kind faultKind) {
		for range times {
			all = append(all, kind)
		}
	}
	add(4, faultKind{"a program is killed", 0, 0, (*ordeal).killProgram})
	add(4, faultKind{"a program is paused", (leaseSeconds + 1) * time.Second, (leaseSeconds + 4) * time.Second, (*ordeal).pauseProgram})
	for i, way := range []string{toAPIServer, toHelium, toStore, toDatabase} {
		cut := func(r *ordeal) (string, func() error, func() error) { return r.cut(way) }
		add([]int{3, 2, 2, 2}[i], faultKind{"cut: " + way, time.Second, 10 * time.Second, cut})
	}
	add(1, faultKind{"helium-apiserver is killed", time.Second, 4 * time.Second, func(r *ordeal) (string, func() error, func() error) {
		c := r.cluster()
		return c.name, crash(c.helium), c.helium.Restart
	}})
	add(1, faultKind{"kine-shim is killed", time.Second, 4 * time.Second, func(r *ordeal) (string, func() error, func() error) {
		c := r.cluster()
		return c.name, crash(c.shim), c.shim.Restart
	}})
	add(1, faultKind{"PostgreSQL ends at once and is started again", 0, time.Second, func(*ordeal) (string, func() error, func() error) {
		return "all", func() error {
			// As pg_ctl -m immediate does: no checkpoint, every connection gone.
			if err := database.Signal(syscall.SIGQUIT); err != nil {
				return err
			}
			_ = database.Wait() // it reports that it was ended so
			return nil
		}, database.Restart
	}})
	return all
}

func crash(p *harness.Process) func() error {
	return func() error { p.Kill(); return nil }
}

// ordeal is a run of elections while things break.
type ordeal struct {
	random *rand.Rand
	seed   int64
	posts  []*post
	leases []string
	tap    *tap
	wall   time.Time
	began  int64
	faults []history.Fault
}

// startOrdeal starts posts that stand for election, and reads the store.
func startOrdeal(seed int64, posts []*post) (*ordeal, error) {
	r := &ordeal{random: rand.New(rand.NewSource(seed)), seed: seed, posts: posts, wall: time.Now(), began: trace.Now()}
	var stores []string
	for _, c := range clusters {
		stores = append(stores, c.store.Endpoint)
	}
	var err error
	if r.tap, err = startTap(stores); err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, p := range posts {
		if !known[p.lease] {
			known[p.lease] = true
			r.leases = append(r.leases, p.lease)
			if _, err := clusters[0].kubectl(festival(p.lease, "1"), "create", "-f", "-"); err != nil {
				return r, err
			}
		}
		if err := p.start(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// close ends what is left.
func (r *ordeal) close() {
	for _, p := range r.posts {
		if len(p.lives) > 0 {
			p.kill()
		}
	}
	r.tap.close()
}

// leader is the post that wrote last as the leader of a lease, if it lives.
func (r *ordeal) leader(lease string) *post {
	return holding(r.posts, r.tap.lastWrite(lease).Holder)
}

// victim is, each one time of three, the leader of the lease that changed hands
// least, the leader of any, and anybody.
func (r *ordeal) victim() *post {
	lease := r.leases[r.random.Intn(len(r.leases))]
	switch r.random.Intn(3) {
	case 0:
		lease = slices.MinFunc(r.leases, func(a, b string) int { return r.tap.changes(a) - r.tap.changes(b) })
		fallthrough
	case 1:
		if leader := r.leader(lease); leader != nil {
			return leader
		}
	}
	return r.posts[r.random.Intn(len(r.posts))]
}

// cluster is the cluster of a victim.
func (r *ordeal) cluster() *cluster { return r.victim().cluster }

func (r *ordeal) killProgram() (string, func() error, func() error) {
	p := r.victim()
	return p.String(), func() error { p.kill(); return nil }, func() error { return nil }
}

func (r *ordeal) pauseProgram() (string, func() error, func() error) {
	p := r.victim()
	return p.String(), p.pause, p.resume
}

func (r *ordeal) cut(way string) (string, func() error, func() error) {
	c := r.cluster()
	link := c.links[way]
	direction := []harness.Direction{harness.Requests, harness.Answers, harness.Both}[r.random.Intn(3)]
	reset := r.random.Intn(3) == 0
	target := c.name + ", " + direction.String()
	if reset {
		target += ", connections lost"
	}
	return target, func() error { link.Cut(direction); return nil }, func() error {
		if reset {
			link.Reset()
		}
		link.Heal()
		return nil
	}
}

// between is a random duration.
func (r *ordeal) between(from, to time.Duration) time.Duration {
	return from + time.Duration(r.random.Int63n(int64(to-from)+1))
}

// pass lets time pass, and supervises meanwhile.
func (r *ordeal) pass(d time.Duration) error {
	for end := time.Now().Add(d); ; time.Sleep(50 * time.Millisecond) {
		for _, p := range r.posts {
			if err := p.supervise(); err != nil {
				return err
			}
		}
		if !time.Now().Before(end) {
			return nil
		}
	}
}

// suffer lets n faults happen, one after the other.
func (r *ordeal) suffer(n int, progress func(string)) error {
	var cards []faultKind
	for i := range n {
		if len(cards) == 0 {
			cards = deck()
			r.random.Shuffle(len(cards), func(a, b int) { cards[a], cards[b] = cards[b], cards[a] })
		}
		kind := cards[0]
		cards = cards[1:]
		target, begin, end := kind.prepare(r)
		hold, rest := r.between(kind.from, kind.to), r.between(time.Second, 4*time.Second)
		fault := history.Fault{Kind: kind.name, Target: target, Began: trace.Now()}
		progress(fmt.Sprintf("fault %d of %d: %s: %s, %.1f s", i+1, n, kind.name, target, hold.Seconds()))
		if err := begin(); err != nil {
			return fmt.Errorf("%s: %s: %w", kind.name, target, err)
		}
		if err := r.pass(hold); err != nil {
			return err
		}
		if err := end(); err != nil {
			return fmt.Errorf("end of %s: %s: %w", kind.name, target, err)
		}
		fault.Ended = trace.Now()
		r.faults = append(r.faults, fault)
		if err := r.pass(rest); err != nil {
			return err
		}
	}
	return nil
}

// led waits until each lease has a leader who has written since a moment.
func (r *ordeal) led(since int64, bound time.Duration) error {
	return harness.WaitFor("each lease has a leader that works", bound, func() error {
		if err := r.pass(0); err != nil {
			return &harness.FinalError{Err: err}
		}
		for _, lease := range r.leases {
			if w := r.tap.lastWrite(lease); w.At < since || holding(r.posts, w.Holder) == nil {
				return fmt.Errorf("lease %s: the last write is %+v, the leader %v", lease, w, r.leader(lease))
			}
		}
		return nil
	})
}

// finish ends all programs and returns the history.
func (r *ordeal) finish(title string) (*history.History, error) {
	for _, p := range r.posts {
		p.kill()
	}
	if err := r.tap.complete(time.Minute); err != nil {
		return nil, err
	}
	h := &history.History{
		Title: title, Seed: r.seed, Wall: r.wall, Began: r.began, Ended: trace.Now(), Lease: leaseSeconds * time.Second,
		Faults: r.faults, Terms: map[string][]history.Term{}, Writes: map[string][]history.Write{},
	}
	for _, p := range r.posts {
		runs, err := p.runs()
		if err != nil {
			return nil, err
		}
		h.Runs = append(h.Runs, runs...)
	}
	r.tap.mu.Lock()
	defer r.tap.mu.Unlock()
	for _, lease := range r.leases {
		h.Terms[lease], h.Writes[lease] = r.tap.terms[lease], r.tap.writes[lease]
	}
	return h, nil
}

// writeReport keeps a history with its report and picture in a folder.
func writeReport(h *history.History, dir, name string) error {
	return keepReport(dir, name, h.Write,
		func(w io.Writer) error { return history.Report(w, h, name+".svg") },
		func(w io.Writer) error { return history.Timeline(w, h) })
}

// keepReport writes a history, its report and its picture as files of one name.
func keepReport(dir, name string, kept, report, picture func(w io.Writer) error) error {
	for _, part := range []struct {
		extension string
		write     func(w io.Writer) error
	}{{".json", kept}, {".md", report}, {".svg", picture}} {
		file, err := os.Create(filepath.Join(dir, name+part.extension))
		if err != nil {
			return err
		}
		if err := part.write(file); err != nil {
			file.Close()
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}
