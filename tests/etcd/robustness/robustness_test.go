package main

import (
	"strings"
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
		if err := env.Close(t.Failed()); err != nil {
			t.Error(err)
		}
	})
	return env
}

func judge(t *testing.T, name string, endpoints ...string) {
	t.Helper()
	passed, err := run(t.Context(), options{
		endpoints: endpoints, traffic: name, duration: 10 * time.Second, timeout: 2 * time.Second, minimum: 100,
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
			judge(t, name, etcd.Endpoint)
		})
	}
}

func TestTwoShimsOnOnePostgres(t *testing.T) {
	for name := range profiles {
		t.Run(name, func(t *testing.T) {
			env := newEnv(t)
			postgres, err := env.StartPostgres("postgres")
			if err != nil {
				t.Fatal(err)
			}
			url, err := postgres.CreateDatabase("robustness")
			if err != nil {
				t.Fatal(err)
			}
			var endpoints []string
			for _, instance := range strings.Fields("shim-a shim-b") {
				shim, err := env.StartShim(instance, "debug", url)
				if err != nil {
					t.Fatal(err)
				}
				endpoints = append(endpoints, shim.Endpoint)
			}
			judge(t, name, endpoints...)
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
			judge(t, name, shim.Endpoint)
		})
	}
}
