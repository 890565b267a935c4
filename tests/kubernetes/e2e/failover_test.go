package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"helium.dev/tests/harness"
)

// multiStatus is what the tests read of a MultiCluster.
type multiStatus struct {
	State      string `json:"state"`
	Reason     string `json:"reason"`
	Leading    bool   `json:"leading"`
	Leader     string `json:"leader"`
	Address    string `json:"leaderAddress"`
	Token      int64  `json:"token"`
	Group      string `json:"group"`
	Conditions []struct {
		Type    string `json:"type"`
		Status  string `json:"status"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"conditions"`
	LastTransition struct{ From, To, Reason, Message, Time string } `json:"lastTransition"`
}

// statusOf reads a MultiCluster through the cluster's own kube-apiserver.
func (c *cluster) statusOf(name string) (s multiStatus, err error) {
	text, err := c.kubectl("", "get", "multicluster", name, "-n", "default", "-o", "json")
	if err != nil {
		return s, err
	}
	var object struct {
		Status multiStatus `json:"status"`
	}
	err = json.Unmarshal([]byte(text), &object)
	return object.Status, err
}

// condition returns what a condition says, as `Status Reason: message`.
func (s *multiStatus) condition(kind string) string {
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c.Status + " " + c.Reason + ": " + c.Message
		}
	}
	return ""
}

// dismiss deletes MultiClusters, by callsign and cluster, with their groups, when the test ends.
func dismiss(t *testing.T, callsign string, names ...string) {
	t.Helper()
	t.Cleanup(func() {
		for _, c := range clusters {
			for _, name := range names {
				if _, err := c.kubectl("", "delete", "multicluster", name, "-n", "default", "--ignore-not-found", "--timeout=60s"); err != nil {
					t.Error(err)
				}
			}
		}
		clusters[0].do(t, "", "delete", "failovergroup", callsign, "-n", "default", "--ignore-not-found", "--timeout=60s")
	})
}

