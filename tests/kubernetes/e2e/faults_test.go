package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/history"
	"helium.dev/tests/kubernetes/trace"
)

// workers is a ServiceAccount that may stand for election behind the control
// plane's proxy, and do a leader's work there and in its own cluster.
const workers = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: worker, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: fleet-worker}
rules:
- {apiGroups: [helium.dev], resources: [controlplanes/proxy], resourceNames: [fleet], verbs: [get, create, update, patch]}
- {apiGroups: [coordination.helium.dev], resources: [leases], verbs: [get, create, update]}
- {apiGroups: [innsmouth.example.com], resources: [festivals], verbs: [get, list, watch, patch]}
- {apiGroups: ["", events.k8s.io], resources: [events], verbs: [create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: fleet-worker}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: fleet-worker}
subjects: [{kind: ServiceAccount, name: worker, namespace: default}]
`

// postsOf prepares one post in each cluster for each kind of program, which
// stand for one lease together.
func postsOf(t *testing.T, prefix string, kinds ...program) (all []*post) {
	t.Helper()
	for _, c := range clusters {
		c.do(t, workers, "apply", "-f", "-")
		own, fleet := c.accountKubeconfig(t, "worker", ""), c.accountKubeconfig(t, "worker", fleetPath)
		for _, kind := range kinds {
			all = append(all, &post{program: kind, cluster: c, lease: prefix + kind.name, own: own, fleet: fleet})
		}
	}
	return all
}

// faultsExpected is what our servers warn of while things are cut and killed,
// and rightly. The first is the API server's alone.
var faultsExpected = []*regexp.Regexp{
	storeDown,
	// What a healed link delivers at once are many requests that were given up meanwhile.
	regexp.MustCompile(`h2::proto::streams::recv: recv_reset; remotely-reset pending-accept streams reached limit`),
	regexp.MustCompile(`the database warns code="57P01"`),
	regexp.MustCompile(`heartbeat could not be written`),
	regexp.MustCompile(`head query failed, linearizable requests are unavailable until one succeeds`),
	regexp.MustCompile(`slow statement`),
	regexp.MustCompile(`outcome of an append is unknown, trying the same slot again`),
	// A standby that takes over may lack what the last primary had acknowledged; it can't be asked.
	regexp.MustCompile(`database was failed over or replaced, it may have lost what others have seen`),
	regexp.MustCompile(`store continues at a new revision, everything older is compacted`),
	regexp.MustCompile(`the store went back in time; no term of a failover group begins for a while`),
}

// failoverExpected is what they warn of beyond that where a cluster's own
// kube-apiserver is killed, too, and comes back before it knows its own rules.
var failoverExpected = append(slices.Clone(faultsExpected),
	regexp.MustCompile(`checkpoint did not move, trying again`),
	regexp.MustCompile(`kube_client::client::builder: failed with error client error`),
	regexp.MustCompile(`kube_client::client: eof in poll`),
	regexp.MustCompile(`watching the authentication settings failed`),
	regexp.MustCompile(`authorization failed error=asking the host cluster whether the request is allowed`),
)

// Four kinds of programs, a copy of each in each of three clusters, elect a
// leader each, while they are killed and paused, cut off and deprived of their
// servers and of the store. Whatever happens, one leads at a time, and what a
// leader of the past writes isn't accepted.
func TestOneLeaderWhateverHappens(t *testing.T) {
	if !linked() {
		t.Skip("the ways between the servers must be cut: E2E_LINKS=1")
	}
	if clusters[0].shim == nil {
		t.Skip("the clusters have one store together, of which nothing can be cut off")
	}
	faults := int64(20)
	if os.Getenv("HELIUM_TEST_FULL") == "1" {
		faults = 200
	}
	faults, seed := number(t, "E2E_FAULTS", faults), number(t, "E2E_SEED", time.Now().UnixNano()%1_000_000)
	t.Logf("%d faults with E2E_SEED=%d", faults, seed)
	r, err := startOrdeal(seed, postsOf(t, "", programs...))
	if r != nil {
		t.Cleanup(r.close)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := r.led(r.began, startBound); err != nil {
		t.Fatal(err)
	}
	progress := func(text string) { fmt.Printf("%6.1f s  %s\n", time.Duration(trace.Now()-r.began).Seconds(), text) }
	if err := r.suffer(int(faults), progress); err != nil {
		t.Fatal(err)
	}
	// With everything whole again each lease must get a leader that works.
	if err := r.led(trace.Now(), startBound); err != nil {
		t.Error(err)
	}
	h, err := r.finish(fmt.Sprintf("One leader at a time: %d faults", faults))
	if err != nil {
		t.Fatal(err)
	}
	judge(t, h)
	f := history.Measure(h)
	t.Logf("%d terms, %d changes of leader, %d writes accepted, %d refused by the fence, %d unanswered; %v", f.Terms, f.Takeovers, f.Accepted, f.Stale, f.Unknown, f.ByProgram)
	for _, lease := range r.leases {
		if changes := len(h.Terms[lease]); changes < 2 {
			t.Errorf("lease %s changed hands too rarely to show anything: %d terms", lease, changes)
		}
	}
	dir := os.Getenv("E2E_REPORTS")
	if dir == "" {
		dir = clusters[0].env.Dir
	}
	name := fmt.Sprintf("election-%d-faults", faults)
	if err := writeReport(h, dir, name); err != nil {
		t.Error(err)
	}
	t.Logf("the report is %s", filepath.Join(dir, name+".md"))
}

// number reads a variable of the environment.
func number(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || value < 0 {
		t.Fatalf("%s: %q is not a number", name, text)
	}
	return value
}

// judge fails the test with everything that must not be.
func judge(t *testing.T, h *history.History) {
	t.Helper()
	for _, finding := range history.Judge(h) {
		t.Errorf("%v", finding)
	}
}

// What the fence is for: a leader is paused right before a write, and wakes up
// when another leads. Without the fence its write is accepted, and the judge
// must say so; with it the write is refused.
func TestStaleWriteOfAPausedLeader(t *testing.T) {
	for _, unfenced := range []bool{true, false} {
		t.Run(map[bool]string{true: "without a fence", false: "with a fence"}[unfenced], func(t *testing.T) {
			posts := postsOf(t, fmt.Sprintf("paused-%v-", unfenced), programs[0])
			for _, p := range posts {
				p.unfenced = unfenced
			}
			r, err := startOrdeal(1, posts)
			if r != nil {
				t.Cleanup(r.close)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := r.led(r.began, startBound); err != nil {
				t.Fatal(err)
			}
			late := r.pauseTheLeader(t)
			h, err := r.finish("a paused leader")
			if err != nil {
				t.Fatal(err)
			}
			found := history.Judge(h)
			if !unfenced {
				if late.Outcome != trace.Refused || len(found) > 0 {
					t.Errorf("the late write: %+v; found: %v", late, found)
				}
				return
			}
			if late.Outcome != trace.Accepted {
				t.Fatalf("the late write without a fence: %+v", late)
			}
			if len(found) == 0 || found[0].Rule != history.FencesHold {
				t.Errorf("a stale write was accepted, and the judge found %v", found)
			}
		})
	}
}

// pauseTheLeader pauses the leader until a successor has written, and returns
// the write that the old one sends when it wakes up.
func (r *ordeal) pauseTheLeader(t *testing.T) (late trace.Line) {
	t.Helper()
	lease := r.leases[0]
	for range 5 {
		term, _ := r.tap.leader(lease)
		leader := holding(r.posts, term.Holder)
		if leader == nil {
			t.Fatalf("nobody holds %s: %+v", lease, term)
		}
		if err := leader.pause(); err != nil {
			t.Fatal(err)
		}
		err := harness.WaitFor("a successor has written", startBound, func() error {
			if w := r.tap.lastWrite(lease); w.Token <= term.Token {
				return fmt.Errorf("the last write is %+v", w)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		woken := trace.Now()
		if err := leader.resume(); err != nil {
			t.Fatal(err)
		}
		err = harness.WaitFor("the paused leader notices", startBound, func() error {
			runs, err := leader.runs()
			if err != nil {
				return &harness.FinalError{Err: err}
			}
			lines := runs[len(runs)-1].Lines
			for _, line := range lines {
				// Sent before the pause means that the answer alone came late.
				if line.Event == trace.Wrote && line.Token == term.Token && line.Sent > woken {
					late = line
				}
			}
			if last := lines[len(lines)-1]; late.Event == "" && last.Event != trace.Stopped {
				return fmt.Errorf("its last line is %+v", last)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if late.Event != "" {
			return late
		}
	}
	t.Fatal("five times the leader was paused while a write was under way, and none of them was late")
	return late
}
