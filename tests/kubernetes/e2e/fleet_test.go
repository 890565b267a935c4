package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"helium.dev/tests/harness"
)

// The three clusters of all tests of this package: starting them takes longer
// than the tests.
var clusters []*cluster

var (
	festivals = schema.GroupVersionResource{Group: "innsmouth.example.com", Version: "v1", Resource: "festivals"}
	builtin   = []groupVersion{{"helium.dev", "v1"}, {"coordination.helium.dev", "v1"}}
	shared    = []groupVersion{{"innsmouth.example.com", "v1"}, {"olympus.example.com", "v1beta1"}}
)

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	env, err := harness.NewEnv("e2e")
	if err != nil {
		return 1, err
	}
	defer func() {
		if closeErr := env.Close(code != 0 || err != nil); err == nil {
			err = closeErr
		}
	}()
	if err := startFleet(env); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func startFleet(env *harness.Env) error {
	began := time.Now()
	progress := func(what string) { fmt.Printf("%5.1f s  %s\n", time.Since(began).Seconds(), what) }
	// The host clusters' own store. E2E_HOST_STORE=shim: kine-shim must do for kube-apiserver itself, too.
	startHostStore := env.StartEtcd
	if os.Getenv("E2E_HOST_STORE") == "shim" {
		startHostStore = func(name string) (*harness.Store, error) {
			return env.StartShim(name, "debug", "sqlite://"+filepath.Join(env.Dir, name+".db"))
		}
	}
	hostStore, err := startHostStore("host-store")
	if err != nil {
		return err
	}
	for i := 1; i <= 3; i++ {
		c, err := startCluster(env, fmt.Sprintf("cluster%d", i), hostStore)
		if err != nil {
			return err
		}
		clusters = append(clusters, c)
	}
	postgres, err := env.StartPostgres("postgres")
	if err != nil {
		return err
	}
	database, err := postgres.CreateDatabase("helium")
	if err != nil {
		return err
	}
	if err := inParallel(clusters, (*cluster).waitReady); err != nil {
		return err
	}
	progress("three host clusters are ready")
	var store *harness.Store
	if os.Getenv("E2E_STORE") == "etcd" {
		// helium-apiserver on a real etcd instead of shims.
		if store, err = env.StartEtcd("helium-etcd"); err != nil {
			return err
		}
	}
	if err := inParallel(clusters, func(c *cluster) error { return c.startHelium(database, store) }); err != nil {
		return err
	}
	if err := inParallel(clusters, (*cluster).waitHelium); err != nil {
		return err
	}
	progress("a helium-apiserver and its store serve each of them")
	if err := inParallel(clusters, func(c *cluster) error { return c.register(builtin...) }); err != nil {
		return err
	}
	progress("the fleet's own groups are available in all")

	if _, err := clusters[0].kubectl("", "apply", "-f", example("definitions.yaml")); err != nil {
		return err
	}
	for _, c := range clusters {
		_, err := c.kubectl("", "wait", "sharedresourcedefinitions", "--all", "--for=condition=Established", "--timeout=30s")
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if err := inParallel(clusters, func(c *cluster) error { return c.register(shared...) }); err != nil {
		return err
	}
	progress("three kinds, defined in cluster1, are available in all")
	return nil
}

func example(name string) string {
	return filepath.Join(harness.Repository(), "manifests", "examples", name)
}

// identity is what makes two clusters' answers the same object.
type identity struct {
	UID             string `json:"uid"`
	ResourceVersion string `json:"resourceVersion"`
}

// get reads an object (`festival/x -n default`) through a cluster.
func (c *cluster) get(t *testing.T, what string) (identity, map[string]any) {
	t.Helper()
	text, err := c.kubectl("", append([]string{"get", "-o", "json"}, strings.Fields(what)...)...)
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Metadata identity `json:"metadata"`
	}
	all := map[string]any{}
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	if object.Metadata.UID == "" || object.Metadata.ResourceVersion == "" {
		t.Fatalf("%s: %s has no identity: %s", c.name, what, text)
	}
	return object.Metadata, all
}

func (c *cluster) do(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := c.kubectl(stdin, args...)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	return out
}

func recordAll(t *testing.T, resource schema.GroupVersionResource) []*recorder {
	t.Helper()
	var all []*recorder
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	for _, c := range clusters {
		r, err := c.record(ctx, resource)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		t.Cleanup(r.stop)
		all = append(all, r)
	}
	return all
}