// sameEverywhere checks that all clusters show the same group.
func sameEverywhere(t *testing.T, callsign string) {
	t.Helper()
	err := harness.WaitFor("all clusters show the same group", 20*time.Second, func() error {
		var first string
		for i, c := range clusters {
			text, err := c.kubectl("", "get", "failovergroup", callsign, "-n", "default", "-o", "json")
			if err != nil {
				return err
			}
			if i == 0 {
				first = text
			} else if text != first {
				return fmt.Errorf("cluster1 shows\n%s\n%s shows\n%s", first, c.name, text)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The two objects of kube-vip-multi-cluster's example, each applied in its
// cluster, form one group; the higher rank leads, and whatever a person changes moves the payload.
func TestFailoverOfNewYorkAndSheffield(t *testing.T) {
	failoverOnly(t)
	newyork, sheffield := clusters[0], clusters[1]
	examples := filepath.Join(harness.Repository(), "manifests", "failover", "examples")
	dismiss(t, "webfront", "newyork", "sheffield")
	clusters[0].do(t, settings("webfront", "Fast", termSeconds, stopSeconds), "create", "-f", "-")
	for c, name := range map[*cluster]string{newyork: "newyork", sheffield: "sheffield"} {
		out, err := kubectlWithWarnings(c.kubeconfig, "apply", "-f", filepath.Join(examples, name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out, "Warning: ") || !strings.Contains(out, "port") {
			t.Errorf("a field without a meaning needs a warning: %s", out)
		}
	}
	if err := leads("webfront", sheffield.name, startBound); err != nil {
		t.Fatal(err)
	}
	sameEverywhere(t, "webfront")
	err := harness.WaitFor("both know who leads, and Sheffield's pods run", startBound, func() error {
		theirs, err1 := newyork.statusOf("newyork")
		mine, err2 := sheffield.statusOf("sheffield")
		available, err3 := sheffield.kubectl("", "get", "deployment", "webfront", "-n", "default", "-o", "jsonpath={.status.availableReplicas}")
		if err1 != nil || err2 != nil || err3 != nil {
			return fmt.Errorf("%v, %v, %v", err1, err2, err3)
		}
		if !mine.Leading || mine.State != "Leading" || theirs.Leading || theirs.State != "Candidate" || mine.Address != "198.51.100.10" ||
			theirs.Address != mine.Address || theirs.Leader != sheffield.name || theirs.Token != mine.Token || mine.Token == 0 ||
			mine.Group != "default/webfront" || !strings.HasPrefix(mine.condition("PayloadReady"), "True") || available != "2" {
			return fmt.Errorf("sheffield: %+v; newyork: %+v; %s available", mine, theirs, available)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	table := sheffield.do(t, "", "get", "multiclusters", "-n", "default")
	for _, want := range []string{"CALLSIGN", "RANK", "STATE", "LEADING", "LEADER", "ADDRESS", "TOKEN", "sheffield", "webfront"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %s:\n%s", want, table)
		}
	}
	for _, step := range []struct {
		what   string
		change func()
		leader *cluster
	}{
		{"Sheffield isn't ready", func() {
			sheffield.do(t, "", "patch", "multicluster", "sheffield", "-n", "default", "--type=merge", "-p", `{"spec":{"ready":false}}`)
		}, newyork},
		{"it is again, with the higher rank", func() {
			sheffield.do(t, "", "patch", "multicluster", "sheffield", "-n", "default", "--type=merge", "-p", `{"spec":{"ready":true}}`)
		}, sheffield},
		{"New York's rank becomes higher", func() {
			newyork.do(t, "", "patch", "multicluster", "newyork", "-n", "default", "--type=merge", "-p", `{"spec":{"rank":20}}`)
		}, newyork},
		{"New York's is deleted", func() {
			newyork.do(t, "", "delete", "multicluster", "newyork", "-n", "default", "--timeout=60s")
		}, sheffield},
	} {
		step.change()
		if err := leads("webfront", step.leader.name, startBound); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
	}
	// Equal ranks: Sheffield was there first.
	newyork.do(t, "", "apply", "-f", filepath.Join(examples, "newyork.yaml"))
	newyork.do(t, "", "patch", "multicluster", "newyork", "-n", "default", "--type=merge", "-p", `{"spec":{"rank":10}}`)
	err = harness.WaitFor("New York stands by with an equal rank", startBound, func() error {
		status, err := newyork.statusOf("newyork")
		if err == nil && status.State != "Candidate" {
			err = fmt.Errorf("%+v", status)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := leads("webfront", sheffield.name, startBound); err != nil {
		t.Error(err)
	}
	status, err := clusters[2].groupOf("webfront")
	if err != nil || len(status.History) < 4 || status.History[0].Cluster != sheffield.name {
		t.Errorf("the group's history: %+v, %v", status.History, err)
	}
}

// A payload of several kinds, one of them the cluster's own: applied where its
// member leads, untouched by a restart of the agents, edited and pruned, and gone from elsewhere.
func TestFailoverOfARichPayload(t *testing.T) {
	failoverOnly(t)
	examples := filepath.Join(harness.Repository(), "manifests", "failover", "examples")
	text, err := os.ReadFile(filepath.Join(examples, "shop.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dismiss(t, "shop", "shop")
	clusters[0].do(t, settings("shop", "Fast", termSeconds*2, stopSeconds), "create", "-f", "-")
	shop := func(i int) string {
		return strings.Replace(string(text), "  rank: 5\n", fmt.Sprintf("  rank: %d\n", i+1), 1)
	}
	for i, c := range clusters {
		c.do(t, "", "apply", "-f", filepath.Join(examples, "till-definition.yaml"))
		c.do(t, "", "wait", "--for=condition=Established", "customresourcedefinition/tills.shop.example.com", "--timeout=30s")
		c.do(t, shop(i), "apply", "-f", "-")
	}
	leader := clusters[2]
	if err := leads("shop", leader.name, startBound); err != nil {
		t.Fatal(err)
	}
	kinds := "configmap/shop,deployment/shop,service/shop,till/front"
	identities := func(objects ...string) (all []string) {
		t.Helper()
		for _, object := range objects {
			all = append(all, leader.do(t, "", "get", object, "-n", "default", "-o", "jsonpath={.metadata.uid} {.metadata.annotations['helium\\.dev/failover-token']}"))
		}
		return all
	}
	before := identities(strings.Split(kinds, ",")...)
	for _, c := range clusters[:2] {
		for kind := range strings.SplitSeq(kinds, ",") {
			if out, err := c.kubectl("", "get", kind, "-n", "default", "-o", "name", "--ignore-not-found"); err != nil || out != "" {
				t.Errorf("%s has %s too, %v", c.name, out, err)
			}
		}
	}
	pods := func() string {
		return leader.do(t, "", "get", "pods", "-n", "default", "-l", "app=shop", "-o", "jsonpath={range .items[*]}{.metadata.uid} {end}")
	}
	err = harness.WaitFor("the shop's pod runs", startBound, func() error {
		status, err := leader.statusOf("shop")
		if err == nil && !strings.HasPrefix(status.condition("PayloadReady"), "True") {
			err = fmt.Errorf("%+v", status)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	runningPods := pods()
	// All agents at once, as a rolling update at its worst.
	for _, c := range clusters {
		c.agent.Kill()
	}
	for _, c := range clusters {
		if err := c.agent.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	if err := leads("shop", leader.name, startBound); err != nil {
		t.Error(err)
	}
	if after := identities(strings.Split(kinds, ",")...); !slices.Equal(before, after) {
		t.Errorf("restarted agents changed the payload: %v became %v", before, after)
	}
	if now := pods(); now != runningPods {
		t.Errorf("restarted agents changed the pods: %s became %s", runningPods, now)
	}

	// An edit is applied, what it drops is pruned, and what others own is left alone.
	leader.do(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: foreign, namespace: default}\n", "apply", "-f", "-")
	t.Cleanup(func() { leader.do(t, "", "delete", "configmap", "foreign", "-n", "default") })
	edited := strings.Replace(shop(2), "currency: EUR", "currency: CHF", 1)
	from := strings.Index(edited, "    apiVersion: v1\n    kind: Service")
	to := strings.Index(edited[from:], "    ---\n") + from + len("    ---\n")
	edited = edited[:from] + edited[to:]
	leader.do(t, edited, "apply", "-f", "-")
	err = harness.WaitFor("the edit is applied, and the Service gone", startBound, func() error {
		currency, err := leader.kubectl("", "get", "configmap", "shop", "-n", "default", "-o", "jsonpath={.data.currency}")
		service, err2 := leader.kubectl("", "get", "service", "shop", "-n", "default", "-o", "name", "--ignore-not-found")
		if err != nil || err2 != nil || currency != "CHF" || service != "" {
			return fmt.Errorf("%q %q %v %v", currency, service, err, err2)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if after := identities("configmap/shop", "deployment/shop", "till/front"); !slices.Equal(after, []string{before[0], before[1], before[3]}) {
		t.Errorf("an edit made other objects: %v became %v", before, after)
	}
	// Members with differing payloads say so.
	err = harness.WaitFor("the members say that their payloads differ", startBound, func() error {
		status, err := clusters[0].statusOf("shop")
		if err == nil && !strings.HasPrefix(status.condition("PayloadConflict"), "True") {
			err = fmt.Errorf("%+v", status)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	// A cut heals without help: the one that is cut off stops by itself, another leads (in strict mode it would wait
	// for the word of the first, which nobody hears), and then the first again.
	leader.links[toFleet].Cut(harness.Both)
	err = leads("shop", clusters[1].name, startBound)
	if err == nil {
		err = harness.WaitFor("the one that was cut off has nothing left", startBound, func() error {
			out, err := leader.kubectl("", "get", "deployment,configmap,pod", "-n", "default", "-l", "helium.dev/failover-group=default.shop", "-o", "name")
			if err == nil && out != "" {
				err = fmt.Errorf("%s", out)
			}
			return err
		})
	}
	leader.links[toFleet].Heal()
	if err != nil {
		t.Error(err)
	}
	if err := leads("shop", leader.name, startBound); err != nil {
		t.Error(err)
	}
	leader.do(t, "", "get", "configmap", "foreign", "-n", "default")
}
