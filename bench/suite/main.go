// Command suite starts etcd, kine and kine-shim on this machine, each with
// real fsync, and prints how they compare (see package measure).
//
// All run at once, but only one is driven at a time. PostgreSQL is one server
// with a database for each system on it; its CPU time counts for whichever is
// driven.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"helium.dev/bench/cli"
	"helium.dev/bench/measure"
	"helium.dev/tests/harness"
)

// names are the systems in the order of the table; the first is the yardstick.
var names = []string{"etcd", "kine-postgres", "kine-postgres-2", "kine-sqlite", "shim-sqlite", "shim-postgres", "shim-postgres-2"}

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "suite: %v\n", err)
		os.Exit(1)
	}
}

func run() (err error) {
	chosen := flag.String("systems", strings.Join(names, ","), "what to start; the first is what the others are compared with")
	profile := flag.String("profile", "release", "target folder of kine-shim: release or debug")
	flags := cli.Register(flag.CommandLine)
	flag.Parse()
	options, err := flags.Options()
	if err != nil {
		return err
	}
	env, err := harness.NewEnv("bench")
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := env.Close(err != nil); err == nil {
			err = closeErr
		}
	}()
	starter := starter{env: env, profile: *profile}
	var systems []*measure.System
	for name := range strings.SplitSeq(*chosen, ",") {
		fmt.Fprintf(os.Stderr, "starting %s\n", name)
		system, err := starter.start(name)
		if err != nil {
			return err
		}
		systems = append(systems, system)
	}
	rows, err := measure.Run(context.Background(), systems, options)
	return errors.Join(err, flags.Print(rows))
}

type starter struct {
	env      *harness.Env
	profile  string
	postgres *harness.Postgres
}

func (s *starter) start(name string) (*measure.System, error) {
	switch name {
	case "etcd":
		store, err := s.env.StartEtcd(name)
		return system(name, err, nil, store)
	case "kine-postgres-2":
		url, err := s.database(name)
		if err != nil {
			return nil, err
		}
		first, err := s.env.StartKine(name+"-a", url)
		if err != nil {
			return nil, err
		}
		second, err := s.env.StartKine(name+"-b", url)
		return system(name, err, s.postgres, first, second)
	case "kine-sqlite":
		// kine's own default parameters, but with every commit on disk.
		file := filepath.Join(s.env.Dir, name+".db") + "?_journal_mode=WAL&_busy_timeout=30000&_synchronous=FULL&_txlock=immediate&_stmt_cache_size=20&cache=shared"
		store, err := s.env.StartKine(name, "sqlite://"+file)
		return system(name, err, nil, store)
	case "kine-postgres":
		url, err := s.database(name)
		if err != nil {
			return nil, err
		}
		store, err := s.env.StartKine(name, url)
		return system(name, err, s.postgres, store)
	case "shim-sqlite":
		store, err := s.env.StartShim(name, s.profile, "sqlite://"+filepath.Join(s.env.Dir, name+".db"))
		return system(name, err, nil, store)
	case "shim-postgres":
		url, err := s.database(name)
		if err != nil {
			return nil, err
		}
		store, err := s.env.StartShim(name, s.profile, url)
		return system(name, err, s.postgres, store)
	case "shim-postgres-2":
		url, err := s.database(name)
		if err != nil {
			return nil, err
		}
		first, err := s.env.StartShim(name+"-a", s.profile, url)
		if err != nil {
			return nil, err
		}
		second, err := s.env.StartShim(name+"-b", s.profile, url)
		return system(name, err, s.postgres, first, second)
	default:
		return nil, fmt.Errorf("unknown system %q: expected one of %s", name, strings.Join(slices.Clone(names), ","))
	}
}

// database makes a database of the system's own, and the server if need be.
func (s *starter) database(name string) (string, error) {
	if s.postgres == nil {
		postgres, err := s.env.StartPostgres("postgres")
		if err != nil {
			return "", err
		}
		if err := durable(postgres); err != nil {
			return "", err
		}
		s.postgres = postgres
	}
	return s.postgres.CreateDatabase(strings.ReplaceAll(name, "-", "_"))
}

// durable refuses a PostgreSQL that acknowledges what a crash would lose: its
// figures would be worth nothing. These are its default settings.
func durable(postgres *harness.Postgres) error {
	settings, err := postgres.Query("postgres",
		"SELECT name || '=' || setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name")
	if err != nil {
		return err
	}
	if strings.Join(strings.Fields(settings), " ") != "fsync=on full_page_writes=on synchronous_commit=on" {
		return fmt.Errorf("PostgreSQL does not run with durable settings: %s", settings)
	}
	return nil
}

func system(name string, err error, postgres *harness.Postgres, stores ...*harness.Store) (*measure.System, error) {
	if err != nil {
		return nil, err
	}
	system := &measure.System{Name: name}
	for _, store := range stores {
		system.Addresses = append(system.Addresses, store.Endpoint)
		system.PIDs = append(system.PIDs, store.PID())
	}
	if postgres != nil {
		system.PIDs = append(system.PIDs, postgres.PID())
	}
	return system, nil
}
