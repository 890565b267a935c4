package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Env owns the processes and files of one run.
type Env struct {
	// Dir is the run's temporary folder.
	Dir string

	mu        sync.Mutex
	processes []*Process
	names     map[string]bool
}

// NewEnv makes the temporary folder.
func NewEnv(name string) (*Env, error) {
	dir, err := os.MkdirTemp("", "helium-"+name+"-")
	if err != nil {
		return nil, err
	}
	// Servers that run as another user have their folders below it.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return &Env{Dir: dir, names: map[string]bool{}}, nil
}

// Close stops everything, newest first, and removes the folder unless keep, or
// $HELIUM_KEEP_LOGS is set.
func (e *Env) Close(keep bool) error {
	keep = keep || os.Getenv("HELIUM_KEEP_LOGS") != ""
	e.mu.Lock()
	processes := e.processes
	e.processes = nil
	e.mu.Unlock()
	var errs []error
	for i := len(processes) - 1; i >= 0; i-- {
		errs = append(errs, processes[i].Stop())
	}
	if keep {
		fmt.Fprintf(os.Stderr, "logs are kept in %s\n", e.Dir)
	} else {
		errs = append(errs, os.RemoveAll(e.Dir))
	}
	return errors.Join(errs...)
}

// Complaints returns what all processes of the name warned of in their logs
// (see [Process.Complaints]); a name stands for all that end with it.
func (e *Env) Complaints(name string, expected ...*regexp.Regexp) (found []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.processes {
		if strings.HasSuffix(p.Name, name) {
			found = append(found, p.Complaints(expected...)...)
		}
	}
	return found
}

// Start starts a process whose log is <Dir>/<name>.log.
func (e *Env) Start(spec Spec) (*Process, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.names[spec.Name] {
		return nil, fmt.Errorf("two processes named %s", spec.Name)
	}
	p, err := startProcess(spec, filepath.Join(e.Dir, spec.Name+".log"))
	if err != nil {
		return nil, err
	}
	e.names[spec.Name] = true
	e.processes = append(e.processes, p)
	return p, nil
}

// Subdir makes a folder below Dir.
func (e *Env) Subdir(name string) (string, error) {
	dir := filepath.Join(e.Dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// FreePort returns a TCP port of 127.0.0.1 that nobody listened on a moment
// ago. It lies below the range from which the kernel hands out ports by
// itself, so that no outgoing connection takes it meanwhile.
func FreePort() (int, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	// Two runs side by side begin at different places.
	for range 20_000 {
		if nextPort == 0 {
			nextPort = portsFrom + (os.Getpid()*97)%(portsTo-portsFrom)
		}
		nextPort++
		if nextPort >= portsTo {
			nextPort = portsFrom
		}
		listener, err := net.Listen("tcp", Loopback(nextPort))
		if err != nil {
			continue
		}
		listener.Close()
		return nextPort, nil
	}
	return 0, errors.New("no free port")
}

const portsFrom, portsTo = 12_000, 32_000

var (
	portsMu  sync.Mutex
	nextPort int
)

// Loopback returns 127.0.0.1:port.
func Loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// WaitFor calls condition until it returns nil, at most for bound; then it
// returns what was waited for with the condition's last error.
func WaitFor(what string, bound time.Duration, condition func() error) error {
	deadline := time.Now().Add(bound)
	pause := time.Millisecond
	for {
		err := condition()
		if err == nil {
			return nil
		}
		var final *FinalError
		if errors.As(err, &final) || time.Now().After(deadline) {
			return fmt.Errorf("%s (waited up to %v): %w", what, bound, err)
		}
		time.Sleep(pause)
		pause = min(pause*2, 100*time.Millisecond)
	}
}

// FinalError is an error that waiting longer can't cure.
type FinalError struct{ Err error }

func (e *FinalError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *FinalError) Unwrap() error { return e.Err }

// WaitReady waits until ready returns nil, and gives up at once, with the end
// of its log, when the process ends instead.
func (p *Process) WaitReady(bound time.Duration, ready func() error) error {
	err := WaitFor(p.Name+" is ready", bound, func() error {
		if ended, err := p.Ended(); ended {
			return &FinalError{fmt.Errorf("it ended: %v", err)}
		}
		return ready()
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.LogTail(2000))
	}
	return nil
}

// Repository is the root folder of the source tree.
func Repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Component returns the path of a binary that tests/build.sh makes.
func Component(name string) (string, error) {
	dir := os.Getenv("HELIUM_BIN")
	if dir == "" {
		dir = filepath.Join(Repository(), ".cache", "bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not built (run tests/build.sh): %w", name, err)
	}
	return path, nil
}

// Server returns the path of one of our own binaries: from $HELIUM_SERVERS, or
// target/<profile>, where profile is debug or release.
func Server(name, profile string) (string, error) {
	dir := os.Getenv("HELIUM_SERVERS")
	if dir == "" {
		target := os.Getenv("CARGO_TARGET_DIR")
		if target == "" {
			target = filepath.Join(Repository(), "target")
		}
		dir = filepath.Join(target, profile)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not built (cargo build -p %s): %w", name, name, err)
	}
	return path, nil
}
