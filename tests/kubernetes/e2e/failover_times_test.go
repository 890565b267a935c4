package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"helium.dev/tests/kubernetes/history"
)

var (
	multiClusters  = schema.GroupVersionResource{Group: "kube-vip.io", Version: "v1alpha1", Resource: "multiclusters"}
	failoverGroups = schema.GroupVersionResource{Group: "helium.dev", Version: "v1", Resource: "failovergroups"}
)

// straight is a client at the cluster's helium-apiserver, without a kubectl that takes longer than what is measured.
func (c *cluster) straight(t *testing.T, resource schema.GroupVersionResource) dynamic.ResourceInterface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.direct)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 1000, 1000
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client.Resource(resource).Namespace("default")
}

func patch(client dynamic.ResourceInterface, name, text string) error {
	_, err := client.Patch(context.Background(), name, types.MergePatchType, []byte(text), meta.PatchOptions{})
	return err
}

// Not a test but a measurement: how long hand-overs and crashes take.
func TestFailoverTimes(t *testing.T) {
	failoverOnly(t)
	if os.Getenv("E2E_TIMES") == "" {
		t.Skip("this is a measurement: E2E_TIMES=100 (bench/run.sh failover)")
	}
	times := int(number(t, "E2E_TIMES", 100))
	m := &measurement{Wall: time.Now(), Machine: machine(), Lease: termSeconds * time.Second, Budget: stopSeconds * time.Second}
	callsign := "measured"
	r, err := startTrial(1, map[string]string{callsign: history.Fast}, []string{callsign})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.clear(); err != nil {
			t.Error(err)
		}
	})
	low, high := clusters[1], clusters[2] // of rank 10 and 15
	group, mine := clusters[0].straight(t, failoverGroups), high.straight(t, multiClusters)
	leading := func(c *cluster) {
		t.Helper()
		if err := leads(callsign, c.name, startBound); err != nil {
			t.Fatal(err)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	measure := func(cause string, crash bool, prepare func(), begin func() error, from, to *cluster, end func()) {
		p := passages{Cause: cause, Crash: crash}
		for i := range times {
			prepare()
			leading(from)
			began := now()
			do(begin())
			if crash {
				began = now()
			}
			new, one, err := follow(callsign, from.name, began, startBound)
			if err != nil {
				t.Fatal(err)
			}
			if new != to.name {
				t.Fatalf("%s leads, not %s", new, to.name)
			}
			p.All = append(p.All, one)
			end()
			if i%10 == 9 {
				fmt.Printf("%s: %d of %d, the last in %v, %v since the release\n", cause, i+1, times, one.Whole, one.Released)
			}
		}
		m.Passages = append(m.Passages, p)
	}
	rank := func(rank int) error { return patch(mine, callsign, fmt.Sprintf(`{"spec":{"rank":%d}}`, rank)) }
	ready := func(ready bool) error { return patch(mine, callsign, fmt.Sprintf(`{"spec":{"ready":%v}}`, ready)) }
	prefer := func(name string) error {
		return patch(group, callsign, `{"spec":{"preferredCluster":`+name+`}}`)
	}
	measure("a higher rank", false, func() { do(rank(5)) }, func() error { return rank(15) }, low, high, func() {})
	measure("`ready: false`", false, func() { do(ready(true)) }, func() error { return ready(false) }, high, low, func() { do(ready(true)) })
	measure("deleted", false, func() {}, func() error {
		return mine.Delete(context.Background(), callsign, meta.DeleteOptions{})
	}, high, low, func() { do(r.recreated(high, callsign)) })
	measure("`handover`", false, func() {}, func() error { return prefer(`"` + low.name + `"`) }, high, low, func() { do(prefer("null")) })
	measure("the agent is killed", true, func() {}, func() error { high.agent.Kill(); return nil }, high, low, func() { do(high.agent.Restart()) })
	measure("the whole cluster is killed", true, func() {}, func() error { high.agent.Kill(); high.crash(); return nil }, high, low, func() {
		do(high.revive())
		do(high.agent.Restart())
	})
	dir := os.Getenv("E2E_REPORTS")
	if dir == "" {
		dir = clusters[0].env.Dir
	}
	do(m.write(dir))
	var text bytes.Buffer
	do(m.report(&text))
	t.Log(text.String())
}

func TestFailoverTimesAreReportedAsTheyAre(t *testing.T) {
	p := passages{Cause: "x"}
	for i := range 100 {
		p.All = append(p.All, passage{Released: time.Duration(100-i) * time.Millisecond, Whole: time.Second})
	}
	s := statisticsOf(p.collect(func(p passage) time.Duration { return p.Released }))
	if s.Median != 51*time.Millisecond || s.P99 != 100*time.Millisecond || s.Worst != 100*time.Millisecond {
		t.Errorf("%+v", s)
	}
	m := measurement{Lease: 4 * time.Second, Passages: []passages{p, {Cause: "y", Crash: true, All: []passage{{Whole: 4500 * time.Millisecond}}}}}
	var text bytes.Buffer
	if err := m.report(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| x | 100 | 0.051 | 0.100 | 0.100 | 1.000 |", "| y | 1 | 4.500 | 4.500 | 4.500 | 0.500 |"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, &text)
		}
	}
}
