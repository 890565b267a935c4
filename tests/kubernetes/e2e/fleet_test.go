package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"helium.dev/tests/harness"
)

// The three clusters of all tests of this package, and the database behind
// them: starting them takes longer than the tests.
var (
	clusters []*cluster
	database *harness.Postgres
	// hostEndpoint is the store below all three kube-apiservers.
	hostEndpoint string
)

var (
	festivals = schema.GroupVersionResource{Group: "innsmouth.example.com", Version: "v1", Resource: "festivals"}
	leases    = schema.GroupVersionResource{Group: "coordination.helium.dev", Version: "v1", Resource: "leases"}
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
	code = m.Run()
	expected := []*regexp.Regexp{storeDown}
	switch {
	case failing():
		expected = failoverExpected
	case linked():
		expected = faultsExpected
	}
	defer stopFailover()
	complaints := append(env.Complaints("-helium", expected...), env.Complaints("-shim", expected[1:]...)...)
	// Agents warn of everything that tests break; they may not panic.
	complaints = append(complaints, env.Complaints("-agent", regexp.MustCompile(`^\S+ +(WARN|ERROR) `))...)
	if len(complaints) > 0 {
		return 1, fmt.Errorf("our servers logged what no test expects:\n%s", strings.Join(complaints, "\n"))
	}
	return code, nil
}

// storeDown is what an API server warns of when its store is stopped, and all
// that our servers may warn of: one cluster's death is no other's trouble.
var storeDown = regexp.MustCompile(`the shared store doesn't answer`)

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
	hostEndpoint = hostStore.Endpoint
	for i := 1; i <= 3; i++ {
		c, err := startCluster(env, fmt.Sprintf("cluster%d", i), hostStore, i == 3)
		if err != nil {
			return err
		}
		clusters = append(clusters, c)
	}
	if database, err = env.StartPostgres("postgres"); err != nil {
		return err
	}
	databaseURL, err := database.CreateDatabase("helium")
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
	if err := inParallel(clusters, func(c *cluster) error { return c.startHelium(databaseURL, store) }); err != nil {
		return err
	}
	if err := inParallel(clusters, (*cluster).waitHelium); err != nil {
		return err
	}
	progress("a helium-apiserver and its store serve each of them")
	if failing() {
		return startFailover(env, databaseURL, progress)
	}
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

// recordAll watches one resource through each cluster until the test ends.
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

// waitForAll waits until every recorder has seen an event, which must be the
// same one in all clusters.
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

// festival is the manifest of a Festival in the namespace default.
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
