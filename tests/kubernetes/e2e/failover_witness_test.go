package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/history"
)

// What the faults' judgement stands on, with a group that is led by hand: two
// clusters take its lease in turn, and the second one starts before the first has
// stopped. The witness must have seen it, and the judge must say so.
func TestFailoverWitnessSeesTwoLeaders(t *testing.T) {
	failoverOnly(t)
	const callsign = "by-hand"
	clusters[0].do(t, settings(callsign, "Strict", termSeconds, stopSeconds), "create", "-f", "-")
	clusters[0].do(t, festival(callsign, "1"), "create", "-f", "-")
	t.Cleanup(func() {
		for _, c := range clusters {
			c.do(t, "", "delete", "deployment,configmap", callsign, "-n", "default", "--ignore-not-found", "--timeout=60s")
		}
		if holder, _ := seer.holder("default/" + callsign); holder != "" {
			if _, err := kubectl(named(holder).direct, "", "patch", "leases.coordination.helium.dev", "failover-"+callsign, "-n", "default", "--type=merge", "-p", `{"spec":{"holderIdentity":""}}`); err != nil {
				t.Error(err)
			}
		}
		clusters[0].do(t, "", "delete", "festival,failovergroup", callsign, "-n", "default", "--timeout=60s")
		clusters[0].do(t, "", "delete", "leases.coordination.helium.dev", "failover-"+callsign, "-n", "default", "--timeout=60s")
	})
	payload := func(c *cluster, token int64) string {
		text := strings.ReplaceAll(worker(callsign, 1), "metadata: {name: "+callsign+"}", fmt.Sprintf(
			"metadata: {name: %s, namespace: default, labels: {helium.dev/failover-group: default.%s}, annotations: {helium.dev/failover-token: %q}}", callsign, callsign, fmt.Sprint(token)))
		text = strings.Replace(text, "metadata: {labels: {app: by-hand}}", fmt.Sprintf(
			"metadata: {labels: {app: by-hand, helium.dev/failover-group: default.%s}, annotations: {helium.dev/failover-token: %q}}", callsign, fmt.Sprint(token)), 1)
		return strings.Replace(text, "value: by-hand}", fmt.Sprintf("value: by-hand}, {name: HELIUM_FENCING_TOKEN, value: \"%d\"}, {name: HELIUM_FENCE, value: default/failover-by-hand=%d}", token, token), 1)
	}
	lease := func(holder string, more string) string {
		now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
		return fmt.Sprintf(`apiVersion: coordination.helium.dev/v1
kind: Lease
metadata:
  name: failover-%s
  namespace: default
  labels: {helium.dev/failover-group: %s}
  annotations: {helium.dev/failover-address: %q, helium.dev/failover-reason: ByHand%s}
spec: {holderIdentity: %q, leaseDurationSeconds: %d, acquireTime: %q, renewTime: %q}
`, callsign, callsign, "192.0.2.1", more, holder, termSeconds, now, now)
	}
	group := "default/" + callsign
	lead := func(c *cluster) int64 {
		t.Helper()
		if _, err := kubectl(c.direct, lease(c.name, ""), "apply", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		var token int64
		err := harness.WaitFor("the witness sees "+c.name+"'s term", startBound, func() error {
			var name string
			if name, token = seer.holder(group); name != c.name {
				return fmt.Errorf("it sees %q", name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		c.do(t, payload(c, token), "apply", "-f", "-")
		err = harness.WaitFor("the witness sees the payload and its pod's writes", startBound, func() (err error) {
			err = fmt.Errorf("none so far")
			seer.look(group, func(g *witnessed) {
				if slices.ContainsFunc(g.Writes, func(w history.Write) bool { return w.Token == token }) {
					err = nil
				}
			})
			if err == nil {
				err = available(c, callsign)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	stop := func(c *cluster, token int64) {
		t.Helper()
		c.do(t, "", "delete", "deployment,configmap", callsign, "-n", "default", "--timeout=60s")
		err := harness.WaitFor("nothing is left in "+c.name, startBound, func() (err error) {
			seer.look(group, func(g *witnessed) {
				for _, life := range g.Lives {
					if life.Cluster == c.name && life.Ended == 0 {
						err = fmt.Errorf("%s is there", life.Object)
					}
				}
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if token != 0 {
			if _, err := kubectl(c.direct, lease("", fmt.Sprintf(", helium.dev/failover-stopped: %q", fmt.Sprint(token))), "apply", "-f", "-"); err != nil {
				t.Fatal(err)
			}
		}
	}
	judged := func() []history.Finding {
		t.Helper()
		calm, err := seer.complete(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		f := &history.Failover{Calm: calm, Groups: seer.groupsSeen([]string{group})}
		f.Groups[0].Workers = workersOf(group)
		return history.JudgeFailover(f)
	}
	first, second := clusters[0], clusters[1]
	stop(first, lead(first))
	token := lead(second)
	if found := judged(); len(found) > 0 {
		t.Fatalf("one after the other, and the judge found %v", found)
	}
	// The lease is given up with a word that isn't true, and the other one starts.
	if _, err := kubectl(second.direct, lease("", fmt.Sprintf(", helium.dev/failover-stopped: %q", fmt.Sprint(token))), "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	again := lead(first)
	stop(second, 0)
	var rules []string
	for _, finding := range judged() {
		if !slices.Contains(rules, finding.Rule) {
			rules = append(rules, finding.Rule)
		}
	}
	slices.Sort(rules)
	if want := []string{history.NeverTwo, history.StoppedIsGone}; !slices.Equal(rules, want) {
		t.Errorf("the judge found %v, not %v: %v", rules, want, judged())
	}
	stop(first, again)
}

// available says whether a Deployment's pods are ready, as its cluster's controllers say.
func available(c *cluster, name string) error {
	out, err := c.kubectl("", "get", "deployment", name, "-n", "default", "-o", "jsonpath={.status.availableReplicas}")
	if err == nil && out != "1" {
		err = fmt.Errorf("%q pods of %s are available in %s", out, name, c.name)
	}
	return err
}
