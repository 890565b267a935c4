package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/history"
	"helium.dev/tests/kubernetes/trace"
)

// The durations of all candidates; Python's module takes whole seconds only.
const (
	leaseSeconds = 6
	renewSeconds = 4
	retrySeconds = 1
)

// program is one kind of candidate: a client as it is.
type program struct {
	name    string
	command func(p *post, identity string) (path string, args []string, err error)
}

// programs are the four kinds; tests/programs/README.md describes them.
var programs = []program{
	{"client-go", func(p *post, identity string) (string, []string, error) {
		path, err := harness.Component("election")
		return path, append(goDurations(), "--release=false", "--kubeconfig", p.fleet, "--name", p.lease,
			"--identity", identity, "--object", p.lease, fmt.Sprint("--fence=", !p.unfenced)), err
	}},
	{"controller-runtime", func(p *post, identity string) (string, []string, error) {
		path, err := harness.Component("manager")
		return path, append(goDurations(), "--release=false", "--own", p.own, "--election-path", fleetPath, "--name", p.lease,
			"--identity", identity, "--object", p.lease), err
	}},
	{"kube-rs", func(p *post, identity string) (string, []string, error) {
		path, err := harness.Component("kube-rs")
		return path, append(wholeSeconds(), "--kubeconfig", p.fleet, "--name", p.lease, "--identity", identity, "--object", p.lease), err
	}},
	{"python", func(p *post, identity string) (string, []string, error) {
		path, err := harness.Component("python/bin/python3")
		script := filepath.Join(harness.Repository(), "tests", "programs", "python", "candidate.py")
		return path, append([]string{script, "--kubeconfig", p.fleet, "--name", p.lease, "--identity", identity, "--object", p.lease}, wholeSeconds()...), err
	}},
}

func goDurations() []string {
	return []string{
		fmt.Sprintf("--lease-duration=%ds", leaseSeconds), fmt.Sprintf("--renew-deadline=%ds", renewSeconds), fmt.Sprintf("--retry-period=%ds", retrySeconds),
	}
}

func wholeSeconds() []string {
	return []string{
		"--lease-duration", strconv.Itoa(leaseSeconds), "--renew-deadline", strconv.Itoa(renewSeconds), "--retry-period", strconv.Itoa(retrySeconds),
	}
}

// post is a place for a program in a cluster, as a Deployment of one replica
// is: when its process ends, another takes its place, with a name of its own.
type post struct {
	program    program
	cluster    *cluster
	lease      string
	own, fleet string // kubeconfigs: the cluster itself, and the fleet behind it
	unfenced   bool

	lives   []*life
	paused  bool
	revival time.Time // not before
}

// life is one process of a post.
type life struct {
	identity string
	process  *harness.Process
	dead     int64
}

func (p *post) String() string { return p.program.name + " in " + p.cluster.name }

// now is the process of the present, or of the moment before.
func (p *post) now() *life { return p.lives[len(p.lives)-1] }

func (p *post) start() error {
	identity := fmt.Sprintf("%s-%s-%d", p.program.name, p.cluster.name, len(p.lives)+1)
	path, args, err := p.program.command(p, identity)
	if err != nil {
		return err
	}
	process, err := p.cluster.env.Start(harness.Spec{Name: p.lease + "-" + identity, Path: path, Args: args})
	if err != nil {
		return err
	}
	p.lives = append(p.lives, &life{identity: identity, process: process})
	return nil
}

// kill ends the process as a crash would.
func (p *post) kill() {
	p.now().process.Kill()
	p.buried()
}

// buried writes down that the process is gone.
func (p *post) buried() {
	if life := p.now(); life.dead == 0 {
		life.dead = trace.Now()
		p.revival = time.Now().Add(500 * time.Millisecond)
	}
}

// supervise starts another process when one has ended.
func (p *post) supervise() error {
	if ended, _ := p.now().process.Ended(); !ended {
		return nil
	}
	p.buried()
	if time.Now().Before(p.revival) {
		return nil
	}
	return p.start()
}

func (p *post) pause() error {
	p.paused = true
	return p.now().process.Signal(syscall.SIGSTOP)
}

func (p *post) resume() error {
	p.paused = false
	return p.now().process.Signal(syscall.SIGCONT)
}

// runs is what its processes said, for the judge.
func (p *post) runs() (all []history.Run, err error) {
	for _, life := range p.lives {
		log, err := os.Open(life.process.Log)
		if err != nil {
			return nil, err
		}
		lines, err := history.ReadLines(log)
		log.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", life.process.Log, err)
		}
		all = append(all, history.Run{
			Program: p.program.name, Cluster: p.cluster.name, Lease: p.lease, Identity: life.identity, Lines: lines, Dead: life.dead,
		})
	}
	return all, nil
}

// holding returns the living post whose present process has an identity.
func holding(posts []*post, identity string) *post {
	for _, p := range posts {
		if p.now().identity == identity && p.now().dead == 0 {
			return p
		}
	}
	return nil
}
