package harness

import "testing"

func TestStandbyHasWhatWasAcknowledgedWhenItTakesOver(t *testing.T) {
	if _, err := postgresBin(); err != nil {
		t.Skip(err)
	}
	env, err := NewEnv("standby")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close(t.Failed()) })
	primary, err := env.StartPostgres("first")
	if err != nil {
		t.Fatal(err)
	}
	if err := primary.SQL("postgres", "CREATE TABLE t (n int)"); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"second", "third"} {
		standby, err := primary.StartStandby(env, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := primary.SQL("postgres", "INSERT INTO t VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		primary.Kill()
		if err := standby.Promote(); err != nil {
			t.Fatal(err)
		}
		if err := standby.SQL("postgres", "INSERT INTO t VALUES (2)"); err != nil {
			t.Fatal(err)
		}
		if n, err := standby.Query("postgres", "SELECT count(*) FROM t"); err != nil || n != []string{"2", "4"}[i] {
			t.Errorf("%s has %s rows, %v", name, n, err)
		}
		primary = standby
	}
}
