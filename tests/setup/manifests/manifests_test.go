// Package manifests checks what is to be installed where no container can run: manifests and yugabyte against a real
// kube-apiserver (strict field validation, defaulting, validation, admission with Pod Security; nothing is stored), the
// flags in them against our programs, the database's SQL against a real PostgreSQL, kind's configuration against the
// real kind.
//
// tests/setup/processes_test.sh runs it, on the clusters of setup.sh --processes. It needs SETUP_KUBECONFIG
// (an administrator's), SETUP_HOST_KUBECONFIG (helium-apiserver's in the same cluster), SETUP_DATABASE (a superuser's libpq
// connection string), HELIUM_BIN and HELIUM_SERVERS.
package manifests

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

// certManager is a published Go module that holds cert-manager's CustomResourceDefinitions.
const certManager = "github.com/cert-manager/cert-manager@v1.21.2"

func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run tests/setup/run.sh", name)
	}
	return value
}

// command runs a program and returns its standard output; what it writes to standard error fails the test if it is a
// warning, or if the program fails.
func command(t *testing.T, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = bytes.NewReader(stdin)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, errs.String())
	}
	if strings.Contains(errs.String(), "Warning") {
		t.Fatalf("%s %s:\n%s", filepath.Base(name), strings.Join(args, " "), errs.String())
	}
	return out.Bytes()
}

func kubectl(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	args = append([]string{"--kubeconfig", setting(t, "SETUP_KUBECONFIG")}, args...)
	return command(t, stdin, filepath.Join(setting(t, "HELIUM_BIN"), "kubectl"), args...)
}

type object struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Template struct {
			Spec json.RawMessage `json:"spec"`
		} `json:"template"`
		VolumeClaimTemplates []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		} `json:"volumeClaimTemplates"`
	} `json:"spec"`
}

type podSpec struct {
	Containers []struct {
		Name         string   `json:"name"`
		Args         []string `json:"args"`
		VolumeMounts []struct {
			MountPath string `json:"mountPath"`
		} `json:"volumeMounts"`
	} `json:"containers"`
}

// render returns what a folder's kustomization makes, as text and as objects.
func render(t *testing.T, folder string) ([]byte, []object) {
	t.Helper()
	text := kubectl(t, nil, "kustomize", filepath.Join(root(), folder))
	var objects []object
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var o object
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatalf("%s: %v\n%s", folder, err, document)
		}
		objects = append(objects, o)
	}
	return text, objects
}

func dryRun(t *testing.T, text []byte, count int) {
	t.Helper()
	out := kubectl(t, text, "apply", "--dry-run=server", "--validate=strict", "-f", "-")
	if got := strings.Count(string(out), "(server dry run)"); got != count {
		t.Errorf("%d objects of %d were accepted:\n%s", got, count, out)
	}
}

// podsAdmitted checks that pods of the workloads would be let in: a Deployment is accepted even if its pods never are.
func podsAdmitted(t *testing.T, objects []object) {
	t.Helper()
	for _, o := range objects {
		if len(o.Spec.Template.Spec) == 0 {
			continue
		}
		var spec map[string]any
		if err := json.Unmarshal(o.Spec.Template.Spec, &spec); err != nil {
			t.Fatal(err)
		}
		// The StatefulSet's controller would put claims in the place of these.
		volumes, _ := spec["volumes"].([]any)
		for _, claim := range o.Spec.VolumeClaimTemplates {
			volumes = append(volumes, map[string]any{"name": claim.Metadata.Name, "emptyDir": map[string]any{}})
		}
		spec["volumes"] = volumes
		pod, err := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "Pod", "spec": spec,
			"metadata": map[string]any{"name": "pod", "namespace": o.Metadata.Namespace},
		})
		if err != nil {
			t.Fatal(err)
		}
		kubectl(t, pod, "create", "--dry-run=server", "--validate=strict", "-f", "-")
	}
}

func TestManifestsAreAcceptedByARealServer(t *testing.T) {
	for _, folder := range []string{
		"manifests/base", "manifests/overlays/postgres", "manifests/overlays/yugabyte", "manifests/overlays/single-cluster",
		"yugabyte/h1", "yugabyte/h2", "yugabyte/h3", "yugabyte/database",
	} {
		t.Run(folder, func(t *testing.T) {
			if strings.HasPrefix(folder, "yugabyte") {
				namespace(t, "yugabyte/base/namespace.yaml")
			}
			text, objects := render(t, folder)
			dryRun(t, text, len(objects))
			podsAdmitted(t, objects)
		})
	}
}

