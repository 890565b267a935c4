package e2e

import (
	"fmt"
	"testing"
	"time"
)

// The database dies and its standby takes over, under the same address: every
// cluster reads and writes as before, and no watch has a gap.
func TestFailoverOfTheStoreItself(t *testing.T) {
	failoverOnly(t)
	for i, c := range clusters {
		c.do(t, festival(fmt.Sprintf("survives-%d", i), "1"), "create", "-f", "-")
	}
	if err := failStoreOver(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for i, c := range clusters {
		err := persist([]*cluster{c}, startBound, func(c *cluster) error {
			_, err := kubectl(c.direct, festival(fmt.Sprintf("after-%d", i), "2"), "apply", "-f", "-")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("all clusters wrote again after %v", time.Since(began))
	if _, err := seer.complete(time.Minute); err != nil {
		t.Error(err)
	}
	for i, c := range clusters {
		c.do(t, "", "delete", "festival", fmt.Sprintf("survives-%d", (i+1)%3), fmt.Sprintf("after-%d", i), "-n", "default")
	}
}
