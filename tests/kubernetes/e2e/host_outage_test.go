package e2e

import (
	"strings"
	"testing"
	"time"
)

// withoutStore stops a cluster's store, does something, and waits until the
// cluster serves what is shared again.
func (c *cluster) withoutStore(t *testing.T, do func()) {
	t.Helper()
	if c.shim == nil {
		t.Skip("the clusters have one store together")
	}
	c.shim.Kill()
	defer c.storeBack(t)
	do()
}

func (c *cluster) storeBack(t *testing.T) {
	t.Helper()
	if err := c.shim.Restart(); err != nil {
		t.Fatal(err)
	}
	err := c.shim.WaitReady(startBound, func() error {
		_, err := kubectl(c.direct, "", "get", "festivals", "-n", "default")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Without its store a cluster deletes namespaces as ever, and is promised what
// follows from it; when the store is back, that is done, once. What was written
// into a namespace that was made again meanwhile stays.
func TestNamespacesLeaveWithoutTheStore(t *testing.T) {
	sharePolicies(t)
	joinAll(t)
	for i, prefix := range map[int]string{0: "leng", 2: "kadath"} {
		t.Run(clusters[i].name, func(t *testing.T) {
			leaving := clusters[i]
			gone, again := prefix+"-gone", prefix+"-again"
			settle(t, gone)
			settle(t, again)
			before := revisions(t, clusters[1], keeps, gone)
			leaving.withoutStore(t, func() {
				for _, namespace := range []string{gone, again} {
					asked := time.Now()
					leaving.do(t, "", "delete", "namespace", namespace, "--timeout=60s")
					t.Logf("without the store, the namespace was gone after %v", time.Since(asked))
				}
				leaving.do(t, "", "create", "namespace", again)
			})
			leaving.waitCount(t, homes, gone, 0)
			leaving.waitCount(t, homes, again, 0)
			leaving.fill(t, homes, "Home", again, 2)
			for _, c := range clusters {
				if c == leaving {
					continue
				}
				c.mustCount(t, homes, gone, 3)
				c.mustCount(t, cascades, gone, 5)
				if after := revisions(t, c, keeps, gone); after != before {
					t.Errorf("%s: the shared objects were %s, now they are %s", c.name, before, after)
				}
				c.do(t, "", "delete", "namespace", again, "--timeout=90s")
				c.do(t, "", "delete", "namespace", gone, "--timeout=90s")
			}
			// That the cluster left one and has the other again was not forgotten.
			leaving.waitCount(t, cascades, gone, 0)
			leaving.mustCount(t, cascades, again, 5)
			leaving.mustCount(t, homes, again, 2)
			leaving.mustCount(t, keeps, gone, 20)
			leaving.do(t, "", "delete", "namespace", again, "--timeout=90s")
		})
	}
}

// A server that starts while its store is down serves what it knew last:
// discovery, OpenAPI and health. Nothing shared can be read, and nothing is
// called unknown. What the cluster itself has isn't touched.
func TestServerStartsWithoutItsStore(t *testing.T) {
	c := clusters[0]
	c.do(t, festival("known", "8"), "apply", "-f", "-")
	c.do(t, "", "create", "namespace", "sarnath")
	const reads = 20
	read := func() time.Duration {
		asked := time.Now()
		for range reads {
			c.do(t, "", "get", "--raw", "/api/v1/namespaces/default/configmaps")
		}
		return time.Since(asked) / reads
	}
	with := read()
	c.withoutStore(t, func() {
		c.helium.Kill()
		if err := c.helium.Restart(); err != nil {
			t.Fatal(err)
		}
		if err := c.waitHelium(); err != nil {
			t.Fatal(err)
		}
		if err := c.waitAvailable(append(builtin, shared...)...); err != nil {
			t.Fatal(err)
		}
		c.waitDiscovered(t, festivals, leases)
		for path, part := range map[string]string{
			"/apis/innsmouth.example.com/v1":               `"festivals"`,
			"/openapi/v3/apis/innsmouth.example.com/v1":    "Festival",
			"/openapi/v3/apis/olympus.example.com/v1beta1": "Poseidon",
		} {
			if got := c.do(t, "", "get", "--raw", path); !strings.Contains(got, part) {
				t.Errorf("%s lacks %s: %.200s", path, part, got)
			}
		}
		for name, args := range map[string][]string{
			"get":     {"get", "festival", "known", "-n", "default"},
			"list":    {"get", "festivals", "-n", "default"},
			"missing": {"get", "festival", "nobody", "-n", "default"},
			"delete":  {"delete", "festival", "known", "-n", "default"},
		} {
			_, err := c.kubectl("", args...)
			if err == nil || strings.Contains(err.Error(), "NotFound") || !strings.Contains(err.Error(), "ServiceUnavailable") {
				t.Errorf("%s without the store must be answered as unavailable: %v", name, err)
			}
		}
		without := read()
		t.Logf("a read of a built-in kind takes %v with the store and %v without", with, without)
		c.do(t, "", "delete", "namespace", "sarnath", "--timeout=60s")
	})
	if got := c.do(t, "", "get", "festival", "known", "-n", "default", "-o", "jsonpath={.spec.year}"); got != "8" {
		t.Errorf("the object is back as %q", got)
	}
	c.do(t, "", "delete", "festival", "known", "-n", "default")
}
