package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"helium.dev/tests/harness"
)

// Each cluster's namespace controller deletes what is in a namespace. What all
// clusters share must stay for the others, and the namespace must go: in
// cluster 2, whose controllers have an identity each, and in cluster 3, where
// they are one user.
func TestNamespaceDeletedInOneClusterHarmsNobody(t *testing.T) {
	for i, namespace := range map[int]string{1: "arkham", 2: "dunwich"} {
		t.Run(clusters[i].name, func(t *testing.T) { leaveNamespace(t, clusters[i], namespace) })
	}
}

func leaveNamespace(t *testing.T, leaving *cluster, namespace string) {
	for _, c := range clusters {
		c.do(t, "", "create", "namespace", namespace)
	}
	clusters[0].do(t, strings.Replace(festival("shared", "4"), "default", namespace, 1), "create", "-f", "-")
	clusters[0].do(t, fmt.Sprintf(`{"apiVersion":"coordination.helium.dev/v1","kind":"Lease","metadata":{"name":"shared","namespace":%q},"spec":{}}`, namespace), "create", "-f", "-")
	leaving.do(t, "", "create", "configmap", "local", "-n", namespace)
	before := map[string]identity{}
	shared := []string{"festival shared -n " + namespace, "leases.coordination.helium.dev shared -n " + namespace}
	for _, what := range shared {
		before[what], _ = clusters[0].get(t, what)
		leaving.get(t, what)
	}

	leaving.do(t, "", "delete", "namespace", namespace, "--timeout=90s")

	for _, c := range clusters {
		if c == leaving {
			continue
		}
		for _, what := range shared {
			if after, _ := c.get(t, what); after != before[what] {
				t.Errorf("%s: %s was %+v, now it is %+v", c.name, what, before[what], after)
			}
		}
		if phase := c.do(t, "", "get", "namespace", namespace, "-o", "jsonpath={.status.phase}"); phase != "Active" {
			t.Errorf("%s: the namespace is %s", c.name, phase)
		}
	}
	// The namespace can be made again: what is shared is there, what was local is gone.
	leaving.do(t, "", "create", "namespace", namespace)
	err := harness.WaitFor("the shared object is back in "+leaving.name, 30*time.Second, func() error {
		_, err := leaving.kubectl("", append([]string{"get"}, strings.Fields(shared[0])...)...)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := leaving.kubectl("", "get", "configmap", "local", "-n", namespace); err == nil {
		t.Error("the namespace's own content outlived it")
	}
}

// Another cluster's garbage collector can't find an owner that is local to one
// cluster, and would delete the object for all.
func TestOwnerInOneClusterHarmsNobody(t *testing.T) {
	clusters[2].do(t, "", "create", "configmap", "local-owner", "-n", "default")
	owner, _ := clusters[2].get(t, "configmap local-owner -n default")
	_, err := clusters[2].kubectl(owned("owned", "v1", "ConfigMap", "local-owner", owner.UID), "create", "-f", "-")
	refused(t, err)
	// Nor can one be added later.
	clusters[2].do(t, festival("owned", "5"), "create", "-f", "-")
	patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"local-owner","uid":%q}]}}`, owner.UID)
	_, err = clusters[2].kubectl("", "patch", "festival", "owned", "-n", "default", "--type=merge", "-p", patch)
	refused(t, err)
	before, _ := clusters[2].get(t, "festival owned -n default")

	// An owner that all clusters have works: its dependents go with it. By the
	// time they are gone, each collector has had its turn.
	clusters[0].do(t, festival("parent", "6"), "create", "-f", "-")
	parent, _ := clusters[0].get(t, "festival parent -n default")
	clusters[2].do(t, owned("child", "innsmouth.example.com/v1", "Festival", "parent", parent.UID), "create", "-f", "-")
	clusters[1].do(t, "", "delete", "festival", "parent", "-n", "default")
	err = harness.WaitFor("the dependent of a deleted shared owner is collected", time.Minute, func() error {
		_, err := clusters[0].kubectl("", "get", "festival", "child", "-n", "default")
		if err == nil {
			return fmt.Errorf("it is still there")
		}
		if !strings.Contains(err.Error(), "NotFound") {
			return err
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, c := range clusters {
		if after, _ := c.get(t, "festival owned -n default"); after != before {
			t.Errorf("%s: a bystander was %+v, now it is %+v", c.name, before, after)
		}
	}
	clusters[0].do(t, "", "delete", "festival", "owned", "-n", "default")
}

// owned is a Festival with an owner.
func owned(name, apiVersion, kind, owner, uid string) string {
	return strings.Replace(festival(name, "5"), "spec:", fmt.Sprintf(`  ownerReferences:
  - {apiVersion: %s, kind: %s, name: %s, uid: %s}
spec:`, apiVersion, kind, owner, uid), 1)
}

func refused(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("an owner that only one cluster has was accepted")
	}
	if !strings.Contains(err.Error(), "is invalid") || !strings.Contains(err.Error(), "ownerReferences") {
		t.Errorf("the refusal doesn't say what is wrong: %v", err)
	}
}
