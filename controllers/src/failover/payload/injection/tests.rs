use super::*;

fn marked(group: &str, kind: &str, mut content: Value) -> Value {
    let name = GroupName {
        namespace: "shop".to_owned(),
        callsign: "web".to_owned(),
    };
    let owner = Owner {
        uid: "7e2".to_owned(),
        name: "berlin".to_owned(),
        namespace: "shop".to_owned(),
    };
    let marks = Marks {
        group: &name,
        owner: &owner,
        token: Token(41),
        cluster: &ClusterName("east".to_owned()),
    };
    marks.put(group, kind, &mut content);
    content
}

#[test]
fn an_object_is_marked_beside_what_stands_there() {
    let content = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "labels": {"app": "web", GROUP_LABEL: "forged"}, "annotations": null}, "data": {"x": "y"}});
    insta::assert_json_snapshot!("config_map", marked("", "ConfigMap", content));
}

#[test]
fn all_containers_of_a_template_get_the_token() {
    let content = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "initContainers": [{"name": "first", "image": "i"}],
                "containers": [
                    {"name": "main", "image": "m", "env": [
                        {"name": "FROM_THEM", "value": "$(HELIUM_FENCING_TOKEN)"},
                        {"name": "HELIUM_FENCE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
                    {"name": "side", "image": "s"}]}}}});
    insta::assert_json_snapshot!("deployment", marked("apps", "Deployment", content));
}

#[test]
fn a_template_is_found_in_every_kind_that_has_one() {
    let spec = json!({"containers": [{"name": "c"}]});
    let template = json!({"spec": spec});
    let tokens = |content: &Value| content.to_string().matches(TOKEN_VARIABLE).count();
    for (group, kind, content) in [
        ("", "Pod", json!({"spec": spec})),
        (
            "apps",
            "StatefulSet",
            json!({"spec": {"template": template}}),
        ),
        ("apps", "DaemonSet", json!({"spec": {"template": template}})),
        (
            "apps",
            "ReplicaSet",
            json!({"spec": {"template": template}}),
        ),
        ("batch", "Job", json!({"spec": {"template": template}})),
        (
            "",
            "ReplicationController",
            json!({"spec": {"template": template}}),
        ),
        (
            "batch",
            "CronJob",
            json!({"spec": {"jobTemplate": {"spec": {"template": template}}}}),
        ),
    ] {
        assert!(makes_pods(group, kind), "{kind}");
        assert_eq!(tokens(&marked(group, kind, content)), 1, "{kind}");
    }
    // Another group's Deployment may mean something else by its template.
    let other = json!({"spec": {"template": template}});
    assert_eq!(tokens(&marked("example.com", "Deployment", other)), 0);
    assert!(!makes_pods("example.com", "Deployment"));
    // What has no spec is the server's to refuse.
    assert_eq!(tokens(&marked("", "Pod", json!({"spec": null}))), 0);
}
