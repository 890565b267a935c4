package smoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"helium.dev/tests/harness"
)

// target is a server under test.
type target struct {
	name     string
	endpoint string
	began    int64 // the revision at which it was found
}

// oracle is the real etcd, subject the server that must answer like it.
var oracle, subject target

var env *harness.Env

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintf(os.Stderr, "smoke: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	if env, err = harness.NewEnv("smoke"); err != nil {
		return 1, err
	}
	defer func() {
		if closeErr := env.Close(code != 0 || err != nil); err == nil {
			err = closeErr
		}
	}()
	etcd, err := env.StartEtcd("etcd")
	if err != nil {
		return 1, err
	}
	oracle = target{name: "etcd", endpoint: etcd.Endpoint}
	if endpoint := os.Getenv("SMOKE_ENDPOINT"); endpoint != "" {
		subject = target{name: "subject", endpoint: endpoint}
	} else {
		shim, err := startSubject()
		if err != nil {
			return 1, err
		}
		subject = target{name: "kine-shim", endpoint: shim.Endpoint}
	}
	for _, server := range []*target{&oracle, &subject} {
		if server.began, err = readRevision(server.endpoint); err != nil {
			return 1, fmt.Errorf("reading from %s: %w", server.name, err)
		}
	}
	code = m.Run()
	if complaints := env.Complaints("shim"); len(complaints) > 0 {
		return 1, fmt.Errorf("kine-shim logged what no test expects:\n%s", strings.Join(complaints, "\n"))
	}
	return code, nil
}

func readRevision(endpoint string) (int64, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	response, err := c.Get(ctx, "no-such-key")
	if err != nil {
		return 0, err
	}
	return response.Header.Revision, nil
}

// startSubject starts a kine-shim on an empty database of its own: PostgreSQL
// with SMOKE_DATABASE=postgres, else SQLite.
func startSubject() (*harness.Store, error) {
	if os.Getenv("SMOKE_DATABASE") != "postgres" {
		return env.StartShim("shim", "debug", "sqlite://"+filepath.Join(env.Dir, "shim.db"))
	}
	postgres, err := env.StartPostgres("postgres")
	if err != nil {
		return nil, err
	}
	url, err := postgres.CreateDatabase("smoke")
	if err != nil {
		return nil, err
	}
	return env.StartShim("shim", "debug", url)
}

// answer is what one run of etcdctl gave.
type answer struct {
	out, err string
	code     int
}

func (a answer) String() string {
	return fmt.Sprintf("exit status %d\n%s%s", a.code, indent("out| ", a.out), indent("err| ", a.err))
}

func indent(mark, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(mark + strings.TrimRight(line, "\n") + "\n")
	}
	return b.String()
}

// etcdctl runs one command, bounded to a minute.
func (t target) etcdctl(tb testing.TB, stdin string, args ...string) answer {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	defer cancel()
	command := t.command(ctx, tb, args...)
	var out, errs bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &out, &errs
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		tb.Fatalf("etcdctl %s: %v", strings.Join(args, " "), err)
	}
	return answer{out.String(), withoutLog(errs.String()), command.ProcessState.ExitCode()}
}

func (t target) command(ctx context.Context, tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	path, err := harness.Component("etcdctl")
	if err != nil {
		tb.Fatal(err)
	}
	command := exec.CommandContext(ctx, path, append([]string{"--endpoints", t.endpoint}, args...)...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	return command
}

// must runs a command that has to succeed and returns its output.
func (t target) must(tb testing.TB, args ...string) string {
	tb.Helper()
	a := t.etcdctl(tb, "", args...)
	if a.code != 0 {
		tb.Fatalf("etcdctl %s on %s: %s", strings.Join(args, " "), t.name, a)
	}
	return a.out
}

// withoutLog drops the client library's own log lines.
func withoutLog(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, `{"level":`) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// volatile are the parts of answers that differ between any two servers, and
// between two runs of one.
var volatile = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`"(cluster_id|member_id|raft_term|leader|raftIndex|raftAppliedIndex|raftTerm|dbSize|dbSizeInUse|dbSizeQuota|hash|ID|lease)":\d+`), `"$1":N`},
	{regexp.MustCompile(`"(ClusterID|MemberID|RaftTerm|Lease|ID)" : \d+`), `"$1" : N`},
	{regexp.MustCompile(`\b[0-9a-f]{13,16}\b`), "HEXID"},
	{regexp.MustCompile(`\b[0-9.]+(µs|ms|s)\b`), "TIME"},
	{regexp.MustCompile(`remaining\(\d+s\)`), "remaining(TIME)"},
	{regexp.MustCompile(`"dbSizeQuota":N,`), ""}, // a SQL database has none of ours
	{regexp.MustCompile(`"ttl":\d+`), `"ttl":N`},
	{regexp.MustCompile(`"id":\d+`), `"id":N`},
}

func (t target) normal(text string) string {
	text = strings.ReplaceAll(text, t.endpoint, "ENDPOINT")
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.instead)
	}
	return text
}

func (t target) normalAnswer(a answer) answer {
	return answer{t.normal(a.out), t.normal(a.err), a.code}
}

// both runs one command on both servers and compares the answers.
func both(tb testing.TB, stdin string, args ...string) {
	tb.Helper()
	bothWith(tb, stdin, func(target) []string { return args })
}

// bothWith is both for commands that differ, for example in a lease's id.
func bothWith(tb testing.TB, stdin string, args func(target) []string) {
	tb.Helper()
	want := oracle.normalAnswer(oracle.etcdctl(tb, stdin, args(oracle)...))
	got := subject.normalAnswer(subject.etcdctl(tb, stdin, args(subject)...))
	if got != want {
		tb.Errorf("etcdctl %s\n--- etcd: %s--- %s: %s", strings.Join(args(oracle), " "), want, subject.name, got)
	}
}
