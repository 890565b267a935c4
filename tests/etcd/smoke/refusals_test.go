package smoke

import (
	"strings"
	"testing"
)

// What a store over SQL can't do is refused at once, with a reason; nothing
// hangs, and the server serves on.
func TestWhatIsNotServedIsRefused(t *testing.T) {
	for _, line := range []string{
		"member add other --peer-urls=http://127.0.0.1:1", "member remove 1", "member update 1 --peer-urls=http://127.0.0.1:1", "member promote 1",
		"move-leader 1", "downgrade validate 3.6", "auth enable", "user list", "role list",
	} {
		a := subject.etcdctl(t, "", strings.Fields(line)...)
		if a.code == 0 || strings.TrimSpace(a.err) == "" || strings.Contains(a.err, "deadline") || strings.Contains(a.err, "panic") {
			t.Errorf("etcdctl %s: %s", line, a)
		}
		t.Logf("etcdctl %s: %s", line, strings.TrimSpace(a.err))
	}
	subject.must(t, "endpoint", "health")
}
