package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"helium.dev/tests/harness"
)

// The stand-in for nodes keeps what exclusion depends on: a pod works until its
// grace period is over, and its object is there for as long as it works.
func TestFailoverNodesEndPodsInOrder(t *testing.T) {
	failoverOnly(t)
	c, node := clusters[0], nodes[0]
	pod := func(name string, grace int) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: default}\nspec: {terminationGracePeriodSeconds: %d, containers: [{name: c, image: registry.example.com/c:1}]}\n", name, grace)
	}
	before := node.Running()
	c.do(t, pod("slow", 100), "create", "-f", "-") // a second, scaled
	c.do(t, "", "wait", "--for=condition=Ready", "pod/slow", "-n", "default", "--timeout=30s")
	if running := node.Running(); running != before+1 {
		t.Errorf("%d pods run, not one more than %d", running, before)
	}
	began := time.Now()
	c.do(t, "", "delete", "pod", "slow", "-n", "default", "--timeout=30s")
	if took := time.Since(began); took < time.Second || node.Running() != before {
		t.Errorf("it was gone after %v, and %d pods run", took, node.Running())
	}
	// An API server that is away ends no pod, and a pod that was removed by force is ended when that is seen.
	c.do(t, pod("orphan", 30), "create", "-f", "-")
	c.do(t, "", "wait", "--for=condition=Ready", "pod/orphan", "-n", "default", "--timeout=30s")
	c.do(t, "", "delete", "pod", "orphan", "-n", "default", "--force", "--grace-period=0", "--timeout=30s")
	err := harness.WaitFor("the removed pod has ended", 30*time.Second, func() error {
		if running := node.Running(); running != before {
			return fmt.Errorf("%d pods run", running)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if out := c.do(t, "", "get", "pods", "-n", "default", "-o", "name"); strings.Contains(out, "orphan") || strings.Contains(out, "slow") {
		t.Errorf("left: %s", out)
	}
}
