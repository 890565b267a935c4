package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"helium.dev/tests/harness"
)

// startCoordinated starts a candidate of client-go's coordinated election in
// each cluster, through its own kube-apiserver, as a ServiceAccount.
func startCoordinated(t *testing.T, name string, args func(*cluster) []string) *race {
	t.Helper()
	kubeconfigs := map[string]string{}
	for _, c := range clusters {
		if _, err := c.kubectl(electors, "apply", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		kubeconfigs[c.name] = c.accountKubeconfig(t, "elector", fleetPath)
	}
	t.Cleanup(func() {
		if _, err := clusters[0].kubectl("", "delete", "leasecandidates.coordination.helium.dev", "--all", "-n", "default"); err != nil {
			t.Error(err)
		}
	})
	return startProgram(t, "coordinated", name, func(c *cluster) []string {
		all := []string{"--kubeconfig", kubeconfigs[c.name], "--name", name, "--identity", c.name}
		return append(all, args(c)...)
	})
}

// waitForLeaderNamed waits until the candidate of a cluster leads.
func (r *race) waitForLeaderNamed(t *testing.T, name string) *candidate {
	t.Helper()
	at := slices.IndexFunc(r.candidates, func(c *candidate) bool { return c.name == name })
	c := r.candidates[at]
	err := harness.WaitFor(name+" leads", startBound, func() error {
		if !c.leads(t) {
			lease, err := clusters[0].kubectl("", "get", "leases.coordination.helium.dev,leasecandidates.coordination.helium.dev", "-n", "default", "-o", "yaml")
			return fmt.Errorf("it doesn't yet (%v): %s", err, lease)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// client-go's coordinated election, unmodified, in three clusters: whoever
// behaves like the oldest version leads, whichever stood first; when it dies
// the next one does; never two lead. The events that the candidates record are
// there for all clusters.
func TestCoordinatedElectionPicksTheOldestVersion(t *testing.T) {
	versions := map[string]string{clusters[0].name: "1.36.0", clusters[1].name: "1.34.0", clusters[2].name: "1.35.0"}
	r := startCoordinated(t, "coordinated", func(c *cluster) []string { return []string{"--emulation-version", versions[c.name]} })
	oldest := r.waitForLeaderNamed(t, clusters[1].name)
	strategy := clusters[0].do(t, "", "get", "leases.coordination.helium.dev", "coordinated", "-o", "jsonpath={.spec.strategy}")
	if strategy != "OldestEmulationVersion" {
		t.Errorf("the Lease's strategy is %q", strategy)
	}
	about := clusters[2].do(t, "", "get", "leases.coordination.helium.dev", "coordinated", "-o", `jsonpath={.metadata.annotations.helium\.dev/origin-cluster}`)
	if about != oldest.name {
		t.Errorf("the Lease's cluster is %q, not %q", about, oldest.name)
	}
	oldest.kill(t)
	next := r.waitForLeaderNamed(t, clusters[2].name)

	behind := clusters[0].behind(t)
	err := harness.WaitFor("the new leader's event is seen from another cluster", startBound, func() error {
		out, err := kubectl(behind, "", "events", "-n", "default", "--for", "leases.coordination.k8s.io/coordinated")
		if err == nil && !strings.Contains(out, next.name+" became leader") {
			err = fmt.Errorf("not among the events: %s", out)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	described, err := kubectl(behind, "", "describe", "lease", "coordinated", "-n", "default")
	if err != nil || !strings.Contains(described, "LeaderElection") {
		t.Errorf("kubectl describe shows no events: %v\n%s", err, described)
	}
	r.finish(t, next, 2)
}

// A number decides who leads, and can be changed from any cluster: the holder
// lets its term end, and then the other one leads.
func TestCoordinatedElectionFollowsPriority(t *testing.T) {
	r := startCoordinated(t, "ranked", func(*cluster) []string { return []string{"--strategy", "helium.dev/Priority"} })
	leader := r.waitForLeader(t, nil)
	for round := range 2 {
		var chosen, through *cluster
		for _, c := range clusters {
			if c.name == leader.name {
				through = c
			} else {
				chosen = c
			}
		}
		rank := fmt.Sprint("helium.dev/priority=", round+10)
		err := harness.WaitFor("the candidate can be ranked", startBound, func() error {
			_, err := through.kubectl("", "annotate", "leasecandidates.coordination.helium.dev", chosen.name, "-n", "default", "--overwrite", rank)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		next := r.waitForLeaderNamed(t, chosen.name)
		if leader.leads(t) {
			t.Errorf("%s still believes to lead, and so does %s", leader.name, next.name)
		}
		leader = next
	}
	r.finish(t, leader, 3)
}
