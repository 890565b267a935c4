package e2e

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"syscall"
	"time"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/history"
	"helium.dev/tests/kubernetes/trace"
)

// The times of all groups that are put to the test.
const (
	termSeconds = 4
	stopSeconds = 1
)

// trial is a run of failover groups while things break.
type trial struct {
	random *rand.Rand
	seed   int64
	wall   time.Time
	began  int64
	names  []string // callsigns
	faults []history.Fault
	// specs are what each cluster's MultiCluster of a callsign says at present.
	specs map[string]map[string]*multi
}

// hardship is a way of breaking something, or of changing what is wanted.
type hardship struct {
	name string
	// from and to are how long it lasts.
	from, to time.Duration
	prepare  func(r *trial) trouble
}

// trouble is a hardship with its target.
type trouble struct {
	target string
	// disables is the cluster whose agent can do nothing about its payload meanwhile.
	disables   string
	begin, end func() error
}

func nothing() error { return nil }

// hardships are twenty, from which a run draws until all are used, and then from the next twenty.
func hardships() (all []hardship) {
	add := func(times int, name string, from, to time.Duration, prepare func(r *trial) trouble) {
		for range times {
			all = append(all, hardship{name, from, to, prepare})
		}
	}
	over := termSeconds * time.Second
	onAgent := func(begin, end func(c *cluster) error) func(r *trial) trouble {
		return func(r *trial) trouble {
			c := r.victim()
			return trouble{c.name, c.name, func() error { return begin(c) }, func() error { return end(c) }}
		}
	}
	killed := func(c *cluster) error { c.agent.Kill(); return nil }
	restarted := func(c *cluster) error { return c.agent.Restart() }
	add(1, "an agent is killed and starts again at once", 0, over/4, onAgent(killed, restarted))
	add(2, "an agent is killed", over+time.Second, over+3*time.Second, onAgent(killed, restarted))
	add(2, "an agent is paused", over+time.Second, over+4*time.Second, onAgent((*cluster).pauseAgent, (*cluster).resumeAgent))
	add(1, "an agent is told to end, and starts again", 0, 0, onAgent(func(c *cluster) error { return c.agent.Stop() }, restarted))
	for _, way := range []string{toOwn, toFleet, toFleet, toStore, toDatabase} {
		add(1, "cut: "+way, time.Second, 8*time.Second, func(r *trial) trouble { return r.cut(way) })
	}
	onServer := func(part func(c *cluster) *harness.Process, disables bool) func(r *trial) trouble {
		return func(r *trial) trouble {
			c := r.victim()
			t := trouble{target: c.name, begin: func() error { part(c).Kill(); return nil }, end: func() error { return part(c).Restart() }}
			if disables { // until it answers again
				t.disables = c.name
				t.end = func() error {
					if err := part(c).Restart(); err != nil {
						return err
					}
					return c.waitReady()
				}
			}
			return t
		}
	}
	add(1, "helium-apiserver is killed", time.Second, 6*time.Second, onServer(func(c *cluster) *harness.Process { return c.helium }, false))
	add(1, "kine-shim is killed", time.Second, 6*time.Second, onServer(func(c *cluster) *harness.Process { return c.shim }, false))
	add(1, "kube-apiserver is killed", time.Second, 6*time.Second, onServer(func(c *cluster) *harness.Process { return c.apiserver }, true))
	add(1, "PostgreSQL ends at once and is started again", 0, time.Second, func(*trial) trouble {
		return trouble{"all", "", func() error {
			if err := database.Signal(syscall.SIGQUIT); err != nil {
				return err
			}
			_ = database.Wait() // it reports that it was ended so
			return nil
		}, func() error { return database.Restart() }}
	})
	add(1, "PostgreSQL dies and its standby takes over", 0, 0, func(*trial) trouble {
		return trouble{"all", "", failStoreOver, nothing}
	})
	add(1, "a person changes ranks", 0, time.Second, (*trial).changeRanks)
	add(1, "a person says ready: false, and true again", time.Second, 3*time.Second, (*trial).unready)
	add(1, "a person asks for a hand-over", 2*time.Second, 4*time.Second, (*trial).handOver)
	add(1, "a MultiCluster is deleted and made again", time.Second, 2*time.Second, (*trial).recreate)
	add(1, "a payload is edited", 0, time.Second, (*trial).edit)
	return all
}

// standbys counts the servers that took the database over.
var standbys int

// failStoreOver gives the database a standby, kills it, and lets the standby take its place.
func failStoreOver() error {
	// It may just have been started again after another fault.
	if err := database.WaitReady(startBound, func() error { return database.SQL("postgres", "SELECT 1") }); err != nil {
		return err
	}
	standbys++
	standby, err := database.StartStandby(clusters[0].env, fmt.Sprintf("standby-%d", standbys))
	if err != nil {
		return err
	}
	database.Kill()
	if err := standby.Promote(); err != nil {
		return err
	}
	for _, c := range clusters {
		c.links[toDatabase].Retarget(standby.Address())
	}
	observerLink.Retarget(standby.Address())
	database = standby
	return nil
}

