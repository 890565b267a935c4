package smoke

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func newClient(t *testing.T, on target) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{on.endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func session(t *testing.T, c *clientv3.Client, ttl int) *concurrency.Session {
	t.Helper()
	s, err := concurrency.NewSession(c, concurrency.WithTTL(ttl))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func onBoth(t *testing.T, test func(*testing.T, target)) {
	for _, on := range []target{oracle, subject} {
		t.Run(on.name, func(t *testing.T) { test(t, on) })
	}
}

func TestMutexExcludes(t *testing.T) {
	onBoth(t, func(t *testing.T, on target) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		const clients, rounds = 8, 5
		var inside, entered atomic.Int32
		var wg sync.WaitGroup
		for range clients {
			s := session(t, newClient(t, on), 30)
			wg.Go(func() {
				defer s.Close()
				mutex := concurrency.NewMutex(s, "/mutex-test")
				for range rounds {
					if err := mutex.Lock(ctx); err != nil {
						t.Errorf("lock: %v", err)
						return
					}
					if inside.Add(1) != 1 {
						t.Error("two hold the lock")
					}
					entered.Add(1)
					inside.Add(-1)
					if err := mutex.Unlock(ctx); err != nil {
						t.Errorf("unlock: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
		if entered.Load() != clients*rounds {
			t.Errorf("entered %d times, expected %d", entered.Load(), clients*rounds)
		}
	})
}

func TestMutexPassesOnWhenTheHoldersSessionExpires(t *testing.T) {
	onBoth(t, func(t *testing.T, on target) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		holder := newClient(t, on)
		held := session(t, holder, 2)
		if err := concurrency.NewMutex(held, "/mutex-expiry").Lock(ctx); err != nil {
			t.Fatal(err)
		}
		locked := time.Now()
		held.Orphan() // no more keep-alives
		waiter := session(t, newClient(t, on), 30)
		defer waiter.Close()
		if err := concurrency.NewMutex(waiter, "/mutex-expiry").Lock(ctx); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(locked); waited < 1500*time.Millisecond || waited > 20*time.Second {
			t.Errorf("a lock of 2 s was taken over after %v", waited)
		}
	})
}

func TestElectionHasOneLeaderAtATime(t *testing.T) {
	onBoth(t, func(t *testing.T, on target) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		const candidates = 5
		var leading, led atomic.Int32
		var wg sync.WaitGroup
		for i := range candidates {
			s := session(t, newClient(t, on), 30)
			wg.Go(func() {
				defer s.Close()
				election := concurrency.NewElection(s, "/election-test")
				name := fmt.Sprint("candidate-", i)
				if err := election.Campaign(ctx, name); err != nil {
					t.Errorf("campaign: %v", err)
					return
				}
				if leading.Add(1) != 1 {
					t.Error("two leaders")
				}
				leader, err := election.Leader(ctx)
				if err != nil || string(leader.Kvs[0].Value) != name {
					t.Errorf("the leader %s sees %v, %v", name, leader, err)
				}
				led.Add(1)
				leading.Add(-1)
				if err := election.Resign(ctx); err != nil {
					t.Errorf("resign: %v", err)
				}
			})
		}
		wg.Wait()
		if led.Load() != candidates {
			t.Errorf("%d of %d led", led.Load(), candidates)
		}
	})
}

// Money is moved between accounts by many clients at once: the sum stays, in
// every isolation that promises it.
func TestTransactionalMemoryKeepsTheSum(t *testing.T) {
	onBoth(t, func(t *testing.T, on target) {
		for _, isolation := range []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable, concurrency.RepeatableReads} {
			c := newClient(t, on)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			prefix := fmt.Sprintf("/stm/%d/", isolation)
			const accounts, start = 4, 100
			for i := range accounts {
				if _, err := c.Put(ctx, prefix+strconv.Itoa(i), strconv.Itoa(start)); err != nil {
					t.Fatal(err)
				}
			}
			var wg sync.WaitGroup
			for worker := range 6 {
				wg.Go(func() {
					for i := range 10 {
						from, to := prefix+strconv.Itoa((worker+i)%accounts), prefix+strconv.Itoa((worker+2*i+1)%accounts)
						if from == to {
							continue
						}
						_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
							a, _ := strconv.Atoi(s.Get(from))
							b, _ := strconv.Atoi(s.Get(to))
							s.Put(from, strconv.Itoa(a-1))
							s.Put(to, strconv.Itoa(b+1))
							return nil
						}, concurrency.WithIsolation(isolation), concurrency.WithAbortContext(ctx))
						if err != nil {
							t.Errorf("stm: %v", err)
							return
						}
					}
				})
			}
			wg.Wait()
			sum := 0
			all, err := c.Get(ctx, prefix, clientv3.WithPrefix())
			if err != nil {
				t.Fatal(err)
			}
			for _, kv := range all.Kvs {
				amount, _ := strconv.Atoi(string(kv.Value))
				sum += amount
			}
			if sum != accounts*start {
				t.Errorf("isolation %d: the accounts add up to %d, expected %d", isolation, sum, accounts*start)
			}
			cancel()
		}
	})
}