func waitForAll(t *testing.T, recorders []*recorder, kind watch.EventType, name string, bound time.Duration) seen {
	t.Helper()
	var first seen
	for i, r := range recorders {
		event, err := r.waitFor(kind, name, bound)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = event
		} else if event != first {
			t.Errorf("%s sees %v with uid %s, cluster1 %v with uid %s", r.cluster.name, event, event.UID, first, first.UID)
		}
	}
	return first
}

func TestWrittenInOneClusterLiveInTheOthers(t *testing.T) {
	recorders := recordAll(t, festivals)
	for _, file := range []string{"festival.yaml", "deepone.yaml", "poseidon.yaml", "lease.yaml"} {
		clusters[0].do(t, "", "apply", "-f", example(file))
	}
	waitForAll(t, recorders, watch.Added, "candlemas", 10*time.Second)
	for _, what := range []string{
		"festival candlemas -n default", "deepone dagon -n default", "poseidon the-one",
		"leases.coordination.helium.dev example -n default", "sharedresourcedefinition festivals.innsmouth.example.com",
	} {
		first, _ := clusters[0].get(t, what)
		for _, c := range clusters[1:] {
			if got, _ := c.get(t, what); got != first {
				t.Errorf("%s: %+v in cluster1, %+v in %s", what, first, got, c.name)
			}
		}
	}
	// The schema's default was applied, and a status written elsewhere arrives.
	_, dagon := clusters[1].get(t, "deepone dagon -n default")
	sample, _ := dagon["spec"].(map[string]any)["sample"].(map[string]any)
	if sample["species"] != "cod" {
		t.Errorf("spec.sample.species should be the default: %v", dagon["spec"])
	}
	clusters[2].do(t, "", "patch", "festival", "candlemas", "-n", "default", "--subresource=status", "--type=merge", "-p", `{"status":{"attended":7}}`)
	waitForAll(t, recorders, watch.Modified, "candlemas", 10*time.Second)
	if table := clusters[0].do(t, "", "get", "festivals", "-n", "default"); !strings.Contains(table, "1928") || !strings.Contains(table, "7") {
		t.Errorf("cluster1 doesn't print year and attendance:\n%s", table)
	}
	clusters[1].do(t, "", "delete", "festival", "candlemas", "-n", "default")
	waitForAll(t, recorders, watch.Deleted, "candlemas", 10*time.Second)
	if err := compare(recorders); err != nil {
		t.Error(err)
	}
}

func TestBadInputGetsTheErrorsOfKubernetes(t *testing.T) {
	c := clusters[1]
	for name, test := range map[string]struct {
		stdin string
		args  []string
		want  []string
	}{
		"a value against the schema": {
			festival("bad", "-5"), []string{"create", "-f", "-"}, []string{"is invalid", "spec.year"},
		},
		"an unknown field": {
			strings.Replace(festival("bad", "1"), "spec:", "spec:\n  yaer: 3", 1), []string{"create", "--validate=strict", "-f", "-"}, []string{"yaer"},
		},
		"a group of Kubernetes": {
			strings.ReplaceAll(definition(t), "innsmouth.example.com", "apps.k8s.io"), []string{"create", "-f", "-"}, []string{"apps.k8s.io"},
		},
		"no such object": {"", []string{"get", "festival", "nobody"}, []string{"NotFound", `festivals.innsmouth.example.com "nobody" not found`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.kubectl(test.stdin, test.args...)
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the message lacks %q: %v", part, err)
				}
			}
		})
	}
}

func festival(name, year string) string {
	return fmt.Sprintf(`apiVersion: innsmouth.example.com/v1
kind: Festival
metadata:
  name: %s
  namespace: default
spec:
  year: %s
`, name, year)
}

