package smoke

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"helium.dev/tests/harness"
)

// twoInstances starts two kine-shims on one new PostgreSQL.
func twoInstances(t *testing.T) (a, b target) {
	t.Helper()
	own, err := harness.NewEnv("instances")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, complaint := range append(own.Complaints("shim-a"), own.Complaints("shim-b")...) {
			t.Errorf("no test expects this in a log: %s", complaint)
		}
		if err := own.Close(t.Failed()); err != nil {
			t.Error(err)
		}
	})
	postgres, err := own.StartPostgres("postgres")
	if err != nil {
		t.Fatal(err)
	}
	url, err := postgres.CreateDatabase("instances")
	if err != nil {
		t.Fatal(err)
	}
	targets := []*target{&a, &b}
	for i, name := range []string{"shim-a", "shim-b"} {
		shim, err := own.StartShim(name, "debug", url)
		if err != nil {
			t.Fatal(err)
		}
		*targets[i] = target{name: name, endpoint: shim.Endpoint}
	}
	return a, b
}

// What etcdctl does through one instance is there through the other: they are
// one store.
func TestTwoInstancesAreOneStore(t *testing.T) {
	a, b := twoInstances(t)

	t.Run("reads and watches", func(t *testing.T) {
		watching := b.follow(t, "watch", "shared/", "--prefix", "--rev=2")
		for i := range 10 {
			writer, reader := a, b
			if i%2 == 1 {
				writer, reader = b, a
			}
			value := fmt.Sprint("value-", i)
			writer.must(t, "put", "shared/key", value)
			if got := reader.must(t, "get", "shared/key", "--print-value-only"); got != value+"\n" {
				t.Errorf("%s reads %q after %s was answered for %q", reader.name, got, writer.name, value)
			}
			watching.until(value)
		}
	})

	t.Run("transactions", func(t *testing.T) {
		a.must(t, "put", "counter", "1")
		text := "value(\"counter\") = \"1\"\n\nput counter 2\n\nget counter\n\n"
		if answer := b.etcdctl(t, text, "txn"); !strings.HasPrefix(answer.out, "SUCCESS") {
			t.Errorf("the first: %s", answer)
		}
		if answer := a.etcdctl(t, text, "txn"); !strings.HasPrefix(answer.out, "FAILURE") || !strings.Contains(answer.out, "\n2\n") {
			t.Errorf("the second: %s", answer)
		}
	})

	t.Run("leases", func(t *testing.T) {
		id := grant(t, a, "600")
		b.must(t, "put", "leased", "1", "--lease="+id)
		for _, on := range []target{a, b} {
			if out := on.must(t, "lease", "timetolive", id, "--keys"); !strings.Contains(out, "granted with TTL(600s)") || !strings.Contains(out, "[leased]") {
				t.Errorf("%s: %s", on.name, out)
			}
			if out := on.must(t, "lease", "keep-alive", id, "--once"); !strings.Contains(out, "keepalived with TTL(600)") {
				t.Errorf("%s: %s", on.name, out)
			}
		}
		b.must(t, "lease", "revoke", id)
		if out := a.must(t, "get", "leased"); out != "" {
			t.Errorf("the key outlived its lease: %q", out)
		}
		if out := a.must(t, "lease", "timetolive", id); !strings.Contains(out, "already expired") {
			t.Error(out)
		}
	})

	t.Run("locks", func(t *testing.T) {
		first := a.follow(t, "lock", "across")
		first.line()
		second := b.follow(t, "lock", "across")
		for len(strings.Fields(a.must(t, "get", "across/", "--prefix", "--keys-only"))) < 2 {
			time.Sleep(10 * time.Millisecond)
		}
		select {
		case line := <-second.lines:
			t.Fatalf("two hold the lock: %q", line)
		case <-time.After(300 * time.Millisecond):
		}
		first.stop()
		second.line()
	})

	t.Run("elections", func(t *testing.T) {
		first := a.follow(t, "elect", "across-race", "one")
		first.until("one")
		observer := b.follow(t, "elect", "--listen", "across-race")
		observer.until("one")
		second := b.follow(t, "elect", "across-race", "two")
		for len(strings.Fields(a.must(t, "get", "across-race/", "--prefix", "--keys-only"))) < 2 {
			time.Sleep(10 * time.Millisecond)
		}
		first.stop()
		second.until("two")
		observer.until("two")
	})

	t.Run("members, status and hash", func(t *testing.T) {
		all := target{name: "both", endpoint: a.endpoint + "," + b.endpoint}
		err := harness.WaitFor("each lists both", 20*time.Second, func() error {
			for _, on := range []target{a, b} {
				var list struct {
					Members []struct {
						ClientURLs []string `json:"clientURLs"`
					}
				}
				out := on.must(t, "member", "list", "-w", "json")
				if err := json.Unmarshal([]byte(out), &list); err != nil {
					return err
				}
				var urls []string
				for _, member := range list.Members {
					urls = append(urls, member.ClientURLs...)
				}
				want := []string{"http://" + a.endpoint, "http://" + b.endpoint}
				slices.Sort(want)
				if slices.Sort(urls); !slices.Equal(urls, want) {
					return fmt.Errorf("%s lists %v, expected %v", on.name, urls, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		var statuses []struct {
			Status struct {
				Header struct {
					ClusterID uint64 `json:"cluster_id"`
					MemberID  uint64 `json:"member_id"`
					Revision  int64  `json:"revision"`
				} `json:"header"`
				Leader uint64 `json:"leader"`
			}
		}
		if err := json.Unmarshal([]byte(all.must(t, "endpoint", "status", "-w", "json")), &statuses); err != nil || len(statuses) != 2 {
			t.Fatalf("%+v, %v", statuses, err)
		}
		first, second := statuses[0].Status, statuses[1].Status
		if first.Header.ClusterID != second.Header.ClusterID || first.Header.MemberID == second.Header.MemberID ||
			first.Leader != second.Leader || (first.Leader != first.Header.MemberID && first.Leader != second.Header.MemberID) {
			t.Errorf("two members of one cluster with one leader: %+v", statuses)
		}
		all.must(t, "endpoint", "health")
		a.must(t, "endpoint", "health", "--cluster")
		var hashes []struct {
			HashKV struct {
				Hash            uint32 `json:"hash"`
				CompactRevision int64  `json:"compact_revision"`
			}
		}
		hash := func() {
			t.Helper()
			out := all.must(t, "endpoint", "hashkv", "-w", "json")
			if err := json.Unmarshal([]byte(out), &hashes); err != nil || len(hashes) != 2 || hashes[0].HashKV.Hash == 0 {
				t.Fatalf("%s, %v", out, err)
			}
			if hashes[0] != hashes[1] {
				t.Errorf("one store, two hashes: %+v", hashes)
			}
		}
		hash()
		b.must(t, "compaction", fmt.Sprint(revision(t, a)))
		hash()
	})
}