func (r *trial) callsign() string { return r.names[r.random.Intn(len(r.names))] }

// victim is, two times of three, the cluster that leads one of the groups.
func (r *trial) victim() *cluster {
	if name, _ := seer.holder("default/" + r.callsign()); name != "" && r.random.Intn(3) > 0 {
		return named(name)
	}
	return clusters[r.random.Intn(len(clusters))]
}

func (r *trial) cut(way string) trouble {
	c := r.victim()
	link := c.links[way]
	direction := []harness.Direction{harness.Requests, harness.Answers, harness.Both}[r.random.Intn(3)]
	reset := r.random.Intn(3) == 0
	t := trouble{target: c.name + ", " + direction.String()}
	if reset {
		t.target += ", connections lost"
	}
	if way == toOwn {
		t.disables = c.name
	}
	t.begin = func() error { link.Cut(direction); return nil }
	t.end = func() error {
		if reset {
			link.Reset()
		}
		link.Heal()
		return nil
	}
	return t
}

// say writes a cluster's MultiCluster as its spec is now.
func (r *trial) say(c *cluster, callsign string) error {
	return persist([]*cluster{c}, startBound, func(c *cluster) error {
		_, err := kubectl(c.direct, r.specs[callsign][c.name].yaml(), "apply", "-f", "-")
		return err
	})
}

// leaderOf is the cluster that leads a group, or any.
func (r *trial) leaderOf(callsign string) *cluster {
	if name, _ := seer.holder("default/" + callsign); name != "" {
		return named(name)
	}
	return clusters[r.random.Intn(len(clusters))]
}

func (r *trial) changeRanks() trouble {
	callsign := r.callsign()
	c := clusters[r.random.Intn(len(clusters))]
	spec := r.specs[callsign][c.name]
	rank := 1 + r.random.Intn(20)
	return trouble{target: fmt.Sprintf("%s in %s, from %d to %d", callsign, c.name, spec.Rank, rank), end: nothing, begin: func() error {
		spec.Rank = rank
		return r.say(c, callsign)
	}}
}

func (r *trial) unready() trouble {
	callsign := r.callsign()
	c := r.leaderOf(callsign)
	spec := r.specs[callsign][c.name]
	set := func(ready bool) func() error {
		return func() error { spec.Ready = ready; return r.say(c, callsign) }
	}
	return trouble{target: callsign + " in " + c.name, begin: set(false), end: set(true)}
}

func (r *trial) handOver() trouble {
	callsign := r.callsign()
	c := clusters[r.random.Intn(len(clusters))]
	patch := func(value string) func() error {
		return func() error {
			return persist(clusters, startBound, func(by *cluster) error {
				_, err := kubectl(by.direct, "", "patch", "failovergroup", callsign, "-n", "default", "--type=merge", "-p", `{"spec":{"preferredCluster":`+value+`}}`)
				return err
			})
		}
	}
	return trouble{target: callsign + " to " + c.name, begin: patch(`"` + c.name + `"`), end: patch("null")}
}

func (r *trial) recreate() trouble {
	callsign := r.callsign()
	c := r.leaderOf(callsign)
	return trouble{target: callsign + " in " + c.name, begin: func() error {
		return persist([]*cluster{c}, startBound, func(c *cluster) error {
			_, err := kubectl(c.direct, "", "delete", "multicluster", callsign, "-n", "default", "--wait=false", "--ignore-not-found")
			return err
		})
	}, end: func() error { return r.recreated(c, callsign) }}
}

// recreated makes a MultiCluster again once it is gone.
func (r *trial) recreated(c *cluster, callsign string) error {
	return persist([]*cluster{c}, startBound, func(c *cluster) error {
		out, err := kubectl(c.direct, "", "get", "multicluster", callsign, "-n", "default", "--ignore-not-found", "-o", "name")
		if err != nil {
			return err
		}
		if strings.TrimSpace(out) != "" {
			return fmt.Errorf("%s is still there", strings.TrimSpace(out))
		}
		return r.say(c, callsign)
	})
}

func (r *trial) edit() trouble {
	callsign := r.callsign()
	edition := r.random.Intn(1 << 20)
	return trouble{target: callsign, end: nothing, begin: func() error {
		for _, c := range clusters {
			r.specs[callsign][c.name].Payload = worker(callsign, edition)
			if err := r.say(c, callsign); err != nil {
				return err
			}
		}
		return nil
	}}
}

// startTrial makes the groups, a member of each in each cluster, and waits until each has a leader.
func startTrial(seed int64, modes map[string]string, names []string) (*trial, error) {
	r := &trial{random: rand.New(rand.NewSource(seed)), seed: seed, wall: time.Now(), began: trace.Now(), names: names, specs: map[string]map[string]*multi{}}
	for _, callsign := range names {
		for _, text := range []string{festival(callsign, "1"), settings(callsign, modes[callsign], termSeconds, stopSeconds)} {
			if _, err := kubectl(clusters[0].direct, text, "create", "-f", "-"); err != nil {
				return nil, err
			}
		}
		r.specs[callsign] = map[string]*multi{}
		for i, c := range clusters {
			r.specs[callsign][c.name] = &multi{Callsign: callsign, Rank: 5 * (i + 1), Ready: true, Address: fmt.Sprintf("192.0.2.%d", i+1), Payload: worker(callsign, 1)}
			if err := r.say(c, callsign); err != nil {
				return nil, err
			}
		}
	}
	return r, r.settled(startBound)
}

