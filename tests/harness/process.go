package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopGrace is how long a process may take to end after it was asked to.
const stopGrace = 10 * time.Second

// Process is one server (or client) with its own process group.
type Process struct {
	Name string
	// Log is the path of the file with its standard output and error. A
	// restarted process appends to it.
	Log string

	spec Spec
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // valid once done is closed
}

// Spec says how to run a process.
type Spec struct {
	// Name names the log file; unique within an Env.
	Name string
	Path string
	Args []string
	// Environ is added to this process's own environment.
	Environ []string
	Dir     string
	// UID and GID, if not zero, are the user to run as (root only).
	UID, GID uint32
	// StopSignal is what asks it to end; SIGTERM by default.
	StopSignal syscall.Signal
}

// spawner starts processes on one thread that never ends: the kernel ties
// "kill the child when the parent dies" to the thread that started the child.
var spawner = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func startProcess(spec Spec, log string) (*Process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fmt.Fprintf(file, "==== %s %s\n", spec.Path, strings.Join(spec.Args, " "))
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Env = append(os.Environ(), spec.Environ...)
	cmd.Dir = spec.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if spec.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: spec.UID, Gid: spec.GID}
	}
	started := make(chan error)
	spawner() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	p := &Process{Name: spec.Name, Log: log, spec: spec, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended reports whether the process is gone, and with what error.
func (p *Process) Ended() (bool, error) {
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

// Wait waits until the process ends by itself.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Signal sends a signal to the process's whole group.
func (p *Process) Signal(signal syscall.Signal) error {
	if err := syscall.Kill(-p.PID(), signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// Kill ends the process at once, as a crash would.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end and kills it if it doesn't within ten seconds,
// which is reported as an error: a server must be able to stop.
func (p *Process) Stop() error {
	if ended, _ := p.Ended(); ended {
		return nil
	}
	signal := syscall.SIGTERM
	if p.spec.StopSignal != 0 {
		signal = p.spec.StopSignal
	}
	_ = p.Signal(signal)
	select {
	case <-p.done:
		_ = p.Signal(syscall.SIGKILL) // what is left of its group
		return nil
	case <-time.After(stopGrace):
		p.Kill()
		return fmt.Errorf("%s did not stop within %v of %v", p.Name, stopGrace, signal)
	}
}

// Restart starts the same command line again; the process must have ended.
func (p *Process) Restart() error {
	if ended, _ := p.Ended(); !ended {
		return fmt.Errorf("%s still runs", p.Name)
	}
	next, err := startProcess(p.spec, p.Log)
	if err != nil {
		return err
	}
	*p = *next
	return nil
}

// LogTail returns the last bytes of the log, for error messages.
func (p *Process) LogTail(bytes int) string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	if len(text) > bytes {
		text = text[len(text)-bytes:]
	}
	return string(text)
}

// Complaints returns the lines of the log in which the process warns, reports
// an error or panics, without those that match one of the expected patterns.
func (p *Process) Complaints(expected ...*regexp.Regexp) []string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(colour.ReplaceAllString(line, ""))
		matches := func(pattern *regexp.Regexp) bool { return pattern.MatchString(line) }
		if complaint.MatchString(line) && !slices.ContainsFunc(expected, matches) {
			found = append(found, p.Name+": "+line)
		}
	}
	return found
}

var (
	colour    = regexp.MustCompile("\x1b\\[[0-9;]*m")
	complaint = regexp.MustCompile(`^\S+ +(WARN|ERROR) |panicked at`)
)

// clockTick is the unit of the times in /proc: USER_HZ, 100 on Linux.
const clockTick = 10 * time.Millisecond

// CPU returns the processor time (user and system) that the process and its
// descendants have used. Descendants that were already waited for are included.
func CPU(pid int) time.Duration {
	total := time.Duration(0)
	for _, fields := range processTree(pid) {
		// utime, stime, and for children that ended cutime, cstime.
		for _, i := range []int{11, 12, 13, 14} {
			ticks, _ := strconv.ParseInt(fields[i], 10, 64)
			total += time.Duration(ticks) * clockTick
		}
	}
	return total
}

// processTree returns the fields of /proc/<id>/stat behind the command's name
// (index 0 is the state, 1 the parent) for a process and its descendants.
func processTree(root int) map[int][]string {
	all := map[int][]string{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		_, rest, found := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), ") ")
		if fields := strings.Fields(rest); found && len(fields) > 14 {
			all[pid] = fields
		}
	}
	tree := map[int][]string{}
	for pid, fields := range all {
		for ancestor := pid; ancestor > 1; {
			if ancestor == root {
				tree[pid] = fields
				break
			}
			parent, ok := all[ancestor]
			if !ok {
				break
			}
			ancestor, _ = strconv.Atoi(parent[1])
		}
	}
	return tree
}
