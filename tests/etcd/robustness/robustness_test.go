package main

import (
	"syscall"
	"testing"
	"time"

	"helium.dev/tests/harness"
)

func newEnv(t *testing.T) *harness.Env {
	t.Helper()
	env, err := harness.NewEnv("robustness")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, process := range []string{"shim", "shim-a", "shim-b"} {
			for _, complaint := range env.Complaints(process) {
				t.Errorf("no test expects this in a log: %s", complaint)
			}
		}
		if err := env.Close(t.Failed()); err != nil {
			t.Error(err)
		}
	})
	return env
}

func judge(t *testing.T, name string, duration time.Duration, during func(<-chan struct{}) error, endpoints ...string) {
	t.Helper()
	passed, err := run(t.Context(), options{
		endpoints: endpoints, traffic: name, duration: duration, timeout: 2 * time.Second, minimum: 100, during: during,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !passed {
		t.Error("a verdict is not Success")
	}
}

// The judge itself: what it demands, a real etcd fulfils.
func TestEtcd(t *testing.T) {
	for name := range profiles {
		t.Run(name, func(t *testing.T) {
			etcd, err := newEnv(t).StartEtcd("etcd")
			if err != nil {
				t.Fatal(err)
			}
			judge(t, name, 5*time.Second, nil, etcd.Endpoint)
		})
	}
}

// twoShims starts two instances on a new PostgreSQL.
func twoShims(t *testing.T, args ...string) (shims []*harness.Store, endpoints []string) {
	t.Helper()
	env := newEnv(t)
	postgres, err := env.StartPostgres("postgres")
	if err != nil {
		t.Fatal(err)
	}
	url, err := postgres.CreateDatabase("robustness")
	if err != nil {
		t.Fatal(err)
	}
	for _, instance := range []string{"shim-a", "shim-b"} {
		shim, err := env.StartShim(instance, "debug", url, args...)
		if err != nil {
			t.Fatal(err)
		}
		shims, endpoints = append(shims, shim), append(endpoints, shim.Endpoint)
	}
	return shims, endpoints
}

func TestTwoShimsOnOnePostgres(t *testing.T) {
	for name := range profiles {
		t.Run(name, func(t *testing.T) {
			_, endpoints := twoShims(t)
			judge(t, name, 10*time.Second, nil, endpoints...)
		})
	}
}

// Without links between them, each learns of the other's writes from the
// database alone, and late: what a read may not miss, it must ask for.
func TestTwoShimsWithoutLinks(t *testing.T) {
	_, endpoints := twoShims(t, "--no-peers")
	judge(t, "kubernetes", 5*time.Second, nil, endpoints...)
}

// Now one, now the other is killed and started again, as a crash would do it.
func TestShimsKilledInTurn(t *testing.T) {
	inTurn(t, func(victim *harness.Store) error {
		victim.Kill()
		return victim.Restart()
	})
}

// Now one, now the other is stopped, and wakes a second later with an old view
// of the world and requests that were sent before and meanwhile.
func TestShimsPausedInTurn(t *testing.T) {
	inTurn(t, func(victim *harness.Store) error {
		if err := victim.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		time.Sleep(time.Second)
		return victim.Signal(syscall.SIGCONT)
	})
}

// inTurn does something to one shim after the other while the traffic runs.
func inTurn(t *testing.T, fault func(victim *harness.Store) error) {
	for name := range profiles {
		t.Run(name, func(t *testing.T) {
			shims, endpoints := twoShims(t)
			faults := 0
			judge(t, name, 10*time.Second, func(finish <-chan struct{}) error {
				for {
					select {
					case <-finish:
						return nil
					case <-time.After(time.Second):
					}
					if err := fault(shims[faults%len(shims)]); err != nil {
						return err
					}
					faults++
				}
			}, endpoints...)
			if faults < 4 {
				t.Errorf("only %d faults happened", faults)
			}
		})
	}
}

func TestShimOnSQLite(t *testing.T) {
	for name := range profiles {
		t.Run(name, func(t *testing.T) {
			env := newEnv(t)
			shim, err := env.StartShim("shim", "debug", "sqlite://"+env.Dir+"/shim.db")
			if err != nil {
				t.Fatal(err)
			}
			judge(t, name, 5*time.Second, nil, shim.Endpoint)
		})
	}
}
