package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/watch"
)

// ledger is what the test itself wrote and was told that it succeeded: what
// watches must show, each write once and nothing else.
type ledger struct {
	mu     sync.Mutex
	writes map[string]int
	gone   map[string]bool // uids of what was deleted again
}

// entry is how an event is written down. The resourceVersion of a deletion is
// not known to whom asked for it.
func entry(kind watch.EventType, name, uid, resourceVersion string) string {
	if kind == watch.Deleted {
		resourceVersion = "?"
	}
	return fmt.Sprintf("%s %s (uid %s) @%s", kind, name, uid, resourceVersion)
}

// add writes an event down.
func (l *ledger) add(entry string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writes == nil {
		l.writes = map[string]int{}
	}
	l.writes[entry]++
}

// object is the part of an object that the ledger is about.
type object struct {
	Metadata struct {
		identity
		Name string `json:"name"`
	} `json:"metadata"`
}

// create creates an object through a cluster.
func (l *ledger) create(t *testing.T, c *cluster, manifest string) {
	t.Helper()
	var created object
	text := c.do(t, manifest, "create", "-o", "json", "-f", "-")
	if err := json.Unmarshal([]byte(text), &created); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	l.add(entry(watch.Added, created.Metadata.Name, created.Metadata.UID, created.Metadata.ResourceVersion))
}

// delete deletes a Festival of the namespace default through a cluster.
func (l *ledger) delete(t *testing.T, c *cluster, name string) {
	t.Helper()
	before, _ := c.get(t, "festival "+name+" -n default")
	c.do(t, "", "delete", "festival", name, "-n", "default", "--wait=false")
	l.add(entry(watch.Deleted, name, before.UID, ""))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone == nil {
		l.gone = map[string]bool{}
	}
	l.gone[before.UID] = true
}

// missing is a difference that time may cure.
type missing struct{ entries []string }

func (m *missing) Error() string {
	return fmt.Sprintf("%d are missing: %s", len(m.entries), strings.Join(m.entries, ", "))
}

// balance compares the ledger with what somebody saw who must see everything.
func (l *ledger) balance(saw map[string]int) error {
	return l.compare(saw, func(string) bool { return true })
}

// balanceOfSurvivors is balance for somebody who may have read the present
// state instead of what led there: what is gone by now may be missing.
func (l *ledger) balanceOfSurvivors(saw map[string]int) error {
	return l.compare(saw, func(entry string) bool {
		for uid := range l.gone {
			if strings.Contains(entry, uid) {
				return false
			}
		}
		return true
	})
}

func (l *ledger) compare(saw map[string]int, must func(entry string) bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var less, more []string
	for _, entry := range slices.Sorted(maps.Keys(l.writes)) {
		if saw[entry] < l.writes[entry] && must(entry) {
			less = append(less, entry)
		}
	}
	for _, entry := range slices.Sorted(maps.Keys(saw)) {
		if saw[entry] > l.writes[entry] {
			more = append(more, fmt.Sprintf("%s (%d times, written %d times)", entry, saw[entry], l.writes[entry]))
		}
	}
	switch {
	case len(more) > 0:
		return fmt.Errorf("seen too often: %s", strings.Join(more, ", "))
	case len(less) > 0:
		return &missing{less}
	}
	return nil
}
