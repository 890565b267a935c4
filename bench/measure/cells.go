package measure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// CellNames are the workloads, in the order in which they are best run.
var CellNames = []string{"create", "update", "put", "get", "page", "watch", "watch-other"}

// pageSize is the limit that kubectl and client-go ask for.
const pageSize = 500

// load is one run of one cell on one system.
type load struct {
	options     Options
	system      *System
	connections []*clientv3.Client
	clients     int
	prefix      string // of the keys that this run alone writes
	next        atomic.Int64
}

// request sends one request and waits for its answer.
type request func(ctx context.Context, c *clientv3.Client) error

type cell struct {
	name    string
	prepare func(ctx context.Context, l *load) error
	// client makes the requests of one client.
	client func(l *load, i int) request
	watch  bool // latency of watch events is measured instead of requests
	other  bool // they are watched through another instance
}

var cells = map[string]cell{
	"create":      {name: "create", prepare: nothing, client: create},
	"update":      {name: "update", prepare: nothing, client: update},
	"put":         {name: "put", prepare: nothing, client: put},
	"get":         {name: "get", prepare: store, client: get},
	"page":        {name: "page", prepare: store, client: page},
	"watch":       {name: "watch", prepare: nothing, watch: true},
	"watch-other": {name: "watch-other", prepare: nothing, watch: true, other: true},
}

func nothing(context.Context, *load) error { return nil }

// value makes a value whose bytes don't compress.
func (l *load) value() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	text := make([]byte, l.options.Value)
	for i := range text {
		text[i] = letters[rand.IntN(len(letters))]
	}
	return string(text)
}

// create writes new keys the way that Kubernetes does: only if absent.
func create(l *load, _ int) request {
	value := l.value()
	return func(ctx context.Context, c *clientv3.Client) error {
		_, err := createKey(ctx, c, fmt.Sprintf("%s%09d", l.prefix, l.next.Add(1)), value)
		return err
	}
}

func createKey(ctx context.Context, c *clientv3.Client, key, value string) (revision int64, err error) {
	response, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).Then(clientv3.OpPut(key, value)).Commit()
	if err != nil {
		return 0, err
	}
	if !response.Succeeded {
		return 0, fmt.Errorf("%s exists already", key)
	}
	return response.Header.Revision, nil
}

// update rewrites a key of its own if it is unchanged, as Kubernetes does.
func update(l *load, i int) request {
	key, value := fmt.Sprintf("%s%09d", l.prefix, i), l.value()
	var revision int64
	return func(ctx context.Context, c *clientv3.Client) (err error) {
		if revision == 0 {
			revision, err = createKey(ctx, c, key, value)
			return err
		}
		response, err := c.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
			Then(clientv3.OpPut(key, value)).
			Else(clientv3.OpGet(key)).Commit()
		if err != nil {
			return err
		}
		if !response.Succeeded {
			return fmt.Errorf("%s was changed by somebody else", key)
		}
		revision = response.Header.Revision
		return nil
	}
}

// put overwrites keys of its own without a condition.
func put(l *load, i int) request {
	value, n := l.value(), 0
	return func(ctx context.Context, c *clientv3.Client) error {
		n++
		_, err := c.Put(ctx, fmt.Sprintf("%s%06d/%03d", l.prefix, i, n%100), value)
		return err
	}
}

// stored is where the keys that get and page read are kept.
const stored = "/bench/stored/"

