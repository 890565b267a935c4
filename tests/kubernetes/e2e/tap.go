package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/history"
)

// The prefixes under which helium-apiservers keep what is judged.
const (
	termKeys     = "/helium/helium.dev/terms/default/"
	festivalKeys = "/helium/innsmouth.example.com/festivals/default/"
)

// tap reads the store itself, below all API servers: every term of each lease,
// and every write of a leader to a Festival, in the order of the store. The
// lease and the object that it protects have one name.
type tap struct {
	client *clientv3.Client
	stop   context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	terms  map[string][]history.Term
	writes map[string][]history.Write
	last   map[string]int64 // the newest revision of each key
	broken error
}

// startTap watches from now on, through whichever of the stores answers.
func startTap(stores []string) (*tap, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: stores, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &tap{
		client: client, stop: cancel, done: make(chan struct{}),
		terms: map[string][]history.Term{}, writes: map[string][]history.Write{}, last: map[string]int64{},
	}
	bounded, release := context.WithTimeout(ctx, 30*time.Second)
	defer release()
	now, err := client.Get(bounded, "/helium/health")
	if err != nil {
		cancel()
		client.Close()
		return nil, fmt.Errorf("reading the store: %w", err)
	}
	events := client.Watch(ctx, "/helium/", clientv3.WithPrefix(), clientv3.WithRev(now.Header.Revision+1))
	go func() {
		defer close(t.done)
		for answer := range events {
			t.take(answer)
		}
	}()
	return t, nil
}

func (t *tap) close() {
	t.stop()
	<-t.done
	t.client.Close()
}

func (t *tap) take(answer clientv3.WatchResponse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := answer.Err(); err != nil && t.broken == nil {
		t.broken = fmt.Errorf("the store's history has a gap: %w", err)
	}
	for _, event := range answer.Events {
		key := string(event.Kv.Key)
		t.last[key] = event.Kv.ModRevision
		if event.Type != clientv3.EventTypePut {
			continue
		}
		var err error
		if lease, ok := strings.CutPrefix(key, termKeys); ok {
			err = t.term(lease, event.Kv.ModRevision, event.Kv.Value)
		} else if lease, ok := strings.CutPrefix(key, festivalKeys); ok {
			err = t.write(lease, event.Kv.ModRevision, event.Kv.Value)
		}
		if err != nil && t.broken == nil {
			t.broken = fmt.Errorf("%s @%d: %w", key, event.Kv.ModRevision, err)
		}
	}
}

func (t *tap) term(lease string, revision int64, value []byte) error {
	term := history.Term{Token: revision}
	if err := json.Unmarshal(value, &term); err != nil {
		return err
	}
	term.Token = revision
	t.terms[lease] = append(t.terms[lease], term)
	return nil
}

func (t *tap) write(lease string, revision int64, value []byte) error {
	var object struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(value, &object); err != nil {
		return err
	}
	annotations := object.Metadata.Annotations
	if annotations["example.com/at"] == "" {
		return nil // as it was created
	}
	token, err1 := strconv.ParseInt(annotations["example.com/token"], 10, 64)
	at, err2 := strconv.ParseInt(annotations["example.com/at"], 10, 64)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("a leader's write without token or time: %v", annotations)
	}
	before := t.writes[lease]
	if n := len(before); n > 0 && before[n-1].At == at && before[n-1].Holder == annotations["example.com/holder"] {
		return nil // somebody else changed something else
	}
	t.writes[lease] = append(before, history.Write{Revision: revision, Token: token, Holder: annotations["example.com/holder"], At: at})
	return nil
}

// leader is the holder of a lease's newest term.
func (t *tap) leader(lease string) (history.Term, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.terms[lease]
	if len(all) == 0 {
		return history.Term{}, false
	}
	return all[len(all)-1], true
}

// changes is how many terms a lease has had.
func (t *tap) changes(lease string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.terms[lease])
}

// lastWrite is the newest write of any leader of a lease.
func (t *tap) lastWrite(lease string) history.Write {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.writes[lease]
	if len(all) == 0 {
		return history.Write{}
	}
	return all[len(all)-1]
}

// complete waits until everything that the store has by now was seen.
func (t *tap) complete(bound time.Duration) error {
	return harness.WaitFor("everything that was written is seen", bound, func() error {
		t.mu.Lock()
		broken := t.broken
		t.mu.Unlock()
		if broken != nil {
			return &harness.FinalError{Err: broken}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, prefix := range []string{termKeys, festivalKeys} {
			now, err := t.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
			if err != nil {
				return err
			}
			t.mu.Lock()
			for _, kv := range now.Kvs {
				if seen, ok := t.last[string(kv.Key)]; ok && seen < kv.ModRevision {
					err = fmt.Errorf("%s is @%d, and was seen @%d", kv.Key, kv.ModRevision, seen)
				}
			}
			t.mu.Unlock()
			if err != nil {
				return err
			}
		}
		return nil
	})
}
