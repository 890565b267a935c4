package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/history"
)

// multi is a MultiCluster of one cluster; everything but the payload's text.
type multi struct {
	Callsign string
	Rank     int
	Ready    bool
	Address  string
	Payload  string
}

// yaml is its manifest, in the namespace default and named like its callsign.
func (m multi) yaml() string {
	var payload strings.Builder
	for line := range strings.Lines(m.Payload) {
		payload.WriteString("    " + line)
	}
	return fmt.Sprintf(`apiVersion: kube-vip.io/v1alpha1
kind: MultiCluster
metadata: {name: %s, namespace: default}
spec:
  callsign: %s
  rank: %d
  ready: %v
  serviceAddress: %q
  payload: |
%s
`, m.Callsign, m.Callsign, m.Rank, m.Ready, m.Address, payload.String())
}

// worker is a payload whose pod writes to a shared object, and a ConfigMap.
func worker(callsign string, edition int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: %[1]s}
data: {edition: "%[2]d"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: 1
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - name: writer
        image: registry.example.com/writer:1
        env: [{name: CALLSIGN, value: %[1]s}]
`, callsign, edition)
}

// settings is a FailoverGroup as a person makes it beforehand.
func settings(callsign, mode string, lease, budget int) string {
	return fmt.Sprintf(`apiVersion: helium.dev/v1
kind: FailoverGroup
metadata: {name: %s, namespace: default}
spec: {mode: %s, leaseDurationSeconds: %d, stopBudgetSeconds: %d}
`, callsign, mode, lease, budget)
}

// groupStatus is what the tests read of a FailoverGroup.
type groupStatus struct {
	Leader  string `json:"leader"`
	Address string `json:"leaderAddress"`
	Token   int64  `json:"token"`
	Reason  string `json:"reason"`
	Members []struct {
		Cluster string `json:"cluster"`
		State   string `json:"state"`
		Reason  string `json:"reason"`
		Rank    int    `json:"rank"`
		Ready   bool   `json:"ready"`
		Stopped int64  `json:"stopped"`
	} `json:"members"`
	History []struct {
		Token     int64  `json:"token"`
		Cluster   string `json:"cluster"`
		Reason    string `json:"reason"`
		EndReason string `json:"endReason"`
	} `json:"history"`
}

// member is the state of a cluster in the group.
func (s *groupStatus) member(cluster string) string {
	for _, m := range s.Members {
		if m.Cluster == cluster {
			return m.State
		}
	}
	return ""
}

// groupOf reads a group straight from the cluster's helium-apiserver.
func (c *cluster) groupOf(callsign string) (groupStatus, error) {
	text, err := kubectl(c.direct, "", "get", "failovergroup", callsign, "-n", "default", "-o", "json")
	if err != nil {
		return groupStatus{}, err
	}
	var object struct {
		Status groupStatus `json:"status"`
	}
	return object.Status, json.Unmarshal([]byte(text), &object)
}

// leads waits until a cluster leads a group with its payload applied, and all
// that anybody else had of it is gone.
func leads(callsign, name string, bound time.Duration) error {
	return harness.WaitFor(name+" leads "+callsign, bound, func() error {
		status, err := clusters[0].groupOf(callsign)
		if err != nil {
			return err
		}
		if status.Leader != name || status.member(name) != "Leading" {
			return fmt.Errorf("the group is %+v", status)
		}
		return onlyIn(callsign, name, false)
	})
}

// onlyIn says whether a payload is in one cluster and nowhere else, by what was seen in the
// store. What a fast group's pods are still ending counts if pods is set.
func onlyIn(callsign, name string, pods bool) (err error) {
	there := false
	seer.look("default/"+callsign, func(g *witnessed) {
		for _, i := range g.open {
			if life := g.Lives[i]; life.Cluster == name {
				there = true
			} else if !life.Derived || pods || g.Mode == history.Strict {
				err = fmt.Errorf("%s has %s with token %d", life.Cluster, life.Object, life.Token)
			}
		}
	})
	if err == nil && !there {
		err = fmt.Errorf("%s has nothing of the payload", name)
	}
	return err
}

// named returns a cluster by its name.
func named(name string) *cluster {
	for _, c := range clusters {
		if c.name == name {
			return c
		}
	}
	return nil
}

// persist repeats what a person would: an action through a cluster that
// may be in trouble is tried again, and then through the next.
func persist(clusters []*cluster, bound time.Duration, action func(c *cluster) error) error {
	try := 0
	return harness.WaitFor("a person's command succeeds", bound, func() error {
		c := clusters[try%len(clusters)]
		try++
		return action(c)
	})
}
