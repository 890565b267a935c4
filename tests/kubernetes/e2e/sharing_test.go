package e2e

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// samples are the objects of manifests/examples.
var samples = []struct {
	file, what, name string
	resource         schema.GroupVersionResource
}{
	{"festival.yaml", "festival candlemas -n default", "candlemas", festivals},
	{"deepone.yaml", "deepone dagon -n default", "dagon", festivals.GroupVersion().WithResource("deepones")},
	{"poseidon.yaml", "poseidon the-one", "the-one", schema.GroupVersionResource{Group: "olympus.example.com", Version: "v1beta1", Resource: "poseidons"}},
	{"lease.yaml", "leases.coordination.helium.dev example -n default", "example", leases},
}

func TestWrittenInOneClusterLiveInTheOthers(t *testing.T) {
	recorders := map[string][]*recorder{}
	for _, sample := range samples {
		recorders[sample.name] = recordAll(t, sample.resource)
	}
	for _, sample := range samples {
		clusters[0].do(t, "", "apply", "-f", example(sample.file))
	}
	for _, sample := range samples {
		event := waitForAll(t, recorders[sample.name], watch.Added, sample.name, 10*time.Second)
		for _, c := range clusters {
			got, _ := c.get(t, sample.what)
			if want := (identity{event.UID, fmt.Sprint(event.Revision)}); got != want {
				t.Errorf("%s: %s reads %+v, the watches saw %+v", sample.what, c.name, got, want)
			}
		}
	}
	definition, _ := clusters[0].get(t, "sharedresourcedefinition festivals.innsmouth.example.com")
	for _, c := range clusters[1:] {
		if got, _ := c.get(t, "sharedresourcedefinition festivals.innsmouth.example.com"); got.UID != definition.UID {
			t.Errorf("the definition is %+v in cluster1, %+v in %s", definition, got, c.name)
		}
	}

	// The schema's default was applied, and a status written elsewhere arrives.
	_, dagon := clusters[1].get(t, "deepone dagon -n default")
	sample, _ := dagon["spec"].(map[string]any)["sample"].(map[string]any)
	if sample["species"] != "cod" {
		t.Errorf("spec.sample.species should be the default: %v", dagon["spec"])
	}
	clusters[2].do(t, "", "patch", "festival", "candlemas", "-n", "default", "--subresource=status", "--type=merge", "-p", `{"status":{"attended":7}}`)
	waitForAll(t, recorders["candlemas"], watch.Modified, "candlemas", 10*time.Second)
	if table := clusters[0].do(t, "", "get", "festivals", "-n", "default"); !strings.Contains(table, "1928") || !strings.Contains(table, "7") {
		t.Errorf("cluster1 doesn't print year and attendance:\n%s", table)
	}

	for _, sample := range samples {
		clusters[1].do(t, "", append([]string{"delete"}, strings.Fields(sample.what)...)...)
		waitForAll(t, recorders[sample.name], watch.Deleted, sample.name, 10*time.Second)
		if err := compare(recorders[sample.name]); err != nil {
			t.Error(err)
		}
	}
}

// Of writes that exclude each other, one wins, whatever clusters they come
// through; and what one cluster was answered, the others read at once.
func TestOneOfConcurrentWritesWins(t *testing.T) {
	var through []dynamic.ResourceInterface
	for _, c := range clusters {
		client, err := c.dynamicClient()
		if err != nil {
			t.Fatal(err)
		}
		through = append(through, client.Resource(festivals).Namespace("default"))
	}
	// race sends one write through each cluster at once and returns what the
	// winner was answered; the losers must be told why.
	race := func(what string, lost func(error) bool, write func(i int, c dynamic.ResourceInterface) (*unstructured.Unstructured, error)) *unstructured.Unstructured {
		t.Helper()
		results, errs := make([]*unstructured.Unstructured, len(through)), make([]error, len(through))
		var racing sync.WaitGroup
		for i, c := range through {
			racing.Go(func() { results[i], errs[i] = write(i, c) })
		}
		racing.Wait()
		var winner *unstructured.Unstructured
		for i, err := range errs {
			switch {
			case err == nil && winner != nil:
				t.Fatalf("%s: two won: %v and %v", what, winner, results[i])
			case err == nil:
				winner = results[i]
			case !lost(err):
				t.Fatalf("%s: a loser was told: %v", what, err)
			}
		}
		if winner == nil {
			t.Fatalf("%s: nobody won: %v", what, errs)
		}
		return winner
	}
	for round := range 20 {
		name := fmt.Sprint("contested-", round)
		current := race("create", errors.IsAlreadyExists, func(i int, c dynamic.ResourceInterface) (*unstructured.Unstructured, error) {
			return c.Create(t.Context(), newFestival(name, i+1), meta.CreateOptions{})
		})
		for update := range 3 {
			for i, c := range through {
				read, err := c.Get(t.Context(), name, meta.GetOptions{})
				if err != nil || read.GetResourceVersion() != current.GetResourceVersion() {
					t.Fatalf("%s reads %v, %v after a write was answered with resourceVersion %s", clusters[i].name, read, err, current.GetResourceVersion())
				}
			}
			current = race("update", errors.IsConflict, func(i int, c dynamic.ResourceInterface) (*unstructured.Unstructured, error) {
				next := newFestival(name, 10*(update+1)+i)
				next.SetResourceVersion(current.GetResourceVersion())
				return c.Update(t.Context(), next, meta.UpdateOptions{})
			})
		}
		race("delete", errors.IsNotFound, func(_ int, c dynamic.ResourceInterface) (*unstructured.Unstructured, error) {
			return current, c.Delete(t.Context(), name, meta.DeleteOptions{})
		})
	}
}

func newFestival(name string, year int) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "innsmouth.example.com/v1", "kind": "Festival",
		"metadata": map[string]any{"name": name, "namespace": "default"},
		"spec":     map[string]any{"year": int64(year)},
	}}
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
