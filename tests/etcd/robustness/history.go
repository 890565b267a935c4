package main

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/tests/v3/robustness/model"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// readHistory reads everything that was ever written, revisions 2 to last, as
// the requests that the suite's model replays: one transaction a revision.
//
// It is checked against itself before it is trusted: no revision may be
// missing, and what it adds up to must equal a read of all keys at last.
// Leases are left out (a key that a lease took away is a plain delete here):
// the suite counts writes without them.
func readHistory(ctx context.Context, endpoint string, last int64) ([]model.EtcdRequest, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	defer c.Close()

	var requests []model.EtcdRequest
	state := map[string]*clientv3.Event{}
	revision := int64(1)
	for response := range c.Watch(ctx, "", clientv3.WithFromKey(), clientv3.WithRev(2)) {
		if err := response.Err(); err != nil {
			return nil, err
		}
		for _, event := range response.Events {
			switch event.Kv.ModRevision {
			case revision:
			case revision + 1:
				revision++
				requests = append(requests, model.EtcdRequest{Type: model.Txn, Txn: &model.TxnRequest{}})
			default:
				return nil, fmt.Errorf("event of revision %d follows revision %d", event.Kv.ModRevision, revision)
			}
			txn := requests[len(requests)-1].Txn
			txn.OperationsOnSuccess = append(txn.OperationsOnSuccess, operation(event))
			state[string(event.Kv.Key)] = event
		}
		if revision >= last {
			break
		}
	}
	if revision != last {
		return nil, fmt.Errorf("the history ends at revision %d, expected %d: %w", revision, last, ctx.Err())
	}
	return requests, compareWithRead(ctx, c, state, last)
}

func operation(event *clientv3.Event) model.EtcdOperation {
	key := string(event.Kv.Key)
	if event.Type == clientv3.EventTypeDelete {
		return model.EtcdOperation{Type: model.DeleteOperation, Delete: model.DeleteOptions{Key: key}}
	}
	return model.EtcdOperation{Type: model.PutOperation, Put: model.PutOptions{
		Key: key, Value: model.ToValueOrHash(string(event.Kv.Value)),
	}}
}

func compareWithRead(ctx context.Context, c *clientv3.Client, state map[string]*clientv3.Event, revision int64) error {
	all, err := c.Get(ctx, "", clientv3.WithFromKey(), clientv3.WithRev(revision))
	if err != nil {
		return err
	}
	read := map[string]bool{}
	for _, kv := range all.Kvs {
		key := string(kv.Key)
		read[key] = true
		event := state[key]
		if event == nil || event.Type == clientv3.EventTypeDelete || event.Kv.ModRevision != kv.ModRevision ||
			string(event.Kv.Value) != string(kv.Value) {
			return fmt.Errorf("key %q at revision %d: a read returns %v, the watch ends with %v", key, revision, kv, event)
		}
	}
	for key, event := range state {
		if event.Type == clientv3.EventTypePut && !read[key] {
			return fmt.Errorf("key %q at revision %d: the watch says it exists, a read doesn't find it", key, revision)
		}
	}
	return nil
}
