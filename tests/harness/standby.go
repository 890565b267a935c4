package harness

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

// StartStandby makes a streaming standby of a server, with a copy of its data,
// and makes the server wait for it with each commit: nothing that was
// acknowledged is lost when the standby takes its place.
func (p *Postgres) StartStandby(e *Env, name string) (*Postgres, error) {
	dir, err := e.Subdir(name)
	if err != nil {
		return nil, err
	}
	uid, gid, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	copied, err := e.Start(Spec{Name: name + "-copy", Path: filepath.Join(p.bin, "pg_basebackup"), Dir: dir, UID: uid, GID: gid, Args: []string{
		"-R", "-X", "stream", "-c", "fast", "-d", p.URL("postgres"), "-D", data,
	}})
	if err != nil {
		return nil, err
	}
	if err := copied.Wait(); err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w\n%s", err, copied.LogTail(2000))
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	process, err := e.Start(Spec{Name: name, Path: filepath.Join(p.bin, "postgres"), Dir: dir, UID: uid, GID: gid, StopSignal: fastShutdown, Args: []string{
		"-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=300",
	}})
	if err != nil {
		return nil, err
	}
	standby := &Postgres{Process: process, address: Loopback(port), bin: p.bin}
	err = process.WaitReady(startBound, func() error {
		streaming, err := p.Query("postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
		if err == nil && streaming != "1" {
			err = fmt.Errorf("%s standbys stream", streaming)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	// What ALTER SYSTEM writes isn't replicated: the standby won't wait for one of its own.
	if err := p.SQL("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'"); err != nil {
		return nil, err
	}
	if err := p.SQL("postgres", "SELECT pg_reload_conf()"); err != nil {
		return nil, err
	}
	return standby, WaitFor("the primary waits for its standby", 30*time.Second, func() error {
		state, err := p.Query("postgres", "SELECT sync_state FROM pg_stat_replication")
		if err == nil && state != "sync" {
			err = fmt.Errorf("the standby is %q", state)
		}
		return err
	})
}

// Promote makes a primary of a standby.
func (p *Postgres) Promote() error {
	done, err := p.Query("postgres", "SELECT pg_promote(true, 60)")
	if err == nil && done != "t" {
		err = fmt.Errorf("pg_promote: %s", done)
	}
	return err
}

// Address is where it listens, host:port.
func (p *Postgres) Address() string { return p.address }
