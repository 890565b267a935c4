package manifests

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The names that certificates and arguments have in a cluster.
const (
	apiserverName = "helium-apiserver.helium-system.svc"
	shimName      = "kine-shim.helium-system.svc"
)

// kine-shim and helium-apiserver start with the very arguments of the manifests and the certificates of
// scripts/cluster-secrets.sh, and trust each other by them; who has none, or one for another purpose, stays outside.
// Only folders, ports and the address of the host cluster differ from what pods would have.
func TestServersRunWithTheArgumentsAndCertificatesOfPods(t *testing.T) {
	dir := t.TempDir()
	command(t, nil, filepath.Join(root(), "scripts", "cluster-secrets.sh"), "berlin", dir)
	mounts := mountSecrets(t, dir)
	ports := map[string]string{":8080": freePort(t), ":2379": freePort(t), "8443": freePort(t)}
	arguments := podArguments(t)

	shim := rewrite(arguments["kine-shim"], mounts["kine-shim"],
		"0.0.0.0:2379", "127.0.0.1"+ports[":2379"], "address=:8080", "address=127.0.0.1"+ports[":8080"], "$(POD_NAME)", "kine-shim-0")
	start(t, dir, "kine-shim", []string{"KINE_ENDPOINT=sqlite://" + filepath.Join(dir, "state.db")}, shim...)
	// What the probes of the manifest ask, on the port that they ask.
	for _, path := range []string{"/livez", "/readyz"} {
		waitFor(t, "kine-shim's probe "+path, func() error { return get(http.DefaultClient, "http://127.0.0.1"+ports[":8080"]+path) })
	}
	store := filepath.Join(dir, "store-ca.crt")
	shimURL := "https://" + shimName + ports[":2379"] + "/health"
	if err := get(client(t, store, filepath.Join(dir, "store-client")), shimURL); err != nil {
		t.Errorf("a member's certificate: %v", err)
	}
	for name, pair := range map[string]string{"none": "", "that of helium-apiserver's serving": filepath.Join(dir, "helium-apiserver")} {
		if err := get(client(t, store, pair), shimURL); err == nil {
			t.Errorf("kine-shim answers to whom has no certificate for it (%s)", name)
		}
	}

	host := setting(t, "SETUP_HOST_KUBECONFIG")
	apiserver := rewrite(arguments["helium-apiserver"], mounts["helium-apiserver"],
		"--secure-port=8443", "--secure-port="+ports["8443"][1:], shimName+":2379", shimName+ports[":2379"],
		"$(CLUSTER_NAME)", "berlin", "delay-duration=10s", "delay-duration=0s")
	start(t, dir, "helium-apiserver", nil, append(apiserver, "--kubeconfig="+host, "--bind-address=127.0.0.1")...)
	direct := client(t, filepath.Join(dir, "helium-ca.crt"), "")
	for _, path := range []string{"/livez", "/readyz"} {
		waitFor(t, "helium-apiserver's "+path, func() error { return get(direct, "https://"+apiserverName+ports["8443"]+path) })
	}

	// The agent's service account, by its token and the rights of agent-rbac.yaml, may read definitions and no more.
	// Its ServiceAccount isn't there yet: setup.sh needs none.
	account := "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: helium-agent, namespace: helium-system}\n"
	kubectl(t, []byte(account), "apply", "-f", "-")
	token := strings.TrimSpace(string(kubectl(t, nil, "create", "token", "helium-agent", "-n", "helium-system")))
	for path, allowed := range map[string]bool{
		"/apis/helium.dev/v1/sharedresourcedefinitions": true,
		"/apis/helium.dev/v1/failovergroups":            true,
		"/apis/coordination.helium.dev/v1/leases":       true, // those of failover groups, wherever they are
		"/apis/helium.dev/v1/jointokens":                false,
	} {
		request, err := http.NewRequest(http.MethodGet, "https://"+apiserverName+ports["8443"]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := direct.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		expected := map[bool]int{true: http.StatusOK, false: http.StatusForbidden}[allowed]
		if response.StatusCode != expected {
			t.Errorf("the agent gets %s of %s, expected %d: %s", response.Status, path, expected, body)
		}
	}
}

// podArguments returns the arguments of each container in the manifests.
func podArguments(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	_, objects := render(t, "manifests/overlays/single-cluster")
	for _, o := range objects {
		var spec podSpec
		if o.Kind == "Deployment" && json.Unmarshal(o.Spec.Template.Spec, &spec) == nil {
			for _, container := range spec.Containers {
				all[container.Name] = container.Args
			}
		}
	}
	return all
}

// mountSecrets lays the certificates out as the volumes of each program have them: replacements of their paths.
func mountSecrets(t *testing.T, dir string) map[string][]string {
	t.Helper()
	mounts := map[string][]string{}
	for _, m := range []struct{ program, volume, pair, authority string }{
		{"kine-shim", "tls", "kine-shim", "store-ca"},
		{"helium-apiserver", "tls", "helium-apiserver", "helium-ca"},
		{"helium-apiserver", "store", "store-client", "store-ca"},
	} {
		folder := filepath.Join(dir, m.program+"-"+m.volume)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, source := range map[string]string{"tls.crt": m.pair + ".crt", "tls.key": m.pair + ".key", "ca.crt": m.authority + ".crt"} {
			if err := os.Symlink(filepath.Join(dir, source), filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
		mounts[m.program] = append(mounts[m.program], "/etc/helium/"+m.volume, folder)
	}
	return mounts
}

func rewrite(arguments, mounts []string, replacements ...string) []string {
	replacer := strings.NewReplacer(append(mounts, replacements...)...)
	var all []string
	for _, argument := range arguments {
		all = append(all, replacer.Replace(argument))
	}
	return all
}

// start runs one of our programs where the cluster's names lead to this machine: in a mount namespace of its own, with
// another hosts file. It ends with the test.
func start(t *testing.T, dir, program string, environ []string, args ...string) {
	t.Helper()
	hosts := filepath.Join(dir, "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost "+apiserverName+" "+shimName+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	unshare := []string{"--mount"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--map-root-user")
	}
	unshare = append(unshare, "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, hosts, filepath.Join(setting(t, "HELIUM_SERVERS"), program))
	c := exec.Command("unshare", append(unshare, args...)...)
	var log bytes.Buffer
	c.Stdout, c.Stderr = &log, &log
	c.Env = append(os.Environ(), environ...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatalf("%s: %v (it needs unshare, of util-linux)", program, err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
		if t.Failed() {
			text := log.String()
			t.Logf("%s %s\n%s", program, strings.Join(args, " "), text[max(0, len(text)-3000):])
		}
	})
}

// client trusts one authority, shows a certificate if pair isn't empty, and finds every name on this machine.
func client(t *testing.T, authority, pair string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(text)
	if pair != "" {
		certificate, err := tls.LoadX509KeyPair(pair+".crt", pair+".key")
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	transport := &http.Transport{TLSClientConfig: config}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func get(client *http.Client, url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	return nil
}

func waitFor(t *testing.T, what string, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// freePort returns ":port" of a port that nobody listened on a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return fmt.Sprintf(":%d", listener.Addr().(*net.TCPAddr).Port)
}
