package smoke

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// syncRevisions makes sure that both servers are at one revision, so that a failure in
// one test doesn't show in all that follow.
func syncRevisions(t *testing.T) {
	t.Helper()
	for range 1000 {
		a, b := revision(t, oracle), revision(t, subject)
		switch {
		case a == b:
			return
		case a < b:
			oracle.must(t, "put", "sync", "")
		default:
			subject.must(t, "put", "sync", "")
		}
	}
	t.Fatal("the two servers' revisions can't be brought together")
}

func revision(t *testing.T, on target) int64 {
	t.Helper()
	var got struct{ Header struct{ Revision int64 } }
	out := on.must(t, "get", "no-such-key", "-w", "json")
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	return got.Header.Revision
}

func commands(t *testing.T, lines ...string) {
	t.Helper()
	syncRevisions(t)
	for _, line := range lines {
		both(t, "", strings.Fields(line)...)
	}
}

func TestEmptyStoreIsAtRevisionOne(t *testing.T) {
	for _, server := range []target{oracle, subject} {
		if server.began != 1 {
			t.Errorf("%s began at revision %d", server.name, server.began)
		}
	}
}

func TestPutGetDelete(t *testing.T) {
	commands(t,
		"put kv/a 1", "put kv/a 2 --prev-kv", "put kv/b 1 -w json", "put kv/c 3 -w json", "put kv/b 2 -w fields",
		"get kv/a", "get kv/a -w json", "get kv/a -w fields", "get kv/none", "get kv/none -w json",
		"get kv/ --prefix", "get kv/ --prefix -w json", "get kv/ --prefix --keys-only", "get kv/ --prefix --keys-only -w json",
		"get kv/ --prefix --count-only", "get kv/ --prefix --count-only -w json", "get kv/ --prefix --count-only --limit 1 -w json",
		"get kv/ --prefix --limit 2 -w json", "get kv/ --prefix --limit 3 -w json",
		"get kv/b --from-key", "get kv/a kv/c -w json", "get kv/c kv/a -w json", "get kv/ --prefix --print-value-only",
		"get kv/a --consistency s -w json",
		"put kv/a 3 --ignore-lease", "put kv/a --ignore-value", "put kv/none --ignore-value", "put kv/none x --ignore-lease",
		"put kv/x 1 --lease=7777",
		"del kv/none -w json", "del kv/a --prev-kv", "del kv/a", "put kv/a again -w json", "get kv/a -w json",
		"del kv/b kv/c -w json", "del kv/ --prefix --prev-kv -w json", "get kv/ --prefix -w json", "del kv/a --from-key --range",
	)
}

func TestSortedAndOrderedRanges(t *testing.T) {
	commands(t, "put sort/a 5", "put sort/b 4", "put sort/c 3", "put sort/a 1", "put sort/b 9", "put sort/a 2", "put sort/d 8")
	for _, target := range []string{"KEY", "VERSION", "CREATE", "MODIFY", "VALUE"} {
		for _, order := range []string{"ASCEND", "DESCEND"} {
			commands(t, fmt.Sprintf("get sort/ --prefix --sort-by=%s --order=%s", target, order),
				fmt.Sprintf("get sort/ --prefix --sort-by=%s --order=%s --limit 2 -w json", target, order))
		}
	}
	commands(t, "get sort/ --prefix --sort-by=VALUE", "get sort/ --prefix --order=DESCEND", "get sort/ --prefix --sort-by=WEIGHT")
}

func TestReadsOfThePast(t *testing.T) {
	syncRevisions(t)
	base := revision(t, oracle)
	commands(t, "put past/a 1", "put past/a 2", "del past/a", "put past/a 3")
	for rev := base; rev <= base+6; rev++ {
		commands(t, fmt.Sprintf("get past/a --rev %d -w json", rev), fmt.Sprintf("get past/ --prefix --count-only --rev %d -w json", rev))
	}
	commands(t, fmt.Sprintf("get past/a --rev %d", base+1000))
}

func TestTransactions(t *testing.T) {
	syncRevisions(t)
	for _, text := range []string{
		// compares, blank line, success, blank line, failure, blank line
		"version(\"txn/a\") = \"0\"\n\nput txn/a 1\nget txn/a\n\nget txn/a\n\n",
		"version(\"txn/a\") = \"0\"\n\nput txn/a 1\n\nget txn/a\nput txn/b 2\n\n",
		"mod(\"txn/a\") > \"1\"\ncreate(\"txn/b\") > \"1\"\n\ndel txn/b\nget txn/b\nput txn/c 3\n\nput txn/never x\n\n",
		"value(\"txn/c\") = \"3\"\n\nput txn/c 4\ndel txn/a\n\n\n",
		"value(\"txn/none\") != \"3\"\n\nput txn/never x\n\nget txn/ --prefix\n\n",
		"version(\"txn/c\") < \"1\"\n\nput txn/never x\n\nget txn/c\n\n",
		"\nget txn/ --prefix\nget txn/c\n\n\n",
		"\nput txn/d 1\nput txn/d 2\n\n\n",
		"\n\n\n",
	} {
		both(t, text, "txn", "-w", "json")
		both(t, text, "txn")
	}
	commands(t, "get txn/ --prefix -w json")
}

var grantedID = regexp.MustCompile(`^lease ([0-9a-f]+) granted`)

func grant(t *testing.T, on target, ttl string) string {
	t.Helper()
	out := on.must(t, "lease", "grant", ttl)
	match := grantedID.FindStringSubmatch(out)
	if match == nil {
		t.Fatalf("%s: no lease id in %q", on.name, out)
	}
	return match[1]
}

