package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"helium.dev/tests/harness"
)

// mirror is client-go's informer, as every controller has one, with what it
// told its handler. Other than a RetryWatcher it reads everything again when
// its watch breaks, and works out the difference.
type mirror struct {
	cluster *cluster

	mu   sync.Mutex
	saw  map[string]int
	full int // how often it began to read everything
}

// mirror starts an informer for a resource through the cluster; it ends with the test.
func (c *cluster) mirror(t *testing.T, resource schema.GroupVersionResource) *mirror {
	t.Helper()
	client, err := c.dynamicClient()
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{cluster: c, saw: map[string]int{}}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options meta.ListOptions) (runtime.Object, error) {
			if options.Continue == "" {
				m.readAll()
			}
			return client.Resource(resource).List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options meta.ListOptions) (watch.Interface, error) {
			if options.SendInitialEvents != nil && *options.SendInitialEvents {
				m.readAll()
			}
			return client.Resource(resource).Watch(ctx, options)
		},
	}
	informer := cache.NewSharedInformer(source, &unstructured.Unstructured{}, 0)
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			if !initial {
				m.add(watch.Added, o)
			}
		},
		UpdateFunc: func(old, o any) {
			if before, ok := old.(*unstructured.Unstructured); !ok || before.GetResourceVersion() != o.(*unstructured.Unstructured).GetResourceVersion() {
				m.add(watch.Modified, o) // not merely the same, read again
			}
		},
		DeleteFunc: func(o any) { m.add(watch.Deleted, o) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		informer.RunWithContext(ctx)
	}()
	t.Cleanup(func() { cancel(); <-stopped })
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatalf("%s: the informer did not start", c.name)
	}
	return m
}

func (m *mirror) readAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full++
}

func (m *mirror) add(kind watch.EventType, o any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = tombstone.Obj // it went while everything was read again
	}
	object, ok := o.(*unstructured.Unstructured)
	if !ok {
		m.saw[fmt.Sprintf("%T", o)]++
		return
	}
	m.saw[entry(kind, object.GetName(), string(object.GetUID()), object.GetResourceVersion())]++
}

// waitForLedger waits until the handler was told what was written and is still
// there, each once and nothing else.
func (m *mirror) waitForLedger(l *ledger, bound time.Duration) error {
	return waitForBalance(m.cluster.name+"'s informer", bound, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		return l.balanceOfSurvivors(m.saw)
	})
}

// reads is how often it began to read everything.
func (m *mirror) reads() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.full
}

// waitForBalance waits until somebody has seen what was written. What is
// missing may still come; what is too much is a failure at once.
func waitForBalance(who string, bound time.Duration, look func() error) error {
	return harness.WaitFor(who+" sees what was written", bound, func() error {
		err := look()
		if lacks := (*missing)(nil); err != nil && !errors.As(err, &lacks) {
			return &harness.FinalError{Err: err}
		}
		return err
	})
}
