package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	watchtools "k8s.io/client-go/tools/watch"

	"helium.dev/tests/harness"
)

// seen is one watch event.
type seen struct {
	Type            watch.EventType
	Namespace, Name string
	UID             string
	Revision        int64 // resourceVersion
	// Lease is the spec of a Lease, and zero for all else.
	Lease leaseSpec
}

func (s seen) String() string {
	return fmt.Sprintf("%s %s/%s @%d", s.Type, s.Namespace, s.Name, s.Revision)
}

// recorder watches one resource through one cluster with client-go's
// RetryWatcher, which resumes from the last event after any interruption, and
// keeps every event in the order of arrival.
type recorder struct {
	cluster *cluster
	start   int64 // the list's resourceVersion
	stop    context.CancelFunc

	mu     sync.Mutex
	events []seen
	broken error
}

func (c *cluster) dynamicClient() (dynamic.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 1000, 1000
	return dynamic.NewForConfig(config)
}

// record lists and then watches from the list's resourceVersion on.
func (c *cluster) record(ctx context.Context, resource schema.GroupVersionResource) (*recorder, error) {
	client, err := c.dynamicClient()
	if err != nil {
		return nil, err
	}
	list, err := client.Resource(resource).List(ctx, meta.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", resource.Resource, err)
	}
	start, err := strconv.ParseInt(list.GetResourceVersion(), 10, 64)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), source{client.Resource(resource)})
	if err != nil {
		cancel()
		return nil, err
	}
	r := &recorder{cluster: c, start: start, stop: cancel}
	go func() {
		for event := range watcher.ResultChan() {
			r.add(event)
		}
	}()
	return r, nil
}

// source is the part of a resource that RetryWatcher needs.
type source struct {
	dynamic.NamespaceableResourceInterface
}

// WatchWithContext starts a watch.
func (s source) WatchWithContext(ctx context.Context, options meta.ListOptions) (watch.Interface, error) {
	return s.Watch(ctx, options)
}

func (r *recorder) add(event watch.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	object, ok := event.Object.(*unstructured.Unstructured)
	if event.Type == watch.Error || !ok {
		r.broken = fmt.Errorf("the watch in %s broke: %v", r.cluster.name, event.Object)
		return
	}
	revision, err := strconv.ParseInt(object.GetResourceVersion(), 10, 64)
	if err != nil {
		r.broken = err
		return
	}
	record := seen{Type: event.Type, Namespace: object.GetNamespace(), Name: object.GetName(), UID: string(object.GetUID()), Revision: revision}
	if object.GetKind() == "Lease" {
		if record.Lease, r.broken = parseLease(object); r.broken != nil {
			return
		}
	}
	r.events = append(r.events, record)
}

func (r *recorder) snapshot() ([]seen, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events), r.broken
}

// waitForLedger waits until exactly what was written has arrived.
func (r *recorder) waitForLedger(l *ledger, bound time.Duration) error {
	return waitForBalance("the watch in "+r.cluster.name, bound, func() error {
		events, err := r.snapshot()
		if err != nil {
			return err
		}
		saw := map[string]int{}
		for _, event := range events {
			saw[entry(event.Type, event.Name, event.UID, strconv.FormatInt(event.Revision, 10))]++
		}
		return l.balance(saw)
	})
}

// waitFor waits until an event of that name and type has arrived.
func (r *recorder) waitFor(kind watch.EventType, name string, bound time.Duration) (found seen, err error) {
	err = harness.WaitFor(fmt.Sprintf("%s sees %s %s", r.cluster.name, kind, name), bound, func() error {
		events, err := r.snapshot()
		if err != nil {
			return &harness.FinalError{Err: err}
		}
		for _, event := range events {
			if event.Type == kind && event.Name == name {
				found = event
				return nil
			}
		}
		return fmt.Errorf("only %v", events[max(0, len(events)-5):])
	})
	return found, err
}

// compare checks that recorders which watched the same saw the same events
// since the last of them began, each once and in the order of their resourceVersions.
func compare(recorders []*recorder) error {
	var first []seen
	var began int64
	for _, r := range recorders {
		began = max(began, r.start)
	}
	for i, r := range recorders {
		events, err := r.snapshot()
		if err != nil {
			return err
		}
		for k := 1; k < len(events); k++ {
			if events[k].Revision <= events[k-1].Revision {
				return fmt.Errorf("%s: %v came after %v", r.cluster.name, events[k], events[k-1])
			}
		}
		events = slices.DeleteFunc(events, func(e seen) bool { return e.Revision <= began })
		if i == 0 {
			first = events
		} else if !slices.Equal(first, events) {
			return fmt.Errorf("%s saw %d events, %s saw %d: %s", recorders[0].cluster.name, len(first), r.cluster.name, len(events), difference(first, events))
		}
	}
	return nil
}

func difference(a, b []seen) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("event %d is %v or %v", i, a[i], b[i])
		}
	}
	return fmt.Sprintf("one ends after %d", min(len(a), len(b)))
}
