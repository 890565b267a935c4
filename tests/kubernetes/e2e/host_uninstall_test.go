package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// heliumAPIServices are the names of the APIServices that lead to our server.
func (c *cluster) heliumAPIServices(t *testing.T) []string {
	t.Helper()
	return strings.Fields(c.do(t, "", "get", "apiservices", "-o",
		`jsonpath={range .items[?(@.spec.service.namespace=="helium-system")]}{.metadata.name}{"\n"}{end}`))
}

// Uninstalled in the order that docs/install.md gives (APIServices, then our
// namespace), we leave nothing in the cluster and block nothing, though our
// server is gone: namespaces are deleted, OpenAPI is whole. What is shared stays
// for the others; installed again, the cluster has it again.
func TestUninstallLeavesNothingAndBlocksNothing(t *testing.T) {
	c := clusters[2]
	clusters[0].do(t, festival("survivor", "9"), "apply", "-f", "-")
	c.do(t, "", "create", "namespace", "zobna")
	c.do(t, strings.Replace(festival("there", "9"), "default", "zobna", 1), "create", "-f", "-")
	before := c.waitOpenAPI(t, "innsmouth.example.com/v1/Festival", true)

	services := c.heliumAPIServices(t)
	if len(services) < len(builtin)+len(shared) {
		t.Fatalf("only %v are registered", services)
	}
	var groups []groupVersion
	for _, name := range services {
		version, group, _ := strings.Cut(name, ".")
		groups = append(groups, groupVersion{group, version})
	}
	c.do(t, "", append([]string{"delete", "apiservices"}, services...)...)
	c.do(t, "", "delete", "namespace", "helium-system", "--timeout=90s")
	c.helium.Kill()
	restore := func() {
		if err := c.helium.Restart(); err != nil {
			t.Fatal(err)
		}
		if err := c.waitHelium(); err != nil {
			t.Fatal(err)
		}
		if err := c.register(groups...); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { restore() }()

	if left := c.heliumAPIServices(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	c.do(t, "", "delete", "namespace", "zobna", "--timeout=60s")
	found, err := c.discovered()
	if err != nil {
		t.Errorf("discovery is not whole: %v", err)
	}
	for resource := range found {
		for _, group := range groups {
			if resource.Group == group.Group {
				t.Errorf("%v is still discovered", resource)
			}
		}
	}
	after := c.waitOpenAPI(t, "innsmouth.example.com/v1/Festival", false)
	for _, kind := range before.kinds {
		ours := strings.Contains(kind, "helium.dev/") || strings.Contains(kind, "example.com/")
		if slices.Contains(after.kinds, kind) == ours {
			t.Errorf("%s: ours %v, there %v", kind, ours, !ours)
		}
	}
	if got := clusters[1].do(t, "", "get", "festival", "survivor", "-n", "default", "-o", "jsonpath={.spec.year}"); got != "9" {
		t.Errorf("the shared object is %q for the others", got)
	}
	_, err = c.kubectl("", "get", "festivals.innsmouth.example.com", "-n", "default")
	if err == nil || !strings.Contains(fmt.Sprint(err), "the server doesn't have a resource type") {
		t.Errorf("the kind is still known: %v", err)
	}

	restore()
	restore = func() {}
	if got := c.do(t, "", "get", "festival", "survivor", "-n", "default", "-o", "jsonpath={.spec.year}"); got != "9" {
		t.Errorf("installed again, the cluster sees %q", got)
	}
	clusters[0].do(t, "", "delete", "festival", "survivor", "-n", "default")
	clusters[0].do(t, "", "delete", "festival", "there", "-n", "zobna")
}