// namespace makes the namespace that a dry run of objects in it needs; helium-system is there already.
func namespace(t *testing.T, file string) {
	t.Helper()
	kubectl(t, nil, "apply", "-f", filepath.Join(root(), file))
}

func TestCertManagerOverlayIsAcceptedByARealServer(t *testing.T) {
	out := command(t, nil, "go", "mod", "download", "-json", certManager)
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"certificates", "issuers"} {
		file := filepath.Join(module.Dir, "deploy", "crds", "cert-manager.io_"+kind+".yaml")
		kubectl(t, nil, "apply", "--server-side", "-f", file)
		kubectl(t, nil, "wait", "--for=condition=Established", "--timeout=30s", "crd/"+kind+".cert-manager.io")
	}
	text, objects := render(t, "manifests/overlays/cert-manager")
	dryRun(t, text, len(objects))
}

// The policy is what keeps the agent's right to write ClusterRoles from being a right to everything.
func TestAgentCanWriteNothingButItsOwn(t *testing.T) {
	kubectl(t, nil, "get", "validatingadmissionpolicybinding", "helium-agent") // setup.sh applies agent-rbac.yaml
	role := func(name, label, rules string) string {
		return "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: '" + name + "', labels: {" + label + "}}\n" + rules
	}
	service := func(group, namespace, label string) string {
		return "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: v1." + group + ", labels: {" + label + "}}\n" +
			"spec: {group: " + group + ", version: v1, groupPriorityMinimum: 1000, versionPriority: 100, insecureSkipTLSVerify: true, " +
			"service: {namespace: " + namespace + ", name: x}}"
	}
	const ours, rule = "app.kubernetes.io/managed-by: helium", "rules: [{apiGroups: [a.example.com], resources: [x], verbs: ['*']}]"
	for name, test := range map[string]struct{ text, refusal string }{
		"a role for a shared group":        {role("helium:a.example.com:admin", ours, rule), ""},
		"a registration":                   {service("a.example.com", "helium-system", ours), ""},
		"a role without our label":         {role("helium:a.example.com:admin", "a: b", rule), "managed-by=helium"},
		"a role of another name":           {role("helper", ours, rule), "writes only ClusterRoles named"},
		"a role for more than its group":   {role("helium:a.example.com:view", ours, "rules: [{apiGroups: [''], resources: [secrets], verbs: ['*']}]"), "for that group alone"},
		"a role for paths":                 {role("helium:a.example.com:view", ours, "rules: [{nonResourceURLs: ['/*'], verbs: ['*']}]"), "for that group alone"},
		"a role that gathers others":       {role("helium:a.example.com:view", ours, "aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}"), "for that group alone"},
		"a role for a group of Kubernetes": {role("helium:apps:view", ours, "rules: [{apiGroups: [apps], resources: [deployments], verbs: ['*']}]"), "groups of Kubernetes"},
		"a registration in Kubernetes":     {service("metrics.k8s.io", "helium-system", ours), "groups of Kubernetes"},
		"a registration elsewhere":         {service("a.example.com", "default", ours), "a Service of helium-system"},
	} {
		t.Run(name, func(t *testing.T) {
			c := exec.Command(filepath.Join(setting(t, "HELIUM_BIN"), "kubectl"), "--kubeconfig", setting(t, "SETUP_KUBECONFIG"),
				"--as=system:serviceaccount:helium-system:helium-agent", "create", "--dry-run=server", "-f", "-")
			c.Stdin = strings.NewReader(test.text)
			out, err := c.CombinedOutput()
			if test.refusal == "" && err != nil {
				t.Errorf("refused: %s", out)
			}
			if test.refusal != "" && (err == nil || !strings.Contains(string(out), test.refusal)) {
				t.Errorf("expected a refusal with %q, got %v: %s", test.refusal, err, out)
			}
		})
	}
}