// settled waits until in each group one of the highest rank leads, and its payload works, and there is nothing of it elsewhere.
func (r *trial) settled(bound time.Duration) error {
	for _, callsign := range r.names {
		since := trace.Now()
		highest := 0
		for _, spec := range r.specs[callsign] {
			highest = max(highest, spec.Rank)
		}
		err := harness.WaitFor(callsign+" has a leader that works", bound, func() error {
			name, token := seer.holder("default/" + callsign)
			if name == "" {
				return fmt.Errorf("nobody leads")
			}
			if rank := r.specs[callsign][name].Rank; rank != highest {
				return fmt.Errorf("%s leads with rank %d, and another has %d", name, rank, highest)
			}
			if err := onlyIn(callsign, name, true); err != nil {
				return err
			}
			var last history.Write
			seer.look("default/"+callsign, func(g *witnessed) {
				if n := len(g.Writes); n > 0 {
					last = g.Writes[n-1]
				}
			})
			if last.At < since || last.Token != token {
				return fmt.Errorf("%s leads with token %d, and the last write is %+v", name, token, last)
			}
			return nil
		})
		if err != nil {
			status, _ := clusters[0].groupOf(callsign)
			return fmt.Errorf("%w; the group is %+v", err, status)
		}
	}
	return nil
}

func (r *trial) between(from, to time.Duration) time.Duration {
	return from + time.Duration(r.random.Int63n(int64(to-from)+1))
}

// suffer lets n hardships happen, one after the other.
func (r *trial) suffer(n int, progress func(string)) error {
	var cards []hardship
	for i := range n {
		if len(cards) == 0 {
			cards = hardships()
			r.random.Shuffle(len(cards), func(a, b int) { cards[a], cards[b] = cards[b], cards[a] })
		}
		kind := cards[0]
		cards = cards[1:]
		t := kind.prepare(r)
		hold, rest := r.between(kind.from, kind.to), r.between(time.Second, 4*time.Second)
		fault := history.Fault{Kind: kind.name, Target: t.target, Disables: t.disables, Began: trace.Now()}
		progress(fmt.Sprintf("%d of %d: %s: %s, %.1f s", i+1, n, kind.name, t.target, hold.Seconds()))
		if err := t.begin(); err != nil {
			return fmt.Errorf("%s: %s: %w", kind.name, t.target, err)
		}
		time.Sleep(hold)
		if err := t.end(); err != nil {
			return fmt.Errorf("end of %s: %s: %w", kind.name, t.target, err)
		}
		fault.Ended = trace.Now()
		r.faults = append(r.faults, fault)
		time.Sleep(rest)
		if err := r.stand(); err != nil {
			return err
		}
	}
	return nil
}

// stand fails when something has ended that nobody ended.
func (r *trial) stand() error {
	for _, c := range clusters {
		for _, p := range append(c.parts(), c.agent) {
			if ended, err := p.Ended(); ended {
				// A controller manager ends by itself when its API server is away for long.
				if p == c.controllers {
					if err := p.Restart(); err != nil {
						return err
					}
					continue
				}
				return fmt.Errorf("%s ended by itself: %v\n%s", p.Name, err, p.LogTail(3000))
			}
		}
	}
	return nil
}

// finish returns the history; the groups are still there.
func (r *trial) finish(title string) (*history.Failover, error) {
	calm, err := seer.complete(time.Minute)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(r.names))
	for i, callsign := range r.names {
		names[i] = "default/" + callsign
	}
	f := &history.Failover{Title: title, Seed: r.seed, Wall: r.wall, Began: r.began, Ended: trace.Now(), Calm: calm, Faults: r.faults, Groups: seer.groupsSeen(names)}
	seer.mu.Lock()
	f.Gaps = slices.Clone(seer.gaps)
	seer.mu.Unlock()
	for i := range f.Groups {
		f.Groups[i].Workers = workersOf(f.Groups[i].Name)
	}
	return f, nil
}

// clear deletes the groups' members and waits until nothing of them is left.
func (r *trial) clear() error {
	for _, callsign := range r.names {
		for _, c := range clusters {
			if _, err := kubectl(c.direct, "", "delete", "multicluster", callsign, "-n", "default", "--ignore-not-found", "--timeout=60s"); err != nil {
				return err
			}
		}
		if _, err := kubectl(clusters[0].direct, "", "delete", "failovergroup,festival", callsign, "-n", "default", "--ignore-not-found", "--timeout=60s"); err != nil {
			return err
		}
	}
	return nil
}