func TestLeases(t *testing.T) {
	syncRevisions(t)
	both(t, "", "lease", "list")
	both(t, "", "lease", "grant", "0")
	both(t, "", "lease", "grant", "9000000001")
	ids := map[string]string{oracle.name: grant(t, oracle, "600"), subject.name: grant(t, subject, "600")}
	run := func(words ...string) {
		t.Helper()
		bothWith(t, "", func(on target) []string {
			args := make([]string, len(words))
			for i, word := range words {
				args[i] = strings.ReplaceAll(word, "ID", ids[on.name])
			}
			return args
		})
	}
	run("put", "lease/b", "1", "--lease=ID", "-w", "json")
	run("lease", "timetolive", "ID", "--keys") // while it is one key: etcd prints several in any order
	run("lease", "timetolive", "ID", "--keys", "-w", "json")
	run("put", "lease/a", "1", "--lease=ID", "-w", "json")
	run("put", "lease/kept", "1", "--lease=ID")
	run("put", "lease/kept", "2") // detaches it
	run("get", "lease/", "--prefix", "-w", "json")
	run("lease", "timetolive", "ID")
	run("lease", "keep-alive", "ID", "--once")
	run("lease", "keep-alive", "ID", "--once", "-w", "json")
	run("lease", "list", "-w", "json")
	run("lease", "revoke", "ID", "-w", "json")
	run("get", "lease/", "--prefix", "-w", "json")
	run("lease", "revoke", "ID")
	run("lease", "timetolive", "ID")
	run("lease", "timetolive", "ID", "-w", "json")
	run("lease", "keep-alive", "ID", "--once")
}

func TestCompaction(t *testing.T) {
	commands(t, "put compact/a 1", "put compact/a 2", "put compact/a 3", "del compact/a", "put compact/b 1")
	now := revision(t, oracle)
	commands(t,
		fmt.Sprintf("compaction %d", now-2),
		fmt.Sprintf("compaction %d", now-2),
		fmt.Sprintf("compaction %d", now+100),
		fmt.Sprintf("get compact/a --rev %d -w json", now-3),
		fmt.Sprintf("get compact/a --rev %d -w json", now-2),
		fmt.Sprintf("get compact/a --rev %d -w json", now-1),
		fmt.Sprintf("compaction %d --physical", now-1),
		fmt.Sprintf("watch compact/ --prefix --rev %d", 2),
		"get compact/ --prefix -w json",
	)
}

func TestMaintenanceAndCluster(t *testing.T) {
	commands(t, "endpoint health", "endpoint health -w json", "endpoint status -w json",
		"endpoint hashkv -w json", "alarm list", "alarm list -w json", "alarm disarm", "defrag")
	var status []struct {
		Status struct {
			Header struct {
				Member uint64 `json:"member_id"`
				Term   uint64 `json:"raft_term"`
			} `json:"header"`
			Leader  uint64 `json:"leader"`
			Version string `json:"version"`
			Size    int64  `json:"dbSize"`
		}
	}
	if err := json.Unmarshal([]byte(subject.must(t, "endpoint", "status", "-w", "json")), &status); err != nil {
		t.Fatal(err)
	}
	s := status[0].Status
	if s.Header.Member == 0 || s.Leader != s.Header.Member || s.Header.Term == 0 || s.Size == 0 {
		t.Errorf("a single instance must lead itself, have a term and a size: %+v", s)
	}
	var members struct {
		Members []struct {
			ID         uint64   `json:"ID"`
			Name       string   `json:"name"`
			ClientURLs []string `json:"clientURLs"`
		} `json:"members"`
	}
	if err := json.Unmarshal([]byte(subject.must(t, "member", "list", "-w", "json")), &members); err != nil {
		t.Fatal(err)
	}
	if len(members.Members) != 1 {
		t.Fatalf("expected one member: %+v", members)
	}
	m := members.Members[0]
	if m.ID != s.Header.Member || m.Name == "" || len(m.ClientURLs) != 1 || !strings.HasSuffix(m.ClientURLs[0], subject.endpoint) {
		t.Errorf("the member list must let clients find this instance at %s: %+v", subject.endpoint, m)
	}
	subject.must(t, "endpoint", "health", "--cluster")
}

func TestHashIsOneOfItsRevision(t *testing.T) {
	hash := func() (revision string, hash string) {
		out := subject.must(t, "endpoint", "hashkv", "-w", "json")
		match := regexp.MustCompile(`"hash":(\d+)`).FindStringSubmatch(out)
		if match == nil {
			t.Fatalf("no hash in %s", out)
		}
		return match[1], out
	}
	subject.must(t, "put", "hash/a", "1")
	first, _ := hash()
	again, _ := hash()
	subject.must(t, "put", "hash/a", "2")
	changed, _ := hash()
	if first != again || first == changed {
		t.Errorf("hash %s, read again %s, after a write %s", first, again, changed)
	}
	syncRevisions(t)
}

func TestSnapshotIsRefusedWithAReason(t *testing.T) {
	a := subject.etcdctl(t, "", "snapshot", "save", t.TempDir()+"/snapshot.db")
	if a.code == 0 || !strings.Contains(a.err, "Unimplemented") || !strings.Contains(a.err, "back up") {
		t.Errorf("snapshot save must be refused with a message that says what to do instead: %s", a)
	}
}

func TestTooLargeRequestIsRefused(t *testing.T) {
	syncRevisions(t)
	both(t, strings.Repeat("x", 3<<19), "put", "large") // 1.5 MiB and the key
	both(t, strings.Repeat("x", 3<<19-1000), "put", "large")
	commands(t, "get large --keys-only -w json", "del large")
}
