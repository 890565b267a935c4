package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"helium.dev/tests/harness"
)

// collectBound is how long a collector may take: it looks for new kinds every
// 30 s, and tries again with growing pauses.
const collectBound = 2 * time.Minute

// create makes an object with owners, in the namespace default.
func (c *cluster) create(t *testing.T, resource schema.GroupVersionResource, kind, name string, owners ...meta.OwnerReference) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": resource.GroupVersion().String(), "kind": kind, "metadata": map[string]any{"name": name},
	}}
	if resource == festivals {
		object.Object["spec"] = map[string]any{"year": int64(7)}
	}
	object.SetOwnerReferences(owners)
	created, err := c.client(t).Resource(resource).Namespace("default").Create(t.Context(), object, meta.CreateOptions{})
	if err != nil {
		t.Fatalf("%s: creating %s: %v", c.name, name, err)
	}
	return created
}

func ownedBy(owner *unstructured.Unstructured) meta.OwnerReference {
	return meta.OwnerReference{APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: owner.GetUID()}
}

// waitCollected waits until an object is gone for a cluster.
func (c *cluster) waitCollected(t *testing.T, resource schema.GroupVersionResource, name string) {
	t.Helper()
	client := c.client(t).Resource(resource).Namespace("default")
	err := harness.WaitFor(c.name+": "+name+" is collected", collectBound, func() error {
		_, err := client.Get(t.Context(), name, meta.GetOptions{})
		switch {
		case err == nil:
			return errors.New("it is there")
		case apierrors.IsNotFound(err):
			return nil
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// mustStay checks that an object is there, with so many owners.
func (c *cluster) mustStay(t *testing.T, resource schema.GroupVersionResource, name string, owners int) {
	t.Helper()
	found, err := c.client(t).Resource(resource).Namespace("default").Get(t.Context(), name, meta.GetOptions{})
	if err != nil {
		t.Errorf("%s: %s is lost: %v", c.name, name, err)
	} else if got := found.GetOwnerReferences(); len(got) != owners || found.GetDeletionTimestamp() != nil {
		t.Errorf("%s: %s has owners %v, deletion %v", c.name, name, got, found.GetDeletionTimestamp())
	}
}

// afterCollectors waits until each cluster's collector has worked through what
// it knew: it collects an object of the cluster that was made just now and has
// an owner that never was.
func afterCollectors(t *testing.T, round string) {
	t.Helper()
	nobody := meta.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "nobody", UID: "00000000-0000-4000-8000-000000000000"}
	for _, c := range clusters {
		c.create(t, configMaps, "ConfigMap", "sentinel-"+round, nobody)
	}
	for _, c := range clusters {
		c.waitCollected(t, configMaps, "sentinel-"+round)
	}
}

// delete deletes a Festival as kubectl does it, without waiting.
func (c *cluster) deleteFestival(t *testing.T, name, cascade string) {
	t.Helper()
	c.do(t, "", "delete", "festival", name, "-n", "default", "--cascade="+cascade, "--wait=false")
}

// Owners and dependents that all clusters share: the three collectors do the
// same work, which is harmless, and delete what has no owner left, all of it.
func TestSharedDependentsGoWithTheirOwner(t *testing.T) {
	a := clusters[0].create(t, festivals, "Festival", "chain-a")
	b := clusters[1].create(t, festivals, "Festival", "chain-b", ownedBy(a))
	clusters[2].create(t, festivals, "Festival", "chain-c", ownedBy(b))
	both := clusters[0].create(t, festivals, "Festival", "second-owner")
	clusters[0].create(t, festivals, "Festival", "two-owners", ownedBy(a), ownedBy(both))
	clusters[0].create(t, festivals, "Festival", "bystander")
	clusters[1].deleteFestival(t, "chain-a", "background")
	for _, name := range []string{"chain-a", "chain-b", "chain-c"} {
		for _, c := range clusters {
			c.waitCollected(t, festivals, name)
		}
	}
	afterCollectors(t, "chain")
	for _, c := range clusters {
		c.mustStay(t, festivals, "bystander", 0)
		c.mustStay(t, festivals, "two-owners", 1) // the dangling reference is gone
	}
	clusters[0].do(t, "", "delete", "festivals", "bystander", "second-owner", "two-owners", "-n", "default")
}

// An object of a cluster's own may have a shared owner. It goes with the owner,
// whoever deletes that, and only then.
func TestClustersOwnDependentsGoWithTheSharedOwner(t *testing.T) {
	owner := clusters[0].create(t, festivals, "Festival", "shared-owner")
	for _, c := range clusters {
		c.create(t, configMaps, "ConfigMap", "of-shared", ownedBy(owner))
	}
	afterCollectors(t, "owned")
	for _, c := range clusters {
		c.mustStay(t, configMaps, "of-shared", 1)
	}
	clusters[2].deleteFestival(t, "shared-owner", "background")
	for _, c := range clusters {
		c.waitCollected(t, configMaps, "of-shared")
	}
}

// Deleted with --cascade=orphan, a shared owner leaves its dependents in all
// clusters, whichever collector is first: the owner doesn't go before the
// others have had time to release theirs.
func TestOrphansStayInAllClusters(t *testing.T) {
	for round := range 3 {
		name := fmt.Sprint("orphaning-", round)
		owner := clusters[0].create(t, festivals, "Festival", name)
		clusters[1].create(t, festivals, "Festival", name+"-child", ownedBy(owner))
		for _, c := range clusters {
			c.create(t, configMaps, "ConfigMap", name, ownedBy(owner))
		}
		clusters[round].deleteFestival(t, name, "orphan")
		for _, c := range clusters {
			c.waitCollected(t, festivals, name)
		}
		afterCollectors(t, fmt.Sprint("orphans-", round))
		for _, c := range clusters {
			c.mustStay(t, configMaps, name, 0)
			c.mustStay(t, festivals, name+"-child", 0)
			c.do(t, "", "delete", "configmap", name, "-n", "default")
		}
		clusters[0].do(t, "", "delete", "festival", name+"-child", "-n", "default")
	}
}

// Deleted with --cascade=foreground, a shared owner goes, and its dependents in
// all clusters. Which goes first is promised for those only that all clusters
// share: the owner waits for the cluster whose collector is the first to be done.
func TestForegroundDeletionTakesDependentsInAllClusters(t *testing.T) {
	owner := clusters[0].create(t, festivals, "Festival", "foreground")
	blocking := ownedBy(owner)
	block := true
	blocking.BlockOwnerDeletion = &block
	clusters[1].create(t, festivals, "Festival", "foreground-child", blocking)
	for _, c := range clusters {
		c.create(t, configMaps, "ConfigMap", "foreground", blocking)
	}
	clusters[1].deleteFestival(t, "foreground", "foreground")
	for _, c := range clusters {
		c.waitCollected(t, configMaps, "foreground")
		c.waitCollected(t, festivals, "foreground-child")
		c.waitCollected(t, festivals, "foreground")
	}
}

// A reference to an owner that is gone is as good as none: the collectors
// delete an object that has no other, and drop it from one that has.
func TestDanglingReferencesAreCollected(t *testing.T) {
	gone := clusters[0].create(t, festivals, "Festival", "was-there")
	reference := ownedBy(gone)
	clusters[0].do(t, "", "delete", "festival", "was-there", "-n", "default")
	// The same name again is another owner.
	again := clusters[1].create(t, festivals, "Festival", "was-there")
	clusters[1].create(t, festivals, "Festival", "dangling", reference)
	clusters[2].create(t, festivals, "Festival", "half-dangling", reference, ownedBy(again))
	for _, c := range clusters {
		c.waitCollected(t, festivals, "dangling")
	}
	afterCollectors(t, "dangling")
	for _, c := range clusters {
		c.mustStay(t, festivals, "half-dangling", 1)
		c.mustStay(t, festivals, "was-there", 0)
	}
	clusters[0].do(t, "", "delete", "festivals", "half-dangling", "was-there", "-n", "default")
}

// Kinds that each cluster has for itself can't own what all share; a shared
// kind of which each cluster has its own objects can't, either. Both are told why.
func TestOwnersThatOtherClustersLackAreRefusedWithTheReason(t *testing.T) {
	sharePolicies(t)
	own := clusters[1].create(t, homes, "Home", "home-owner")
	local := clusters[1].create(t, configMaps, "ConfigMap", "home-owner")
	for owner, why := range map[*unstructured.Unstructured]string{
		own:   "has objects of its own in each cluster",
		local: "is not shared by the fleet",
	} {
		reference := ownedBy(owner)
		_, err := clusters[1].kubectl(owned("refused", reference.APIVersion, reference.Kind, reference.Name, string(reference.UID)), "create", "-f", "-")
		if err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "garbage collector") && !strings.Contains(err.Error(), "delete this object for everybody") {
			t.Errorf("%s as an owner: %v", reference.Kind, err)
		}
	}
	// The cluster's own objects of a shared kind may have owners of the cluster, and go with them.
	clusters[1].create(t, homes, "Home", "home-owned", ownedBy(local))
	clusters[2].create(t, homes, "Home", "home-owned")
	clusters[1].do(t, "", "delete", "configmap", "home-owner", "-n", "default")
	clusters[1].waitCollected(t, homes, "home-owned")
	clusters[2].mustStay(t, homes, "home-owned", 0)
	clusters[1].do(t, "", "delete", "home", "home-owner", "-n", "default")
	clusters[2].do(t, "", "delete", "home", "home-owned", "-n", "default")
}