// store makes sure that exactly the wanted number of keys is stored.
func store(ctx context.Context, l *load) error {
	c := l.connections[0]
	count, err := c.Get(ctx, stored, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	if count.Count == int64(l.options.Keys) {
		return nil
	}
	if count.Count != 0 {
		return fmt.Errorf("%d keys below %s, expected none or %d", count.Count, stored, l.options.Keys)
	}
	keys := make(chan int)
	failed := make(chan error, 32)
	var workers sync.WaitGroup
	for range cap(failed) {
		workers.Go(func() {
			for i := range keys {
				if _, err := createKey(ctx, c, storedKey(i), l.value()); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	err = func() error {
		defer close(keys)
		for i := range l.options.Keys {
			select {
			case keys <- i:
			case err := <-failed:
				return err
			}
		}
		return nil
	}()
	workers.Wait()
	close(failed)
	return errors.Join(err, <-failed)
}

func storedKey(i int) string { return fmt.Sprintf("%s%09d", stored, i) }

// get reads single keys, linearizably.
func get(l *load, _ int) request {
	return func(ctx context.Context, c *clientv3.Client) error {
		key := storedKey(rand.IntN(l.options.Keys))
		response, err := c.Get(ctx, key)
		if err == nil && len(response.Kvs) != 1 {
			err = fmt.Errorf("%s has %d results", key, len(response.Kvs))
		}
		return err
	}
}

// page reads all stored keys page by page, as a limited list of Kubernetes
// does: the pages behind the first are read at the first one's revision.
func page(l *load, _ int) request {
	from, revision := stored, int64(0)
	return func(ctx context.Context, c *clientv3.Client) error {
		response, err := c.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(stored)),
			clientv3.WithLimit(pageSize), clientv3.WithRev(revision))
		if err != nil {
			from, revision = stored, 0
			return err
		}
		if want := min(pageSize, l.options.Keys); revision == 0 && len(response.Kvs) != want {
			return fmt.Errorf("a page of %d keys, expected %d", len(response.Kvs), want)
		}
		if !response.More || len(response.Kvs) == 0 {
			from, revision = stored, 0
			return nil
		}
		if revision == 0 {
			revision = response.Header.Revision
		}
		from = string(response.Kvs[len(response.Kvs)-1].Key) + "\x00"
		return nil
	}
}

// writesPerSecond is the pace of the writer whose events are timed.
const writesPerSecond = 200

// watchLatency measures how long after a write's acknowledgement its event
// arrives (0 if it came before). An event that never arrives is an error.
func watchLatency(ctx context.Context, l *load, other bool) (Sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	writer := l.connections[0]
	address := l.system.Addresses[0]
	if other {
		address = l.system.watchAddress()
	}
	watchers, closeWatchers, err := connect([]string{address}, 1)
	if err != nil {
		return Sample{}, err
	}
	defer closeWatchers()

	events := watchers[0].Watch(ctx, l.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if created := <-events; created.Err() != nil || !created.Created {
		return Sample{}, fmt.Errorf("the watch did not start: %w", created.Err())
	}
	var mu sync.Mutex
	arrived := map[string]time.Time{}
	go func() {
		for response := range events {
			now := time.Now()
			mu.Lock()
			for _, event := range response.Events {
				arrived[string(event.Kv.Key)] = now
			}
			mu.Unlock()
		}
	}()

	var sample Sample
	type write struct{ sent, acknowledged time.Time }
	writes := map[string]write{}
	value := l.value()
	ticker := time.NewTicker(time.Second / writesPerSecond)
	defer ticker.Stop()
	began := time.Now()
	for i := 0; time.Since(began) < l.options.Duration; i++ {
		<-ticker.C
		key := fmt.Sprintf("%s%09d", l.prefix, i)
		sent := time.Now()
		if _, err := createKey(ctx, writer, key, value); err != nil {
			sample.Errors++
			sample.Error = err.Error()
			continue
		}
		writes[key] = write{sent, time.Now()}
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(arrived) }
	for waited := time.Now(); count() < len(writes) && time.Since(waited) < 10*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}

	mu.Lock()
	defer mu.Unlock()
	var behind, commits, sent []time.Duration
	for key, w := range writes {
		commits = append(commits, w.acknowledged.Sub(w.sent))
		if event, ok := arrived[key]; ok {
			behind = append(behind, max(0, event.Sub(w.acknowledged)))
			sent = append(sent, event.Sub(w.sent))
		} else {
			sample.Errors++
			sample.Error = "no event arrived for " + key
		}
	}
	sample.P50, sample.P99 = percentiles(behind)
	sample.Commit, sample.Sent = latency(commits), latency(sent)
	return sample, nil
}

func latency(all []time.Duration) *Latency {
	var l Latency
	l.P50, l.P99 = percentiles(all)
	return &l
}

// Known reports whether there is such a cell.
func Known(name string) bool { return slices.Contains(CellNames, name) }
