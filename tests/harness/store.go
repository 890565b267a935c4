package harness

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startBound is how long a server may take until it serves.
const startBound = 60 * time.Second

// Store is a running server of the etcd API.
type Store struct {
	*Process
	// Endpoint is its client address, host:port, without TLS.
	Endpoint string
}

// StartEtcd starts a real etcd with an empty data folder and real fsync.
func (e *Env) StartEtcd(name string) (*Store, error) {
	path, err := Component("etcd")
	if err != nil {
		return nil, err
	}
	client, err := FreePort()
	if err != nil {
		return nil, err
	}
	peer, err := FreePort()
	if err != nil {
		return nil, err
	}
	clientURL, peerURL := "http://"+Loopback(client), "http://"+Loopback(peer)
	p, err := e.Start(Spec{Name: name, Path: path, Args: []string{
		"--data-dir", filepath.Join(e.Dir, name), "--log-level", "warn",
		"--listen-client-urls", clientURL, "--advertise-client-urls", clientURL,
		"--listen-peer-urls", peerURL, "--initial-advertise-peer-urls", peerURL, "--initial-cluster", "default=" + peerURL,
		"--quota-backend-bytes", strconv.Itoa(8 << 30),
	}})
	if err != nil {
		return nil, err
	}
	return &Store{p, Loopback(client)}, p.WaitReady(startBound, httpOK(clientURL+"/health"))
}

// StartKine starts kine on a database URL (sqlite://path or postgres://…).
func (e *Env) StartKine(name, endpoint string) (*Store, error) {
	path, err := Component("kine")
	if err != nil {
		return nil, err
	}
	// Without a bound it opens a connection for every request in flight, and
	// PostgreSQL refuses them; with one, and all kept open, kine is at its best.
	return e.startKineLike(name, path, endpoint, "--metrics-bind-address", "0",
		"--datastore-max-open-connections", "64", "--datastore-max-idle-connections", "64")
}

// StartShim starts kine-shim on a database URL; profile is debug or release.
func (e *Env) StartShim(name, profile, endpoint string, args ...string) (*Store, error) {
	path, err := Server("kine-shim", profile)
	if err != nil {
		return nil, err
	}
	return e.startKineLike(name, path, endpoint, append([]string{"--metrics-bind-address", "0"}, args...)...)
}

func (e *Env) startKineLike(name, path, endpoint string, args ...string) (*Store, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	address := Loopback(port)
	p, err := e.Start(Spec{Name: name, Path: path, Dir: e.Dir,
		Args: append([]string{"--listen-address", address, "--endpoint", endpoint}, args...)})
	if err != nil {
		return nil, err
	}
	return &Store{p, address}, p.WaitReady(startBound, etcdctlOK(address))
}

// etcdctlOK reports whether a linearizable read through address works.
func etcdctlOK(address string) func() error {
	return func() error {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err
		}
		connection.Close()
		path, err := Component("etcdctl")
		if err != nil {
			return &FinalError{err}
		}
		output, err := exec.Command(path, "--endpoints", address, "--command-timeout", "2s", "get", "health").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, output)
		}
		return nil
	}
}

func httpOK(url string) func() error {
	client := &http.Client{Timeout: 2 * time.Second}
	return func() error {
		response, err := client.Get(url)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", response.Status, body)
		}
		return nil
	}
}

// fastShutdown ends a PostgreSQL server without waiting until its clients have gone.
const fastShutdown = syscall.SIGINT

// Postgres is a running PostgreSQL server with real fsync. Its superuser is
// postgres with the password postgres.
type Postgres struct {
	*Process
	address string
	bin     string
}

// StartPostgres makes a new database cluster and starts it. Started by root it
// runs as the user postgres, or nobody.
func (e *Env) StartPostgres(name string, settings ...string) (*Postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := e.Subdir(name)
	if err != nil {
		return nil, err
	}
	uid, gid, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	password := filepath.Join(e.Dir, name+".password")
	if err := os.WriteFile(password, []byte("postgres\n"), 0o644); err != nil {
		return nil, err
	}
	initdb, err := e.Start(Spec{Name: name + "-initdb", Path: filepath.Join(bin, "initdb"), Dir: dir, UID: uid, GID: gid, Args: []string{
		"-D", filepath.Join(dir, "data"), "-U", "postgres", "--pwfile", password, "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8", "--no-instructions",
	}})
	if err != nil {
		return nil, err
	}
	if err := initdb.Wait(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, initdb.LogTail(2000))
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	args := []string{"-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "max_connections=300"}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	process, err := e.Start(Spec{Name: name, Path: filepath.Join(bin, "postgres"), Dir: dir, UID: uid, GID: gid, Args: args, StopSignal: fastShutdown})
	if err != nil {
		return nil, err
	}
	p := &Postgres{Process: process, address: Loopback(port), bin: bin}
	return p, process.WaitReady(startBound, func() error { return p.SQL("postgres", "SELECT 1") })
}

// URL is the connection URL of a database.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://postgres:postgres@%s/%s?sslmode=disable", p.address, database)
}

// CreateDatabase makes an empty database and returns its URL.
func (p *Postgres) CreateDatabase(name string) (string, error) {
	return p.URL(name), p.SQL("postgres", `CREATE DATABASE "`+name+`"`)
}

// SQL runs statements in a database.
func (p *Postgres) SQL(database, statements string) error {
	_, err := p.Query(database, statements)
	return err
}

// Query runs statements in a database and returns what they print, a row a
// line with its columns parted by |.
func (p *Postgres) Query(database, statements string) (string, error) {
	output, err := exec.Command(filepath.Join(p.bin, "psql"), "-v", "ON_ERROR_STOP=1", "-qAt", "-c", statements, p.URL(database)).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, output)
	}
	return strings.TrimSpace(string(output)), nil
}

// postgresBin finds the newest installed server.
func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		if path, err := exec.LookPath("postgres"); err == nil {
			return filepath.Dir(path), nil
		}
		return "", errors.New("no PostgreSQL server found (apt-get install postgresql)")
	}
	version := func(path string) int {
		number, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return number
	}
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

// unprivileged hands dir to a user that PostgreSQL agrees to run as.
func unprivileged(dir string) (uid, gid uint32, err error) {
	if os.Getuid() != 0 {
		return 0, 0, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		u, _ := strconv.Atoi(account.Uid)
		g, _ := strconv.Atoi(account.Gid)
		return uint32(u), uint32(g), os.Chown(dir, u, g)
	}
	return 0, 0, errors.New("running as root, and neither the user postgres nor nobody exists")
}