func TestFlagsInManifestsAreFlagsOfThePrograms(t *testing.T) {
	checked := 0
	for _, folder := range []string{"manifests/overlays/postgres", "manifests/overlays/single-cluster"} {
		_, objects := render(t, folder)
		for _, o := range objects {
			var spec podSpec
			if o.Kind != "Deployment" || json.Unmarshal(o.Spec.Template.Spec, &spec) != nil {
				continue
			}
			for _, container := range spec.Containers {
				help := string(command(t, nil, filepath.Join(setting(t, "HELIUM_SERVERS"), container.Name), "--help"))
				for _, argument := range container.Args {
					flag, value, _ := strings.Cut(argument, "=")
					if !regexp.MustCompile(`(?m)^\s+(-\w, )?` + flag + `( |$)`).MatchString(help) {
						t.Errorf("%s: %s has no flag %s", folder, container.Name, flag)
					}
					checked++
					// A file that is named has to be on a mounted volume.
					if strings.HasPrefix(value, "/etc/helium/") && !mounted(container.VolumeMounts, value) {
						t.Errorf("%s: %s is told to read %s, which isn't mounted", folder, container.Name, value)
					}
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d flags were looked at", checked)
	}
}

func mounted(mounts []struct {
	MountPath string `json:"mountPath"`
}, file string) bool {
	for _, mount := range mounts {
		if filepath.Dir(file) == mount.MountPath {
			return true
		}
	}
	return false
}

func TestDatabaseSQLCanBeRunTwiceAndGivesNobodyElseAccess(t *testing.T) {
	database := setting(t, "SETUP_DATABASE")
	file := filepath.Join(root(), "yugabyte", "database", "database.sql")
	// setup.sh has a database helium, in which each cluster has a role: another pair for the test.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("helium", "helium_second").Replace(string(text))
	for _, password := range []string{"first'; password", "second\" password"} {
		t.Setenv("HELIUM_PASSWORD", password)
		command(t, []byte(other), "psql", "--no-psqlrc", "--quiet", "--dbname", database, "--file=-")
		t.Setenv("PGPASSWORD", password)
		out := command(t, nil, "psql", "--no-psqlrc", "-At", "-d", database+" user=helium_second dbname=helium_second passfile=/dev/null",
			"-c", "CREATE TABLE IF NOT EXISTS t (a int); SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
		if got := strings.TrimSpace(string(out)); !strings.HasSuffix(got, "f") {
			t.Errorf("the role has rights beyond its database: %s", got)
		}
		os.Unsetenv("PGPASSWORD")
	}
	out := command(t, nil, "psql", "--no-psqlrc", "-At", "-d", database, "-c",
		"SELECT has_database_privilege('helium_cluster1', 'helium_second', 'CONNECT')")
	if got := strings.TrimSpace(string(out)); got != "f" {
		t.Errorf("another role may connect: %s", got)
	}
}

// standIn answers what kind asks of docker before it starts a node, writes each call to a log, and starts none.
const standIn = `#!/bin/sh
echo "$*" >>"$DOCKER_LOG"
case "$1" in
version) echo 28.0.0 ;;
info) echo '{"CgroupDriver":"systemd","CgroupVersion":"2","MemoryLimit":true,"PidsLimit":true,"CPUShares":true}' ;;
network) echo kind ;;
run) exit 1 ;;
esac
`

// The real kind reads our configuration and goes as far as one can without a container engine.
func TestKindAcceptsTheConfigurationOfEachCluster(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(standIn), 0o755); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "kind")
	command(t, nil, "go", "build", "-o", binary, "sigs.k8s.io/kind")
	log := filepath.Join(dir, "log")
	t.Setenv("DOCKER_LOG", log)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	for _, name := range []string{"h1", "h2", "h3"} {
		c := exec.Command(binary, "create", "cluster", "--name", name, "--config", filepath.Join(root(), "kind-config", name+".yaml"),
			"--image", "node:image", "--kubeconfig", filepath.Join(dir, "kubeconfig"))
		out, err := c.CombinedOutput()
		calls, readErr := os.ReadFile(log)
		if readErr != nil {
			t.Fatalf("%v\n%s", readErr, out)
		}
		// It ends with an error, since no node was started; but with that one.
		if err == nil || !strings.Contains(string(calls), "run --name "+name+"-control-plane ") {
			t.Errorf("%s: kind did not get to its node: %v\n%s", name, err, out)
		}
	}
}

func TestSubnetsOfTheClustersAreDistinct(t *testing.T) {
	subnets := map[string]string{}
	for _, name := range []string{"h1", "h2", "h3"} {
		text, err := os.ReadFile(filepath.Join(root(), "kind-config", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var cluster kind.Cluster
		if err := yaml.UnmarshalStrict(text, &cluster); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, subnet := range []string{cluster.Networking.PodSubnet, cluster.Networking.ServiceSubnet} {
			if former, taken := subnets[subnet]; subnet == "" || taken {
				t.Errorf("subnet %q of %s is that of %s", subnet, name, former)
			}
			subnets[subnet] = name
		}
	}
}
