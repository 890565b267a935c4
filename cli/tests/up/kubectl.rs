//! With a real kubectl, the one in the folder that `HELIUM_BIN` names (`tests/build.sh kubernetes` builds it).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Up, refused};

/// The longest that anything may take.
const BOUND: Duration = Duration::from_secs(30);
const UID_AND_VERSION: &str = "jsonpath={.metadata.uid} {.metadata.resourceVersion}";

struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: TempDir,
}

impl Kubectl {
    fn new(data: &Path) -> Self {
        let folder = std::env::var_os("HELIUM_BIN").expect(
            "HELIUM_BIN names the folder with kubectl; tests/build.sh kubernetes builds it",
        );
        let program = Path::new(&folder).join("kubectl");
        assert!(program.is_file(), "{} is missing", program.display());
        Self {
            program,
            kubeconfig: data.join("kubeconfig"),
            home: TempDir::new().expect("a folder"),
        }
    }

    fn command(&self, cluster: &str, line: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBE_EDITOR", "sed -i s/1928/1929/")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .args(["--context", cluster])
            .args(line)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a line; whether it succeeded, standard output, standard error.
    fn run(&self, cluster: &str, line: &[&str]) -> (bool, String, String) {
        let output = self
            .command(cluster, line)
            .arg("--request-timeout=20s")
            .output()
            .expect("kubectl runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    #[track_caller]
    fn ok(&self, cluster: &str, line: &[&str]) -> String {
        let (done, stdout, stderr) = self.run(cluster, line);
        assert!(done, "kubectl {}: {stderr}", line.join(" "));
        stdout
    }

    #[track_caller]
    fn refused(&self, cluster: &str, line: &[&str]) -> String {
        let (done, stdout, stderr) = self.run(cluster, line);
        assert!(!done, "kubectl {}: {stdout}", line.join(" "));
        stderr
    }

    #[track_caller]
    fn apply(&self, cluster: &str, manifest: &str) -> String {
        let mut child = self
            .command(cluster, &["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(manifest.as_bytes()).expect("written");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Declares the three sample kinds and waits until they are served.
    fn declare(&self, cluster: &str) {
        let examples = "manifests/examples/definitions.yaml";
        self.ok(cluster, &["apply", "-f", examples]);
        let established = "--for=condition=Established";
        let every = ["wait", established, "srd", "--all", "--timeout=20s"];
        self.ok(cluster, &every);
    }

    /// Follows festivals everywhere; a line for each event: type, name, year, resourceVersion.
    fn follow(&self, cluster: &str) -> Follower {
        let row = "jsonpath={.type} {.object.metadata.name} {.object.spec.year} {.object.metadata.resourceVersion}{\"\\n\"}";
        let line = [
            "get",
            "festivals",
            "-A",
            "--watch",
            "--output-watch-events",
            "-o",
            row,
        ];
        let mut child = self.command(cluster, &line).spawn().expect("kubectl runs");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::sync_channel(100);
        // Ends with the pipe, which ends with the child.
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Follower { child, lines }
    }
}

/// A `kubectl get --watch`, killed when dropped.
struct Follower {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Follower {
    #[track_caller]
    fn next(&self) -> String {
        self.lines.recv_timeout(BOUND).expect("an event in time")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn what_is_written_through_one_cluster_is_in_all_and_survives_a_restart() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let clusters = ["--clusters", "berlin,oslo,tokyo"];
    let up = Up::start(&data, &clusters);
    let kubectl = Kubectl::new(&data);
    kubectl.declare("berlin");
    let follower = kubectl.follow("tokyo");

    kubectl.ok("oslo", &["apply", "-f", "manifests/examples/festival.yaml"]);
    let object = ["get", "festival", "candlemas", "-o", UID_AND_VERSION];
    let created = kubectl.ok("oslo", &object);
    let version = |told: &str| told.split(' ').nth(1).expect("a version").to_owned();
    for cluster in ["berlin", "tokyo"] {
        assert_eq!(kubectl.ok(cluster, &object), created);
    }
    assert_eq!(
        follower.next(),
        format!("ADDED candlemas 1928 {}", version(&created))
    );
    // The editor is sed.
    kubectl.ok("berlin", &["edit", "festival", "candlemas"]);
    let edited = kubectl.ok("tokyo", &object);
    assert_eq!(
        follower.next(),
        format!("MODIFIED candlemas 1929 {}", version(&edited))
    );
    assert_eq!(up.end("-INT"), Some(0));
    drop(follower);

    let up = Up::start(&data, &clusters);
    assert_eq!(kubectl.ok("tokyo", &object), edited);
    let table = kubectl.ok("berlin", &["get", "fest"]);
    assert!(table.contains("candlemas   1929"), "{table}");
    let follower = kubectl.follow("oslo");
    assert_eq!(
        follower.next(),
        format!("ADDED candlemas 1929 {}", version(&edited))
    );
    kubectl.ok("tokyo", &["delete", "festival", "--all"]);
    assert!(follower.next().starts_with("DELETED candlemas 1929 "));
    assert_eq!(up.end("-TERM"), Some(0));
}

#[test]
fn namespaces_answer_to_the_verbs_that_people_know() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let _up = Up::start(&data, &["--clusters", "berlin,tokyo"]);
    let kubectl = Kubectl::new(&data);
    kubectl.declare("berlin");

    // Made by kubectl's typed client, which writes protobuf.
    kubectl.ok("berlin", &["create", "namespace", "made"]);
    let again = kubectl.refused("tokyo", &["create", "namespace", "made"]);
    assert!(again.contains("AlreadyExists"), "{again}");
    kubectl.apply(
        "tokyo",
        "{apiVersion: innsmouth.example.com/v1, kind: Festival, metadata: {name: a, namespace: used}, spec: {year: 1}}",
    );
    let list = kubectl.ok("berlin", &["get", "namespaces", "--no-headers"]);
    let ages: Vec<(&str, bool)> = list
        .lines()
        .map(|line| {
            let name = line.split_whitespace().next().unwrap_or_default();
            (name, line.ends_with("<unknown>"))
        })
        .collect();
    assert_eq!(
        ages,
        [("default", true), ("made", false), ("used", true)],
        "{list}"
    );
    kubectl.ok("berlin", &["label", "namespace", "used", "team=a"]);
    let labelled = ["get", "ns", "-l", "team=a", "-o", "name"];
    assert_eq!(kubectl.ok("tokyo", &labelled), "namespace/used");
    for value in [1, 2] {
        kubectl.apply(
            "berlin",
            &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: applied, labels: {{a: 'v{value}'}}}}}}"),
        );
        let label = [
            "get",
            "ns",
            "applied",
            "-o",
            "jsonpath={.metadata.labels.a}",
        ];
        assert_eq!(kubectl.ok("tokyo", &label), format!("v{value}"));
    }
    kubectl.ok("tokyo", &["delete", "namespace", "made"]);
    let (done, _, told) = kubectl.run("tokyo", &["delete", "namespace", "used"]);
    assert!(done, "{told}");
    assert!(
        told.contains("kubectl delete festivals.innsmouth.example.com --all -n used"),
        "{told}"
    );
    let left = ["get", "festivals", "-A", "-o", "name"];
    assert_eq!(
        kubectl.ok("berlin", &left),
        "festival.innsmouth.example.com/a"
    );
}

#[test]
fn what_kubectl_shows_and_changes_is_right_and_what_is_not_served_is_refused_clearly() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let _up = Up::start(&data, &["--clusters", "berlin,tokyo"]);
    let kubectl = Kubectl::new(&data);
    kubectl.declare("berlin");
    let ok = |line: &str| kubectl.ok("tokyo", &line.split(' ').collect::<Vec<_>>());
    let refused = |line: &str| kubectl.refused("tokyo", &line.split(' ').collect::<Vec<_>>());
    let file = "manifests/examples/festival.yaml";

    ok(&format!("create -f {file}"));
    ok("label festival candlemas place=innsmouth");
    ok("annotate festival candlemas note=x");
    ok(r#"patch festival candlemas --type=merge -p {"spec":{"year":1927}}"#);
    ok(r#"patch festival candlemas --type=json -p [{"op":"remove","path":"/spec/invited"}]"#);
    let shown = ok("get festivals -l place=innsmouth -o jsonpath={.items[*].spec}");
    assert_eq!(shown, r#"{"year":1927}"#);
    assert_eq!(
        ok("get festivals --field-selector metadata.name!=candlemas -o name"),
        ""
    );
    let described = ok("describe festival candlemas");
    assert!(described.contains("Year:  1927"), "{described}");
    let explained = ok("explain festival.spec.year");
    assert!(
        explained.contains("The year in which it is held."),
        "{explained}"
    );
    let resources = ok("api-resources --api-group=innsmouth.example.com -o name");
    let kinds = "deepones.innsmouth.example.com\nfestivals.innsmouth.example.com";
    assert_eq!(resources, kinds);
    let (same, difference, _) = kubectl.run("tokyo", &["diff", "-f", file]);
    assert!(
        !same && difference.contains("+  year: 1928"),
        "{difference}"
    );
    ok(&format!("apply -f {file}"));
    ok(&format!("diff -f {file}"));
    ok("wait --for=jsonpath={.spec.year}=1928 festival/candlemas --timeout=10s");
    let table = ok("get festivals -A --sort-by=.spec.year --chunk-size=1 -o wide");
    assert!(table.contains("1928"), "{table}");

    for (line, part) in [
        (
            "get festival nope",
            "festivals.innsmouth.example.com \"nope\" not found",
        ),
        (
            "get festivals --field-selector spec.year=1",
            "field label not supported: spec.year",
        ),
        ("scale festival candlemas --replicas=2", "not found"),
        (
            r#"patch festival candlemas -p {"spec":{"year":1}}"#,
            "strategic-merge-patch+json is not supported",
        ),
        (
            r#"patch festival candlemas --type=merge -p {"spec":{"year":0}}"#,
            "spec.year: Invalid value: 0",
        ),
        (
            r#"patch festival candlemas --type=merge -p {"spec":{"yaer":1}} --dry-run=server --warnings-as-errors"#,
            "unknown field \"spec.yaer\"",
        ),
        (
            "apply --server-side -f manifests/examples/festival.yaml",
            "Server-side apply not available",
        ),
        (
            "create -f manifests/examples/festival.yaml",
            "already exists",
        ),
    ] {
        let told = refused(line);
        assert!(told.contains(part), "{line}: {told}");
    }
    ok("delete festival candlemas --wait=true");
    assert_eq!(ok("get festivals -A -o name"), "");
}

#[test]
fn leases_are_listed_with_their_holders_wherever_one_asks() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let up = Up::start(&data, &["--clusters", "berlin,oslo"]);
    let kubectl = Kubectl::new(&data);
    let leases = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_helium"));
        command.env_clear().args(["leases"]).args(arguments);
        command
    };
    let kubeconfig = kubectl.kubeconfig.to_str().expect("text").to_owned();
    let of = |context: &str, more: &[&str]| {
        let mut all = vec!["--kubeconfig", &kubeconfig, "--context", context];
        all.extend(more);
        let output = leases(&all).output().expect("helium runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(of("oslo", &[]), "", "none: said on standard error");
    kubectl.apply(
        "berlin",
        "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: leader, namespace: default}, \
         spec: {holderIdentity: manager, leaseDurationSeconds: 15, renewTime: \"2026-01-01T00:00:00.000000Z\"}}",
    );
    let told: serde_json::Value = serde_json::from_str(&of("oslo", &["-o", "json"])).expect("JSON");
    let token = told[0]["token"].as_str().expect("a token");
    assert!(token.parse::<u64>().expect("a number") > 1);
    assert_eq!(told[0]["holder"], "manager");
    assert_eq!(told[0]["cluster"], "berlin");
    assert_eq!(told[0]["state"], "expired");
    let table = of("oslo", &["-n", "default"]);
    assert!(
        table.starts_with("NAMESPACE   NAME     HOLDER    CLUSTER"),
        "{table}"
    );
    assert_eq!(of("berlin", &["-n", "empty"]), "");

    let (code, said) = refused(leases(&["--kubeconfig", &kubeconfig, "--context", "paris"]));
    assert!(
        code == Some(1) && said.contains("paris") && said.contains("H015"),
        "{code:?} {said}"
    );
    assert_eq!(up.end("-INT"), Some(0));
    let (code, said) = refused(leases(&["--kubeconfig", &kubeconfig, "--context", "oslo"]));
    assert!(code == Some(1) && said.contains("H014"), "{code:?} {said}");
}
