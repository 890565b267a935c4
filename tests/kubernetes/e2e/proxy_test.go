package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helium.dev/tests/harness"
)

// fleetPath is what a client appends to its own cluster's server URL to reach
// everything that the clusters share.
const fleetPath = "/apis/helium.dev/v1/controlplanes/fleet/proxy"

// electors is a ServiceAccount with the rights that an election through the
// control plane's proxy takes, the way in and the leases behind it, and with
// those of an ordinary controller.
const electors = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: elector, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: fleet-elector}
rules:
- {apiGroups: [helium.dev], resources: [controlplanes/proxy], resourceNames: [fleet], verbs: [get, create, update, patch]}
- {apiGroups: [coordination.helium.dev], resources: [leases], verbs: [get, create, update]}
- {apiGroups: [coordination.helium.dev], resources: [leasecandidates], verbs: [get, list, watch, create, update]}
- {apiGroups: [helium.dev], resources: [events], verbs: [create, patch]}
- {apiGroups: [innsmouth.example.com], resources: [festivals], verbs: [get, list, watch, patch]}
- {apiGroups: ["", events.k8s.io], resources: [events], verbs: [create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: fleet-elector}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: fleet-elector}
subjects: [{kind: ServiceAccount, name: elector, namespace: default}]
`

// accountKubeconfig writes a kubeconfig with a ServiceAccount's token, whose
// server is the cluster's own kube-apiserver with a path appended.
func (c *cluster) accountKubeconfig(t *testing.T, account, path string) string {
	t.Helper()
	token, err := c.kubectl("", "create", "token", account, "-n", "default", "--duration=6h")
	if err != nil {
		t.Fatal(err)
	}
	way := "own"
	if path != "" {
		way = "fleet"
	}
	file := filepath.Join(c.dir, account+"-"+way+".kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: fleet
contexts: [{name: fleet, context: {cluster: fleet, user: account}}]
clusters: [{name: fleet, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: account, user: {token: %q}}]
`, "https://"+c.apiWay+path, c.ca.File, strings.TrimSpace(token))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// An unmodified client-go candidate in each cluster, with its ServiceAccount's
// token and its own kube-apiserver's address, elects one leader of all
// clusters: only the server URL is another than in a cluster of its own.
func TestElectionThroughTheControlPlanesProxy(t *testing.T) {
	kubeconfigs := map[string]string{}
	for _, c := range clusters {
		if _, err := c.kubectl(electors, "apply", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		kubeconfigs[c.name] = c.accountKubeconfig(t, "elector", fleetPath)
	}
	r := startRace(t, "election-proxy", "coordination.k8s.io", func(c *cluster) string { return kubeconfigs[c.name] })
	r.killLeadersAndFinish(t)
}

// An ordinary controller-runtime program, one manager in each cluster with its
// ServiceAccount's token: only LeaderElectionConfig knows of the fleet. The
// leader, and it alone, does the work, whichever cluster it was given in.
func TestManagersOfThreeClustersElectOne(t *testing.T) {
	own := map[string]string{}
	for _, c := range clusters {
		if _, err := c.kubectl(electors, "apply", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		own[c.name] = c.accountKubeconfig(t, "elector", "")
	}
	r := startProgram(t, "manager", "managers", func(c *cluster) []string {
		return []string{"--own", own[c.name], "--election-path", fleetPath, "--name", "managers", "--identity", c.name}
	})
	for round := range 3 {
		leader := r.waitForLeader(t, nil)
		name := fmt.Sprint("managed-", round)
		work := fmt.Sprintf(`{apiVersion: innsmouth.example.com/v1, kind: Festival, metadata: {name: %s, namespace: default}, spec: {year: 1928}}`, name)
		if _, err := clusters[round].kubectl(work, "create", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		err := harness.WaitFor("the leader does the work", startBound, func() error {
			seen, err := clusters[0].kubectl("", "get", "festival", name, "-o", `jsonpath={.metadata.annotations.example\.com/seen-by}`)
			if err == nil && seen != "" && seen != leader.name {
				return &harness.FinalError{Err: fmt.Errorf("%s did it, and %s leads", seen, leader.name)}
			}
			if err == nil && seen == "" {
				err = fmt.Errorf("nobody did it yet")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := clusters[0].kubectl("", "delete", "festival", name); err != nil {
			t.Error(err)
		}
		if round == 2 {
			r.finish(t, leader, 3)
			return
		}
		leader.kill(t)
	}
}

// behind writes the administrator's kubeconfig for what the clusters share.
func (c *cluster) behind(t *testing.T) string {
	t.Helper()
	admin, err := os.ReadFile(c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(c.dir, "behind.kubeconfig")
	server := "https://" + harness.Loopback(c.apiPort)
	text := strings.ReplaceAll(string(admin), server, server+fleetPath)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const crd = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shoggoths.innsmouth.example.org}
spec:
  group: innsmouth.example.org
  scope: Namespaced
  names: {plural: shoggoths, kind: Shoggoth, shortNames: [sh]}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {eyes: {type: integer}}}}}}
`

// What tools write for a cluster of their own declares a shared kind behind
// the proxy: kubectl apply and wait, as anywhere, in one cluster, and the
// objects are there in another.
func TestCustomResourceDefinitionsBehindTheProxy(t *testing.T) {
	one, other := clusters[0].behind(t), clusters[1].behind(t)
	do := func(kubeconfig, stdin string, args ...string) string {
		t.Helper()
		out, err := kubectl(kubeconfig, stdin, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	do(one, crd, "apply", "-f", "-")
	do(one, "", "wait", "--for=condition=Established", "crd/shoggoths.innsmouth.example.org", "--timeout=20s")
	if out := do(one, crd, "apply", "-f", "-"); !strings.Contains(out, "unchanged") {
		t.Errorf("applied again: %s", out)
	}
	changed := strings.Replace(crd, "shortNames: [sh]", "shortNames: [sh, shog]", 1)
	if out := do(other, changed, "apply", "-f", "-"); !strings.Contains(out, "configured") {
		t.Errorf("applied with a change: %s", out)
	}
	shoggoth := `{apiVersion: innsmouth.example.org/v1, kind: Shoggoth, metadata: {name: tekeli, namespace: default}, spec: {eyes: 7}}`
	do(one, shoggoth, "apply", "-f", "-")
	if eyes := do(other, "", "get", "shog", "tekeli", "-n", "default", "-o", "jsonpath={.spec.eyes}"); eyes != "7" {
		t.Errorf("the other cluster sees %q eyes", eyes)
	}
	scope := clusters[2].do(t, "", "get", "srd", "shoggoths.innsmouth.example.org", "-o", "jsonpath={.spec.sharing.scope}")
	if scope != "Fleet" {
		t.Errorf("the definition is shared as %q", scope)
	}
	// The cluster's own definitions are others.
	if out, err := clusters[0].kubectl("", "get", "crd", "shoggoths.innsmouth.example.org"); err == nil {
		t.Errorf("the cluster itself has it: %s", out)
	}
	do(one, "", "delete", "crd", "shoggoths.innsmouth.example.org", "--timeout=30s")
	if out, err := clusters[2].kubectl("", "get", "srd", "shoggoths.innsmouth.example.org"); err == nil {
		t.Errorf("it is still there: %s", out)
	}
}

// kubectl reads and writes what is behind the proxy, watches last there, and
// rights to the way in give none to what is behind it.
func TestControlPlanesProxy(t *testing.T) {
	c, other := clusters[0], clusters[1]
	through := c.accountKubeconfig(t, "default", fleetPath)
	_, err := kubectl(through, "", "get", "leases", "-n", "default")
	if err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("without any rights: %v", err)
	}
	way := []string{"create", "clusterrole", "fleet-way", "--verb=*", "--resource=controlplanes.helium.dev/proxy"}
	if _, err := c.kubectl("", way...); err != nil {
		t.Fatal(err)
	}
	bind := []string{"create", "clusterrolebinding", "fleet-way", "--clusterrole=fleet-way", "--serviceaccount=default:default"}
	if _, err := c.kubectl("", bind...); err != nil {
		t.Fatal(err)
	}
	err = harness.WaitFor("the way in is open and leads no further", startBound, func() error {
		_, err := kubectl(through, "", "get", "leases", "-n", "default")
		if err == nil {
			return &harness.FinalError{Err: fmt.Errorf("leases were listed without the right to them")}
		}
		if !strings.Contains(err.Error(), "leases.coordination.helium.dev is forbidden") {
			return err
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}

	behind := c.behind(t)
	lease := `{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: behind, namespace: default}, spec: {holderIdentity: me}}`
	if out, err := kubectl(behind, lease, "create", "-f", "-"); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	holder, err := other.kubectl("", "get", "leases.coordination.helium.dev", "behind", "-o", "jsonpath={.spec.holderIdentity}")
	if err != nil || holder != "me" {
		t.Errorf("%s sees holder %q: %v", other.name, holder, err)
	}
	if out, err := kubectl(behind, "", "wait", "--for=delete", "lease/behind", "--timeout=1s"); err == nil {
		t.Errorf("a watch behind the proxy saw a deletion that wasn't: %s", out)
	}
	resources, err := kubectl(behind, "", "api-resources", "-o", "name")
	if err != nil || !strings.Contains(resources, "leases.coordination.k8s.io") {
		t.Errorf("api-resources behind the proxy: %v\n%s", err, resources)
	}
	if _, err := kubectl(behind, "", "delete", "lease", "behind"); err != nil {
		t.Error(err)
	}
}
