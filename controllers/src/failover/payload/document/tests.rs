use super::*;

const TWO: &str = "
# A comment, and nothing else.
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  uid: 1-2-3
  resourceVersion: '7'
data: {a: '1'}
status: {old: true}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 2}
---
";

fn problems(text: &str) -> Vec<String> {
    let error = Payload::parse(text, "default").expect_err("a faulty payload");
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn documents_become_objects_without_what_servers_write() {
    let payload = Payload::parse(TWO, "default").unwrap();
    assert_eq!(payload.len(), 2);
    let settings = &payload.objects[0];
    assert_eq!(
        (settings.group.as_str(), settings.version.as_str()),
        ("", "v1")
    );
    assert_eq!(settings.namespace, None);
    assert_eq!(
        settings.content,
        serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}})
    );
    let web = &payload.objects[1];
    assert_eq!(
        (web.group.as_str(), web.kind.as_str()),
        ("apps", "Deployment")
    );
    assert_eq!(web.namespace.as_deref(), Some("shop"));
}

#[test]
fn the_hash_is_of_what_is_said_and_not_of_how() {
    let hash = |text: &str| Payload::parse(text, "default").unwrap().hash().to_owned();
    let json = r#"{"kind": "Deployment", "spec": {"replicas": 2}, "metadata": {"namespace": "shop", "name": "web"}, "apiVersion": "apps/v1"}
---
{"data": {"a": "1"}, "metadata": {"name": "settings"}, "kind": "ConfigMap", "apiVersion": "v1"}"#;
    assert_eq!(hash(TWO), hash(json));
    assert_ne!(hash(TWO), hash(&TWO.replace("replicas: 2", "replicas: 3")));
    assert_eq!(hash(TWO).len(), 32);
}

#[test]
fn lists_are_taken_apart() {
    let list = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Secret, metadata: {name: a}}
- {apiVersion: v1, kind: Secret, metadata: {name: b}}
";
    let payload = Payload::parse(list, "default").unwrap();
    let names: Vec<&str> = payload
        .objects
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn anchors_and_merge_keys_are_resolved() {
    let text = "
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: &l {x: '1'}}
data: {<<: *l, y: '2'}
";
    let payload = Payload::parse(text, "default").unwrap();
    assert_eq!(
        payload.objects[0].content["data"],
        serde_json::json!({"x": "1", "y": "2"})
    );
}

#[test]
fn each_fault_is_told_with_its_document() {
    let text = "
kind: Deployment
metadata: {name: a}
---
apiVersion: v1
metadata: {name: b}
---
apiVersion: v1
kind: Pod
metadata: {generateName: c-}
---
apiVersion: v1
kind: Pod
metadata: {labels: {x: y}}
---
apiVersion: v1
kind: Pod
---
- a list
---
apiVersion: a/b/c
kind: Pod
metadata: {name: d}
---
apiVersion: v1
kind: Pod
metadata: {name: ../secrets}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: e}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: e, namespace: default}
---
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: f, annotations: [x]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: g, namespace: {}}
";
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn text_that_is_no_payload_is_told() {
    for text in ["", "---\n# nothing\n---\n", "null"] {
        assert_eq!(
            problems(text),
            ["it has no object: write at least one Kubernetes object into spec.payload"]
        );
    }
    let broken = problems("apiVersion: v1\nkind: [\n");
    assert_eq!(broken.len(), 1);
    assert!(
        broken[0].starts_with("document 1: isn't YAML: "),
        "{broken:?}"
    );
    let twice = problems("apiVersion: v1\napiVersion: v2\n");
    assert!(twice[0].contains("duplicate"), "{twice:?}");
    let many: String = (0..=MOST_OBJECTS)
        .map(|n| format!("---\n{{apiVersion: v1, kind: Secret, metadata: {{name: s{n}}}}}\n"))
        .collect();
    assert!(problems(&many)[0].contains("use several groups"));
}
