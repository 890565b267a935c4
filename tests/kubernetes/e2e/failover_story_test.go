package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/story"
)

// notCompared parts what is the same in every run from what depends on how busy the machine is.
const notCompared = "what follows differs"

// The whole story of docs/failover-transcript.md, once more: with E2E_RECORD=1 it is
// written down as it is now, else what is printed must have the same shape.
func TestFailoverStory(t *testing.T) {
	failoverOnly(t)
	helium, err := harness.Server("helium", "debug")
	if err != nil {
		t.Fatal(err)
	}
	kubectl, err := harness.Component("kubectl")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(harness.Repository(), "docs", "failover-transcript.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := story.Read(string(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for c, name := range map[*cluster]string{clusters[0]: "newyork", clusters[1]: "sheffield"} {
			if ended, _ := c.agent.Ended(); ended {
				if err := c.agent.Restart(); err != nil {
					t.Error(err)
				}
			}
			if _, err := c.kubectl("", "delete", "multicluster", name, "-n", "default", "--ignore-not-found", "--timeout=60s"); err != nil {
				t.Error(err)
			}
		}
		clusters[0].do(t, "", "delete", "failovergroup", "webfront", "-n", "default", "--ignore-not-found", "--timeout=60s")
	})
	var kubeconfigs []string
	environ := []string{"PATH=" + filepath.Dir(kubectl) + ":" + filepath.Dir(helium) + ":" + os.Getenv("PATH"), "NO_COLOR=1"}
	for i, c := range clusters {
		kubeconfigs = append(kubeconfigs, c.kubeconfig)
		environ = append(environ, fmt.Sprintf("AGENT%d=%d", i+1, c.agent.PID()))
	}
	merged := filepath.Join(t.TempDir(), "kubeconfig")
	environ = append(environ, "KUBECONFIG="+strings.Join(kubeconfigs, ":"))
	one := &story.Story{Steps: []*story.Step{{Command: "kubectl config view --flatten"}}}
	if err := one.Run(".", environ, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(merged, []byte(one.Steps[0].Now), 0o600); err != nil {
		t.Fatal(err)
	}
	environ[len(environ)-1] = "KUBECONFIG=" + merged
	wall := time.Now()
	err = s.Run(harness.Repository(), environ, func(directive string) error {
		if directive == notCompared {
			return nil
		}
		name, ok := strings.CutPrefix(directive, "the agent starts again in ")
		if !ok || named(name) == nil {
			return fmt.Errorf("no such directive")
		}
		return named(name).agent.Restart()
	})
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("E2E_RECORD") == "1" {
		if err := os.WriteFile(path, []byte(s.Told()), 0o644); err != nil {
			t.Fatal(err)
		}
		cast, err := s.Cast(140, 40, wall)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "failover.cast"), cast, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, step := range s.Steps {
		if step.Directive == notCompared {
			break
		}
		if want, now := story.Shape(step.Printed), story.Shape(step.Now); step.Command != "" && want != now {
			t.Errorf("$ %s\nprinted\n%s\nwhich has another shape than\n%s", step.Command, step.Now, step.Printed)
		}
	}
}
