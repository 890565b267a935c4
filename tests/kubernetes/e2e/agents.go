package e2e

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/kubelet"
)

// agentUser is whom the manifests give an agent's rights to.
const agentUser = "system:serviceaccount:helium-system:helium-agent"

// payloadRights are what an agent needs for any payload.
const payloadRights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: helium-agent-payloads}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: helium-agent, namespace: helium-system}]
`

// What the clusters have beside their servers when failover is tested.
var (
	nodes []*kubelet.Kubelet
	seer  *witness
	// observer is the witness's way into the fleet's store, with a way to the database of its own.
	observer     *harness.Store
	observerLink *harness.Link
)

// startFailover gives each cluster an agent and a node, and watches both stores.
func startFailover(env *harness.Env, databaseURL string, progress func(string)) error {
	if err := inParallel(clusters, (*cluster).startAgent); err != nil {
		return err
	}
	if err := inParallel(clusters, func(c *cluster) error { return c.waitAvailable(builtin...) }); err != nil {
		return err
	}
	progress("an agent has registered the fleet's own groups in each")
	manifests := filepath.Join(harness.Repository(), "manifests")
	for _, file := range []string{example("definitions.yaml"), filepath.Join(manifests, "failover", "definition.yaml")} {
		if _, err := clusters[0].kubectl("", "apply", "-f", file); err != nil {
			return err
		}
	}
	multi := groupVersion{"kube-vip.io", "v1alpha1"}
	if err := inParallel(clusters, func(c *cluster) error { return c.waitAvailable(append(shared, multi)...) }); err != nil {
		return err
	}
	progress("MultiClusters are available in all")
	var err error
	if observerLink, err = harness.NewLink(database.Address()); err != nil {
		return err
	}
	if observer, err = env.StartShim("observer", "debug", strings.Replace(databaseURL, database.Address(), observerLink.Address(), 1), setbacks); err != nil {
		return err
	}
	if seer, err = startWitness("http://"+observer.Endpoint, "http://"+hostEndpoint); err != nil {
		return err
	}
	for _, c := range clusters {
		config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
		if err != nil {
			return err
		}
		node, err := kubelet.Start(config, kubelet.Options{Node: "node", Startup: 100 * time.Millisecond, Grace: 0.01, Run: c.work})
		if err != nil {
			return err
		}
		nodes = append(nodes, node)
	}
	return nil
}

// stopFailover ends what startFailover started in this process.
func stopFailover() {
	for _, node := range nodes {
		node.Stop()
	}
	if seer != nil {
		seer.close()
	}
	nodes, seer = nil, nil
}

// startAgent starts the cluster's agent, with the rights of the manifests.
func (c *cluster) startAgent() error {
	path, err := harness.Server("helium-agent", "debug")
	if err != nil {
		return err
	}
	pair, err := c.ca.Issue("helium-agent", agentUser, []string{"system:serviceaccounts", "system:authenticated"}, nil)
	if err != nil {
		return err
	}
	own, err1 := c.way(toOwn, harness.Loopback(c.apiPort))
	fleet, err2 := c.way(toFleet, harness.Loopback(c.heliumPort))
	if err1 != nil || err2 != nil {
		return fmt.Errorf("%v, %v", err1, err2)
	}
	ownConfig, err1 := c.writeKubeconfig("agent", "https://"+own, c.ca.File, pair)
	fleetConfig, err2 := c.writeKubeconfig("agent-fleet", "https://"+fleet, c.servingCA.File, pair)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("%v, %v", err1, err2)
	}
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: helium-system}\n"
	if _, err := c.kubectl(namespace, "apply", "-f", "-"); err != nil {
		return err
	}
	if _, err := c.kubectl("", "apply", "-f", filepath.Join(harness.Repository(), "manifests", "base", "agent-rbac.yaml")); err != nil {
		return err
	}
	if _, err := c.kubectl(payloadRights, "apply", "-f", "-"); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(c.heliumWay)
	if err != nil {
		return err
	}
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: helium-apiserver, namespace: helium-system}\nspec: {type: ExternalName, externalName: localhost}\n"
	if _, err := c.kubectl(service, "apply", "-f", "-"); err != nil {
		return err
	}
	probe, err := harness.FreePort()
	if err != nil {
		return err
	}
	c.agent, err = c.env.Start(harness.Spec{Name: c.name + "-agent", Path: path, Dir: c.dir, Args: []string{
		"--cluster-name=" + c.name, "--kubeconfig=" + ownConfig, "--control-plane-kubeconfig=" + fleetConfig,
		"--service=helium-system/helium-apiserver:" + port, "--ca-file=" + c.servingCA.File,
		"--leader-elect=false", "--probe-address=" + harness.Loopback(probe),
	}, Environ: []string{"HELIUM_AGENT_STATE_DIR=" + filepath.Join(c.dir, "agent-state")}})
	return err
}

// pauseAgent stops the agent's process as it stands, and wakes it up.
func (c *cluster) pauseAgent() error  { return c.agent.Signal(syscall.SIGSTOP) }
func (c *cluster) resumeAgent() error { return c.agent.Signal(syscall.SIGCONT) }
