package e2e

import (
	"fmt"
	"strings"
	"testing"

	"helium.dev/tests/harness"
)

// What can't be followed is said, with what to do, in a condition and an Event;
// nobody leads without a payload and without saying so.
func TestFailoverBadInput(t *testing.T) {
	failoverOnly(t)
	c := clusters[0]
	c.do(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: somebody-elses, namespace: default}\n", "apply", "-f", "-")
	t.Cleanup(func() { c.do(t, "", "delete", "configmap", "somebody-elses", "-n", "default", "--ignore-not-found") })
	good := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fine}\n"
	for _, test := range []struct {
		name      string
		spec      multi
		condition string // which one says so
		words     []string
	}{
		{"text that isn't YAML", multi{Payload: "kind: [\n"}, "Accepted", []string{"document 1"}},
		{"an object without a kind", multi{Payload: good + "---\nmetadata: {name: x}\n"}, "Accepted", []string{"document 2"}},
		{"nothing at all", multi{Payload: "# only a remark\n"}, "Accepted", []string{"object"}},
		{"a kind that the cluster doesn't know", multi{Payload: good + "---\napiVersion: nowhere.example.com/v1\nkind: Unheard\nmetadata: {name: x}\n"}, "PayloadApplied", []string{"Unheard", "nowhere.example.com"}},
		{"an object that the cluster refuses", multi{Payload: good + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: 1}\n"}, "PayloadApplied", []string{"Deployment", "selector"}},
		{"an object of somebody else's", multi{Payload: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: somebody-elses}\ndata: {taken: \"yes\"}\n"}, "PayloadApplied", []string{"somebody-elses"}},
		{"a namespace that isn't there", multi{Payload: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: not-there}\n"}, "PayloadApplied", []string{"not-there"}},
		{"a callsign that isn't a name", multi{Callsign: "Not a name!", Payload: good}, "Accepted", []string{"Not a name!"}},
		{"a rank out of range", multi{Rank: 3_000_000_000, Payload: good}, "Accepted", []string{"3000000000"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := "bad-" + strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(test.name, " ", "-"), "'", ""))
			spec := test.spec
			spec.Ready = true
			if spec.Callsign == "" {
				spec.Callsign = name
			}
			if spec.Rank == 0 {
				spec.Rank = 5
			}
			text := strings.Replace(spec.yaml(), "metadata: {name: "+spec.Callsign+",", "metadata: {name: "+name+",", 1)
			text = strings.Replace(text, "callsign: "+spec.Callsign, fmt.Sprintf("callsign: %q", spec.Callsign), 1)
			c.do(t, text, "apply", "-f", "-")
			t.Cleanup(func() {
				c.do(t, "", "delete", "multicluster", name, "-n", "default", "--timeout=60s")
				c.do(t, "", "delete", "failovergroup", name, "-n", "default", "--ignore-not-found", "--timeout=60s")
				// What could be applied of it may have been there; it goes with its member.
				if out := c.do(t, "", "get", "configmap", "fine", "-n", "default", "-o", "name", "--ignore-not-found"); out != "" {
					t.Errorf("%s is left", out)
				}
			})
			err := harness.WaitFor("the condition "+test.condition+" says what is wrong", startBound, func() error {
				status, err := c.statusOf(name)
				if err != nil {
					return err
				}
				if status.Leading {
					return &harness.FinalError{Err: fmt.Errorf("it says that it leads: %+v", status)}
				}
				said := status.condition(test.condition)
				for _, word := range append(test.words, "False ") {
					if !strings.Contains(said, word) {
						return fmt.Errorf("it lacks %q: %q; the status is %+v", word, said, status)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			err = harness.WaitFor("a Warning says so, too", startBound, func() error {
				events, err := kubectl(c.direct, "", "get", "events", "-n", "default", "-o", "jsonpath={range .items[*]}{.involvedObject.kind} {.involvedObject.name} {.type} {.message}{\"\\n\"}{end}")
				if err != nil {
					return err
				}
				for line := range strings.Lines(events) {
					if !strings.HasPrefix(line, "MultiCluster "+name+" Warning ") {
						continue
					}
					found := true
					for _, word := range test.words {
						found = found && strings.Contains(line, word)
					}
					if found {
						return nil
					}
				}
				return fmt.Errorf("there are these events:\n%s", events)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	// Who owns what was there before, still does.
	if out := c.do(t, "", "get", "configmap", "somebody-elses", "-n", "default", "-o", "jsonpath={.data}{.metadata.labels}"); strings.TrimSpace(out) != "" {
		t.Errorf("a foreign object was changed: %s", out)
	}
}

// Another callsign is another group, and takes nothing from the first.
func TestFailoverWithAnotherCallsign(t *testing.T) {
	failoverOnly(t)
	dismiss(t, "right", "right")
	dismiss(t, "wrong", "wrong")
	payload := func(name string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n", name)
	}
	for _, callsign := range []string{"right", "wrong"} {
		clusters[0].do(t, settings(callsign, "Fast", termSeconds, stopSeconds), "create", "-f", "-")
	}
	right := multi{Callsign: "right", Rank: 5, Ready: true, Payload: payload("right")}
	clusters[0].do(t, right.yaml(), "apply", "-f", "-")
	if err := leads("right", clusters[0].name, startBound); err != nil {
		t.Fatal(err)
	}
	wrong := multi{Callsign: "wrong", Rank: 10, Ready: true, Payload: payload("wrong")}
	clusters[1].do(t, wrong.yaml(), "apply", "-f", "-")
	if err := leads("wrong", clusters[1].name, startBound); err != nil {
		t.Error(err)
	}
	if err := leads("right", clusters[0].name, startBound); err != nil {
		t.Error(err)
	}
	// Put right, it is a member like any, and of the higher rank.
	clusters[1].do(t, strings.Replace(strings.Replace(wrong.yaml(), "callsign: wrong", "callsign: right", 1), "metadata: {name: wrong", "metadata: {name: right", 1), "apply", "-f", "-")
	clusters[1].do(t, "", "delete", "multicluster", "wrong", "-n", "default", "--timeout=60s")
	if err := leads("right", clusters[1].name, startBound); err != nil {
		t.Error(err)
	}
}
