package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"helium.dev/tests/harness"
)

// policies is the group of four kinds that differ in what it means for them
// that a cluster deletes a namespace.
var policies = groupVersion{"policies.example.com", "v1"}

var (
	keeps    = policy("keeps")    // Detach
	homes    = policy("homes")    // HomeOnly
	cascades = policy("cascades") // Cascade
	blocks   = policy("blocks")   // Block

	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

func policy(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: policies.Group, Version: policies.Version, Resource: plural}
}

const policyDefinition = `
---
apiVersion: helium.dev/v1
kind: SharedResourceDefinition
metadata: {name: %[1]s.policies.example.com}
spec:
  group: policies.example.com
  scope: Namespaced
  names: {plural: %[1]s, kind: %[2]s}
  sharing: {scope: %[3]s, namespaceDeletion: %[4]s}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
`

var sharedPolicies sync.Once

// sharePolicies declares and registers the kinds, once for all tests, and waits
// until each cluster's namespace controller would find them.
func sharePolicies(t *testing.T) {
	t.Helper()
	sharedPolicies.Do(func() {
		var text strings.Builder
		for _, kind := range [][]any{
			{"keeps", "Keep", "Fleet", "Detach"}, {"homes", "Home", "PerCluster", "HomeOnly"},
			{"cascades", "Cascade", "Fleet", "Cascade"}, {"blocks", "Block", "Fleet", "Block"},
		} {
			fmt.Fprintf(&text, policyDefinition, kind...)
		}
		clusters[0].do(t, text.String(), "apply", "-f", "-")
		for _, c := range clusters {
			for _, kind := range []string{"keeps", "homes", "cascades", "blocks"} {
				c.do(t, "", "wait", "sharedresourcedefinition", kind+".policies.example.com", "--for=condition=Established", "--timeout=30s")
			}
		}
		if err := inParallel(clusters, func(c *cluster) error { return c.register(policies) }); err != nil {
			t.Fatal(err)
		}
	})
	for _, c := range clusters {
		c.waitDiscovered(t, keeps, homes, cascades, blocks)
	}
}

