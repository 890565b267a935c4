//! What is put into pods, and what is refused.

use std::time::Duration;

use helium_failover::{GroupName, Token};

use super::*;
use crate::failover::switch::DEFAULT_PORT;

fn context() -> SwitchContext {
    SwitchContext {
        image: "helium-agent:test".to_owned(),
        group: GroupName {
            namespace: "shop".to_owned(),
            callsign: "fleet-one".to_owned(),
        },
        token: Token(42),
        timing: Timing::new(Duration::from_secs(15), Duration::from_secs(5)).expect("times"),
        port: DEFAULT_PORT,
    }
}

fn template(spec: Value) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": spec})
}

#[track_caller]
fn refused(template: &Value) -> SwitchError {
    let mut changed = template.clone();
    let error = inject(&mut changed, &context()).expect_err("refused");
    assert_eq!(&changed, template, "what is refused is left as it is");
    error
}

#[test]
fn a_template_gets_a_watchdog_first_and_a_probe_and_a_gate_for_each_container() {
    let mut template = template(json!({
        "containers": [
            {"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]},
            {"name": "log", "image": "log:1", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}},
        ],
        "initContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}],
    }));
    inject(&mut template, &context()).expect("injected");
    insta::assert_json_snapshot!(template);
}

#[test]
fn what_the_payload_has_of_its_own_stays() {
    let mut template = template(json!({
        "terminationGracePeriodSeconds": 2,
        "containers": [{
            "name": "web", "image": "web:1",
            "readinessProbe": {"tcpSocket": {"port": 80}},
            "lifecycle": {"postStart": {"exec": {"command": ["warm-up"]}}},
        }],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }));
    inject(&mut template, &context()).expect("injected");
    let spec = &template["spec"];
    assert_eq!(spec["terminationGracePeriodSeconds"], 2);
    let web = &spec["containers"][0];
    assert_eq!(
        web["lifecycle"],
        json!({"postStart": {"exec": {"command": ["warm-up"]}}})
    );
    assert_eq!(web["readinessProbe"], json!({"tcpSocket": {"port": 80}}));
    assert_eq!(web["livenessProbe"]["terminationGracePeriodSeconds"], 2);
    assert_eq!(spec["volumes"][0], json!({"name": "data", "emptyDir": {}}));
}

#[test]
fn what_does_not_go_together_with_the_switch_is_refused_with_advice() {
    let web = json!({"name": "web", "image": "web:1"});
    let with = |field: &str, value: Value| {
        let mut spec = json!({"containers": [web.clone()]});
        spec[field] = value;
        template(spec)
    };
    let container = |field: &str, value: Value| {
        let mut web = web.clone();
        web[field] = value;
        template(json!({"containers": [web]}))
    };
    for (template, part) in [
        (json!({"spec": {}}), "no spec.containers"),
        (json!("nonsense"), "no spec.containers"),
        (
            container("livenessProbe", json!({"tcpSocket": {"port": 80}})),
            "\"web\" has a livenessProbe",
        ),
        (with("hostNetwork", json!(true)), "set hostNetwork: false"),
        (container("name", json!(CONTAINER)), "another name"),
        (
            with("volumes", json!([{"name": CONTAINER}])),
            "another name",
        ),
        (
            container("ports", json!([{"containerPort": DEFAULT_PORT}])),
            "--failover-watchdog-port",
        ),
        (
            with("initContainers", json!([{"name": "migrate"}])),
            "nothing can stop init container \"migrate\"",
        ),
        (
            with("terminationGracePeriodSeconds", json!(30)),
            "longer than the stop budget of 5 s",
        ),
    ] {
        let error = refused(&template).to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn an_init_container_that_does_no_harm_may_be_said_to() {
    let mut template = template(json!({
        "containers": [{"name": "web", "image": "web:1"}],
        "initContainers": [{"name": "wait", "image": "wait:1"}],
    }));
    template["metadata"]["annotations"] = json!({UNGUARDED: "unguarded"});
    inject(&mut template, &context()).expect("injected");
    let names: Vec<&Value> = template["spec"]["initContainers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, [CONTAINER, "wait"]);
    assert_eq!(
        template["spec"]["initContainers"][1],
        json!({"name": "wait", "image": "wait:1"})
    );
}