// definition is the first of the sample definitions.
func definition(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(example("definitions.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n---\n")
	return first
}

// A cluster dies as a whole, the others go on; when it is back, its watch goes
// on where it was: nothing missing, nothing twice.
func TestClusterDiesAndComesBack(t *testing.T) {
	recorders := recordAll(t, festivals)
	clusters[0].do(t, festival("before", "1"), "create", "-f", "-")
	waitForAll(t, recorders, watch.Added, "before", 10*time.Second)

	clusters[0].crash()
	const each = 20
	for i := range each {
		for k, c := range clusters[1:] {
			name := fmt.Sprintf("meanwhile-%d-%d", k, i)
			c.do(t, festival(name, "2"), "create", "-f", "-")
			if i%3 == 0 {
				c.do(t, "", "delete", "festival", name, "-n", "default", "--wait=false")
			}
		}
	}
	for _, r := range recorders[1:] {
		if _, err := r.waitFor(watch.Added, fmt.Sprintf("meanwhile-1-%d", each-1), 10*time.Second); err != nil {
			t.Error(err)
		}
	}

	if err := clusters[0].revive(); err != nil {
		t.Fatal(err)
	}
	if err := clusters[0].waitAvailable(append(builtin, shared...)...); err != nil {
		t.Fatal(err)
	}
	clusters[0].do(t, festival("after", "3"), "create", "-f", "-")
	waitForAll(t, recorders, watch.Added, "after", 30*time.Second)
	if err := compare(recorders); err != nil {
		t.Error(err)
	}
	clusters[1].do(t, "", "delete", "festivals", "--all", "-n", "default")
	waitForAll(t, recorders, watch.Deleted, "after", 10*time.Second)
}

// Each cluster's namespace controller deletes what is in a namespace. What all
// clusters share must stay for the others, and the namespace must go.
func TestNamespaceDeletedInOneClusterHarmsNobody(t *testing.T) {
	const namespace = "arkham"
	for _, c := range clusters {
		c.do(t, "", "create", "namespace", namespace)
	}
	clusters[0].do(t, strings.Replace(festival("shared", "4"), "default", namespace, 1), "create", "-f", "-")
	clusters[0].do(t, fmt.Sprintf(`{"apiVersion":"coordination.helium.dev/v1","kind":"Lease","metadata":{"name":"shared","namespace":%q},"spec":{}}`, namespace), "create", "-f", "-")
	before, _ := clusters[0].get(t, "festival shared -n "+namespace)
	clusters[1].get(t, "festival shared -n "+namespace)

	clusters[1].do(t, "", "delete", "namespace", namespace, "--timeout=90s")

	for _, c := range []*cluster{clusters[0], clusters[2]} {
		if after, _ := c.get(t, "festival shared -n "+namespace); after != before {
			t.Errorf("%s: the shared object was %+v, now it is %+v", c.name, before, after)
		}
		c.get(t, "leases.coordination.helium.dev shared -n "+namespace)
		if phase := c.do(t, "", "get", "namespace", namespace, "-o", "jsonpath={.status.phase}"); phase != "Active" {
			t.Errorf("%s: the namespace is %s", c.name, phase)
		}
	}
	// The namespace can be made again, and the shared object is there.
	clusters[1].do(t, "", "create", "namespace", namespace)
	err := harness.WaitFor("the shared object is back in "+clusters[1].name, 30*time.Second, func() error {
		_, err := clusters[1].kubectl("", "get", "festival", "shared", "-n", namespace)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Another cluster's garbage collector can't find an owner that is local to one
// cluster, and would delete the object for all.
func TestOwnerInOneClusterHarmsNobody(t *testing.T) {
	clusters[2].do(t, "", "create", "configmap", "local-owner", "-n", "default")
	owner, _ := clusters[2].get(t, "configmap local-owner -n default")
	owned := strings.Replace(festival("owned", "5"), "spec:", fmt.Sprintf(`  ownerReferences:
  - {apiVersion: v1, kind: ConfigMap, name: local-owner, uid: %s}
spec:`, owner.UID), 1)
	_, err := clusters[2].kubectl(owned, "create", "-f", "-")
	if err == nil {
		t.Fatal("an owner that only one cluster has was accepted")
	}
	if !strings.Contains(err.Error(), "is invalid") || !strings.Contains(err.Error(), "ownerReferences") {
		t.Errorf("the refusal doesn't say what is wrong: %v", err)
	}

	// An owner that all clusters have works: its dependents go with it.
	clusters[0].do(t, festival("parent", "6"), "create", "-f", "-")
	parent, _ := clusters[0].get(t, "festival parent -n default")
	child := strings.Replace(festival("child", "7"), "spec:", fmt.Sprintf(`  ownerReferences:
  - {apiVersion: innsmouth.example.com/v1, kind: Festival, name: parent, uid: %s}
spec:`, parent.UID), 1)
	clusters[2].do(t, child, "create", "-f", "-")
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
}