// waitDiscovered waits until the cluster's aggregated discovery, which its
// controllers go by, has the resources.
func (c *cluster) waitDiscovered(t *testing.T, resources ...schema.GroupVersionResource) {
	t.Helper()
	err := harness.WaitFor(c.name+" discovers "+fmt.Sprint(resources), 2*time.Minute, func() error {
		found, err := c.discovered()
		if err != nil {
			return err
		}
		for _, resource := range resources {
			if !found[resource] {
				return fmt.Errorf("%v is missing", resource)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// discovered is what the cluster's namespace controller would find.
func (c *cluster) discovered() (map[schema.GroupVersionResource]bool, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	lists, err := client.ServerPreferredNamespacedResources()
	if err != nil {
		return nil, err
	}
	all, err := discovery.GroupVersionResources(lists)
	found := map[schema.GroupVersionResource]bool{}
	for resource := range all {
		found[resource] = true
	}
	return found, err
}

// joinAll makes every cluster a member of the fleet, which stays open: no
// member lists an authority.
func joinAll(t *testing.T) {
	t.Helper()
	for _, c := range clusters {
		c.do(t, fmt.Sprintf(`{"apiVersion":"helium.dev/v1","kind":"Member","metadata":{"name":%q},"spec":{}}`, c.name), "apply", "-f", "-")
	}
}

// client is the cluster's dynamic client.
func (c *cluster) client(t *testing.T) dynamic.Interface {
	t.Helper()
	client, err := c.dynamicClient()
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// fill creates n objects of a kind through a cluster.
func (c *cluster) fill(t *testing.T, resource schema.GroupVersionResource, kind, namespace string, n int) {
	t.Helper()
	client := c.client(t).Resource(resource).Namespace(namespace)
	for i := range n {
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": resource.GroupVersion().String(), "kind": kind,
			"metadata": map[string]any{"name": fmt.Sprintf("%s-%d", c.name, i)},
		}}
		if _, err := client.Create(t.Context(), object, meta.CreateOptions{}); err != nil {
			t.Fatalf("%s: creating %v: %v", c.name, resource, err)
		}
	}
}

// count is how many objects of a kind a cluster sees in a namespace.
func (c *cluster) count(resource schema.GroupVersionResource, namespace string) (int, error) {
	client, err := c.dynamicClient()
	if err != nil {
		return 0, err
	}
	list, err := client.Resource(resource).Namespace(namespace).List(context.Background(), meta.ListOptions{})
	if err != nil {
		return 0, err
	}
	return len(list.Items), nil
}

func (c *cluster) mustCount(t *testing.T, resource schema.GroupVersionResource, namespace string, want int) {
	t.Helper()
	if got, err := c.count(resource, namespace); err != nil || got != want {
		t.Errorf("%s sees %d %s in %s, not %d (%v)", c.name, got, resource.Resource, namespace, want, err)
	}
}

func (c *cluster) waitCount(t *testing.T, resource schema.GroupVersionResource, namespace string, want int) {
	t.Helper()
	what := fmt.Sprintf("%s sees %d %s in %s", c.name, want, resource.Resource, namespace)
	err := harness.WaitFor(what, time.Minute, func() error {
		got, err := c.count(resource, namespace)
		if err == nil && got != want {
			err = fmt.Errorf("they are %d", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// settle makes a namespace in every cluster, with 50 objects of the clusters'
// own in each and shared ones of all kinds but blocks.
func settle(t *testing.T, namespace string) {
	t.Helper()
	for _, c := range clusters {
		c.do(t, "", "create", "namespace", namespace)
		c.fill(t, configMaps, "ConfigMap", namespace, 50)
		c.fill(t, homes, "Home", namespace, 3)
	}
	clusters[0].fill(t, keeps, "Keep", namespace, 20)
	clusters[1].fill(t, cascades, "Cascade", namespace, 5)
	for _, c := range clusters { // by then every cluster's server has seen all of it
		c.mustCount(t, keeps, namespace, 20)
		c.mustCount(t, cascades, namespace, 5)
		c.mustCount(t, homes, namespace, 3)
	}
}

// A cluster deletes its namespace: with it go the cluster's own objects and
// those of its own of a shared kind, and nothing else. In cluster 2, whose
// controllers have an identity each, and in cluster 3, where they are one user.
// What goes when all have left goes then.
func TestNamespaceLeavesByPolicy(t *testing.T) {
	sharePolicies(t)
	joinAll(t)
	for i, namespace := range map[int]string{1: "kingsport", 2: "ulthar"} {
		t.Run(clusters[i].name, func(t *testing.T) {
			settle(t, namespace)
			before := revisions(t, clusters[0], keeps, namespace)
			leaving := clusters[i]
			leaving.do(t, "", "delete", "namespace", namespace, "--timeout=90s")
			leaving.mustCount(t, homes, namespace, 0)
			for _, c := range clusters {
				if c == leaving {
					continue
				}
				c.mustCount(t, configMaps, namespace, 50)
				c.mustCount(t, homes, namespace, 3)
				c.mustCount(t, cascades, namespace, 5)
				if after := revisions(t, c, keeps, namespace); after != before {
					t.Errorf("%s: the shared objects were %s, now they are %s", c.name, before, after)
				}
				if phase := c.do(t, "", "get", "namespace", namespace, "-o", "jsonpath={.status.phase}"); phase != "Active" {
					t.Errorf("%s: the namespace is %s", c.name, phase)
				}
			}
			for _, c := range clusters {
				if c != leaving {
					c.do(t, "", "delete", "namespace", namespace, "--timeout=90s")
				}
			}
			leaving.waitCount(t, cascades, namespace, 0)
			leaving.mustCount(t, keeps, namespace, 20)
		})
	}
}

func revisions(t *testing.T, c *cluster, resource schema.GroupVersionResource, namespace string) string {
	t.Helper()
	list, err := c.client(t).Resource(resource).Namespace(namespace).List(t.Context(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, item := range list.Items {
		fmt.Fprintf(&text, "%s %s @%s; ", item.GetName(), item.GetUID(), item.GetResourceVersion())
	}
	return text.String()
}

// A namespace that is made again is a return, whether or not anybody writes
// shared objects into it: what goes when all have left stays.
func TestNamespaceMadeAgainIsNotLeft(t *testing.T) {
	sharePolicies(t)
	joinAll(t)
	for _, namespace := range []string{"celephais", "dylathleen"} {
		settle(t, namespace)
		clusters[2].do(t, "", "delete", "namespace", namespace, "--timeout=90s")
	}
	clusters[2].do(t, "", "create", "namespace", "celephais")
	for _, namespace := range []string{"celephais", "dylathleen"} {
		for _, c := range clusters[:2] {
			c.do(t, "", "delete", "namespace", namespace, "--timeout=90s")
		}
	}
	// What all have left last is gone: the other had as much time.
	clusters[2].waitCount(t, cascades, "dylathleen", 0)
	clusters[2].mustCount(t, cascades, "celephais", 5)
	clusters[2].do(t, "", "delete", "namespace", "celephais", "--timeout=90s")
	clusters[2].waitCount(t, cascades, "celephais", 0)
}

// A kind whose policy is Block keeps the namespace, which says why; once its
// objects are deleted, the namespace goes.
func TestBlockedNamespaceSaysWhy(t *testing.T) {
	sharePolicies(t)
	for i, namespace := range map[int]string{1: "thalarion", 2: "zar"} {
		t.Run(clusters[i].name, func(t *testing.T) {
			c := clusters[i]
			c.do(t, "", "create", "namespace", namespace)
			c.fill(t, blocks, "Block", namespace, 1)
			c.do(t, "", "delete", "namespace", namespace, "--wait=false")
			err := harness.WaitFor("the namespace says what keeps it", time.Minute, func() error {
				got, err := c.kubectl("", "get", "namespace", namespace, "-o", "jsonpath={.status.conditions}")
				if err == nil && (!strings.Contains(got, "NamespaceDeletionContentFailure") || !strings.Contains(got, "namespaceDeletion: Block")) {
					err = errors.New(got)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			clusters[0].mustCount(t, blocks, namespace, 1)
			clusters[0].do(t, "", "delete", "blocks", "--all", "-n", namespace)
			c.waitNamespaceGone(t, namespace)
		})
	}
}

func (c *cluster) waitNamespaceGone(t *testing.T, namespace string) {
	t.Helper()
	namespaces := c.client(t).Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	err := harness.WaitFor(c.name+": namespace "+namespace+" is gone", 2*time.Minute, func() error {
		found, err := namespaces.Get(t.Context(), namespace, meta.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("it is there: %v", found.Object["status"])
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
