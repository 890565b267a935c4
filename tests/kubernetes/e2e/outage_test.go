package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

// meanwhile writes through clusters 2 and 3 while cluster 1 can't: n Festivals
// each, of which every third is deleted again.
func meanwhile(t *testing.T, l *ledger, n int) {
	t.Helper()
	for i := range n {
		for k, c := range clusters[1:] {
			name := fmt.Sprintf("meanwhile-%d-%d", k+2, i)
			l.create(t, c, festival(name, "2"))
			if i%3 == 0 {
				l.delete(t, c, name)
			}
		}
	}
}

// survive is what every outage of cluster 1 must leave intact: its watch goes
// on where it was, nothing missing, nothing twice; an informer ends with the
// truth. It returns the informer.
func survive(t *testing.T, outage func(t *testing.T, l *ledger), recover func() error) *mirror {
	recorders := recordAll(t, festivals)
	mirror := clusters[0].mirror(t, festivals)
	var written ledger
	written.create(t, clusters[0], festival("before", "1"))
	waitForAll(t, recorders, watch.Added, "before", 10*time.Second)

	outage(t, &written)
	for _, r := range recorders[1:] { // the others see it while cluster 1 is down
		if err := r.waitForLedger(&written, 10*time.Second); err != nil {
			t.Error(err)
		}
	}

	if err := recover(); err != nil {
		t.Fatal(err)
	}
	if err := clusters[0].waitAvailable(append(builtin, shared...)...); err != nil {
		t.Fatal(err)
	}
	written.create(t, clusters[0], festival("after", "3"))
	for _, r := range recorders {
		if err := r.waitForLedger(&written, 30*time.Second); err != nil {
			t.Error(err)
		}
	}
	if err := compare(recorders); err != nil {
		t.Error(err)
	}
	if err := mirror.waitForLedger(&written, 60*time.Second); err != nil {
		t.Error(err)
	}
	clusters[1].do(t, "", "delete", "festivals", "--all", "-n", "default")
	waitForAll(t, recorders, watch.Deleted, "after", 10*time.Second)
	return mirror
}

func TestClusterDiesAndComesBack(t *testing.T) {
	survive(t, func(t *testing.T, l *ledger) {
		clusters[0].crash()
		meanwhile(t, l, 20)
	}, clusters[0].revive)
}

func TestAPIServerDiesAndComesBack(t *testing.T) {
	c := clusters[0]
	survive(t, func(t *testing.T, l *ledger) {
		c.helium.Kill()
		meanwhile(t, l, 5)
	}, func() error {
		if err := c.helium.Restart(); err != nil {
			return err
		}
		return c.waitHelium()
	})
}

// Without its store a cluster can't read what is shared, and says so; what the
// cluster itself depends on goes on: discovery, and the end of its namespaces.
func TestStoreDiesAndComesBack(t *testing.T) {
	c := clusters[0]
	if c.shim == nil {
		t.Skip("the clusters have one store together")
	}
	c.do(t, "", "create", "namespace", "ephemeral")
	mirror := survive(t, func(t *testing.T, l *ledger) {
		c.shim.Kill()
		meanwhile(t, l, 5)
		if discovery := c.do(t, "", "get", "--raw", "/apis/innsmouth.example.com/v1"); !strings.Contains(discovery, `"festivals"`) {
			t.Errorf("discovery without the store: %s", discovery)
		}
		asked := time.Now()
		_, err := c.kubectl("", "get", "festival", "before", "-n", "default")
		t.Logf("without the store, after %v: %v", time.Since(asked), err)
		if err == nil || strings.Contains(err.Error(), "NotFound") || !strings.Contains(err.Error(), "(ServiceUnavailable)") {
			t.Errorf("a read without the store must be answered as unavailable: %v", err)
		}
		asked = time.Now()
		c.do(t, "", "delete", "namespace", "ephemeral", "--timeout=60s")
		t.Logf("without the store, the namespace was gone after %v", time.Since(asked))
	}, func() error {
		if err := c.shim.Restart(); err != nil {
			return err
		}
		return c.shim.WaitReady(startBound, func() error {
			_, err := kubectl(c.direct, "", "get", "festival", "before", "-n", "default")
			return err
		})
	})
	if reads := mirror.reads(); reads != 1 {
		t.Errorf("a watch must outlive its store's restart; the informer read everything %d times", reads)
	}
}
