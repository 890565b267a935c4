// Package compat runs older releases of etcd's Go client against kine-shim.
//
// One source, several versions: go.mod pins 3.6, v3.5.mod pins 3.5.
//
//	go test . && go test -modfile=v3.5.mod .
package compat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"helium.dev/tests/harness"
)

// endpoint is a kine-shim that the test starts, unless COMPAT_ENDPOINT names a server.
var endpoint = os.Getenv("COMPAT_ENDPOINT")

// prefix is of this run alone.
var prefix = fmt.Sprintf("compat/%d/", time.Now().UnixNano())

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintf(os.Stderr, "compat: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	if endpoint != "" {
		return m.Run(), nil
	}
	env, err := harness.NewEnv("compat")
	if err != nil {
		return 1, err
	}
	defer func() {
		if closeErr := env.Close(code != 0 || err != nil); err == nil {
			err = closeErr
		}
	}()
	shim, err := env.StartShim("shim", "debug", "sqlite://"+filepath.Join(env.Dir, "shim.db"))
	if err != nil {
		return 1, err
	}
	endpoint = shim.Endpoint
	return m.Run(), nil
}

func connect(t *testing.T) (context.Context, *clientv3.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return ctx, c
}

func TestWritesReadsAndErrors(t *testing.T) {
	ctx, c := connect(t)
	first, err := c.Put(ctx, prefix+"a", "1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(prefix+"a"), "=", first.Header.Revision)).
		Then(clientv3.OpPut(prefix+"a", "2"), clientv3.OpPut(prefix+"b", "1")).Commit()
	if err != nil || !second.Succeeded || second.Header.Revision != first.Header.Revision+1 {
		t.Fatalf("%+v, %v", second, err)
	}
	old, err := c.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(first.Header.Revision))
	if err != nil || len(old.Kvs) != 1 || string(old.Kvs[0].Value) != "1" {
		t.Fatalf("%+v, %v", old, err)
	}
	if _, err := c.Get(ctx, prefix+"a", clientv3.WithRev(1<<40)); !errors.Is(err, rpctypes.ErrFutureRev) {
		t.Errorf("a revision of the future: %v", err)
	}
	if _, err := c.Compact(ctx, first.Header.Revision); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compact(ctx, first.Header.Revision); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("the same compaction again: %v", err)
	}
	deleted, err := c.Delete(ctx, prefix, clientv3.WithPrefix(), clientv3.WithPrevKV())
	if err != nil || deleted.Deleted != 2 || len(deleted.PrevKvs) != 2 {
		t.Errorf("%+v, %v", deleted, err)
	}
}

func TestWatchResumesOverHistory(t *testing.T) {
	ctx, c := connect(t)
	put, err := c.Put(ctx, prefix+"w/0", "0")
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 50; i++ {
		if _, err := c.Put(ctx, fmt.Sprint(prefix, "w/", i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	want := put.Header.Revision
	for response := range c.Watch(ctx, prefix+"w/", clientv3.WithPrefix(), clientv3.WithRev(want), clientv3.WithPrevKV(), clientv3.WithProgressNotify()) {
		if err := response.Err(); err != nil {
			t.Fatal(err)
		}
		for _, event := range response.Events {
			if event.Kv.ModRevision != want || !event.IsCreate() {
				t.Fatalf("expected the creation of revision %d, got %+v", want, event)
			}
			want++
		}
		if want == put.Header.Revision+50 {
			return
		}
	}
	t.Fatal("the watch ended early")
}

func TestLeasesAndLocks(t *testing.T) {
	ctx, c := connect(t)
	session, err := concurrency.NewSession(c, concurrency.WithTTL(5))
	if err != nil {
		t.Fatal(err)
	}
	mutex := concurrency.NewMutex(session, prefix+"lock")
	if err := mutex.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	left, err := c.TimeToLive(ctx, session.Lease(), clientv3.WithAttachedKeys())
	if err != nil || left.TTL < 1 || len(left.Keys) != 1 {
		t.Errorf("%+v, %v", left, err)
	}
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, mutex.Key()); err != nil || len(got.Kvs) != 0 {
		t.Errorf("the lock's key outlived its lease: %+v, %v", got, err)
	}
}

func TestClusterAndMaintenance(t *testing.T) {
	ctx, c := connect(t)
	if err := c.Sync(ctx); err != nil { // replaces the endpoints by the members' own
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, "after-sync"); err != nil {
		t.Fatal(err)
	}
	status, err := c.Status(ctx, endpoint)
	if err != nil || status.Leader == 0 || status.Version == "" {
		t.Errorf("%+v, %v", status, err)
	}
	if hash, err := c.HashKV(ctx, endpoint, 0); err != nil || hash.Hash == 0 {
		t.Errorf("%+v, %v", hash, err)
	}
}
