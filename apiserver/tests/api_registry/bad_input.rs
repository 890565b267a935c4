//! What people and programs get wrong, and that the answer says where.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::store::TestStore;
use crate::support::{
    DEFINITIONS, JSON_PATCH, MERGE, TestServer, WIDGETS, one_server, widget, widgets,
};

/// The schema of the sample kind's version.
fn schema(definition: &mut Value) -> &mut Value {
    &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

#[tokio::test]
async fn every_error_in_a_definition_names_its_field() {
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    let version = "spec.versions[0]";
    type Change = fn(&mut Value);
    let cases: [(String, Change); 22] = [
        ("spec: Required".into(), |d| d["spec"] = Value::Null),
        ("spec.group: Required".into(), |d| {
            d["spec"]["group"] = "".into();
        }),
        ("spec.scope".into(), |d| {
            d["spec"]["scope"] = "Galaxy".into()
        }),
        ("spec.names.plural".into(), |d| {
            d["spec"]["names"]["plural"] = "Widgets".into();
        }),
        ("spec.names.kind: Required".into(), |d| {
            d["spec"]["names"]["kind"] = "".into();
        }),
        ("spec.names".into(), |d| d["spec"]["names"] = 7.into()),
        ("spec.versions: ".into(), |d| {
            d["spec"]["versions"] = json!([]);
        }),
        ("spec.versions".into(), |d| {
            d["spec"]["versions"] = "v1".into();
        }),
        ("spec.versions".into(), |d| {
            d["spec"]["versions"][0]["storage"] = false.into();
        }),
        ("spec.versions".into(), |d| {
            let twin = d["spec"]["versions"][0].clone();
            d["spec"]["versions"] = json!([twin.clone(), twin]);
        }),
        (format!("{version}.name"), |d| {
            d["spec"]["versions"][0]["name"] = "One".into();
        }),
        (format!("{version}.schema"), |d| {
            d["spec"]["versions"][0]["schema"] = Value::Null;
        }),
        (format!("{version}.schema.openAPIV3Schema.type"), |d| {
            schema(d)["type"] = "array".into();
        }),
        (
            format!("{version}.schema.openAPIV3Schema.properties[spec].type"),
            |d| {
                schema(d)["properties"]["spec"] = json!({});
            },
        ),
        (
            format!("{version}.schema.openAPIV3Schema.properties[spec].properties[size].default"),
            |d| schema(d)["properties"]["spec"]["properties"]["size"]["default"] = "many".into(),
        ),
        (
            format!("{version}.schema.openAPIV3Schema.properties[spec].properties[color].pattern"),
            |d| schema(d)["properties"]["spec"]["properties"]["color"]["pattern"] = "(".into(),
        ),
        (
            format!("{version}.schema.openAPIV3Schema.properties[spec].properties[tags].items"),
            |d| schema(d)["properties"]["spec"]["properties"]["tags"]["items"] = Value::Null,
        ),
        (
            format!("{version}.subresources.scale.specReplicasPath"),
            |d| {
                d["spec"]["versions"][0]["subresources"]["scale"]["specReplicasPath"] =
                    "replicas".into();
            },
        ),
        (format!("{version}.additionalPrinterColumns[0].type"), |d| {
            d["spec"]["versions"][0]["additionalPrinterColumns"][0]["type"] = "colour".into();
        }),
        (format!("{version}.selectableFields[0].jsonPath"), |d| {
            d["spec"]["versions"][0]["selectableFields"][0]["jsonPath"] = ".spec.nope".into();
        }),
        ("spec.sharing.namespaceDeletion".into(), |d| {
            d["spec"]["sharing"] = json!({"namespaceDeletion": "Explode"});
        }),
        ("spec.sharing".into(), |d| {
            d["spec"]["sharing"] = "everybody".into();
        }),
    ];
    let mut unnamed = Vec::new();
    for (path, change) in cases {
        let mut definition = widgets();
        change(&mut definition);
        let reply = client.post(DEFINITIONS, &definition).await;
        let message = reply.fails(422, "Invalid");
        if !message.contains(&path) {
            unnamed.push(format!("{path}: {message}"));
        }
    }
    assert!(unnamed.is_empty(), "{unnamed:#?}");
    server.stop().await;
}

#[tokio::test]
async fn rules_that_are_not_evaluated_are_warned_of() {
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    let mut definition = widgets();
    schema(&mut definition)["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "self.size < 10"}]);
    let reply = client.post(DEFINITIONS, &definition).await;
    let path = "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations";
    let [warning] = reply.warnings.as_slice() else {
        panic!("one warning, not {:?}: {}", reply.warnings, reply.body);
    };
    assert!(warning.starts_with(path), "{warning}");
    // Once: a change of something else says nothing new.
    let url = format!("{DEFINITIONS}/widgets.example.com");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let labelled = client.patch(&url, MERGE, &label).await;
    assert!(labelled.warnings.is_empty(), "{:?}", labelled.warnings);
    labelled.ok();
    server.stop().await;
}

#[tokio::test]
async fn metadata_of_embedded_objects_is_checked_before_anything_is_stored() {
    // Embedded metadata once went unchecked into the store: a number as a name, unknown members, null labels.
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    let mut definition = widgets();
    schema(&mut definition)["properties"]["spec"]["properties"]["template"] = json!({
        "type": "object",
        "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true,
    });
    client.declare(&definition).await;
    let with_template = |name: &str, metadata: Value| {
        let mut body = widget(name, "red");
        body["spec"]["template"] =
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata});
        body
    };

    let body = with_template("a", json!({"name": 1}));
    let message = client.post(WIDGETS, &body).await.fails(400, "BadRequest");
    assert!(message.contains("spec.template.metadata.name"), "{message}");

    let odd = json!({"name": "x", "lables": {}, "labels": null, "annotations": {"a": "b"}});
    let body = with_template("a", odd);
    let strict = format!("{WIDGETS}?fieldValidation=Strict");
    let message = client.post(&strict, &body).await.fails(400, "BadRequest");
    assert!(
        message.contains("unknown field \"spec.template.metadata.lables\""),
        "{message}"
    );
    let created = client.post(WIDGETS, &body).await;
    assert_eq!(
        created.warnings,
        ["unknown field \"spec.template.metadata.lables\""]
    );
    assert_eq!(
        created.ok()["spec"]["template"]["metadata"],
        json!({"name": "x", "annotations": {"a": "b"}})
    );

    let url = format!("{WIDGETS}/a");
    let patch = json!({"spec": {"template": {"metadata": {"name": 1}}}});
    let message = client
        .patch(&url, MERGE, &patch)
        .await
        .fails(400, "BadRequest");
    assert!(message.contains("spec.template.metadata.name"), "{message}");
    server.stop().await;
}

#[tokio::test]
async fn what_a_write_got_wrong_is_named() {
    let (_store, server, client) = one_server().await;
    let created = client.post(WIDGETS, &widget("a", "red")).await.ok();
    let url = format!("{WIDGETS}/a");

    let mut stale = created.clone();
    stale["spec"]["color"] = "blue".into();
    client.put(&url, &stale).await.ok();
    stale["spec"]["color"] = "green".into();
    let message = client.put(&url, &stale).await.fails(409, "Conflict");
    assert!(
        message.contains("please apply your changes to the latest version"),
        "{message}"
    );
    stale["metadata"]["resourceVersion"] = "many".into();
    let reply = client.put(&url, &stale).await;
    assert!((400..500).contains(&reply.code), "{}", reply.body);

    let mut wrong = widget("b", "red");
    wrong["spec"]["size"] = 0.into();
    wrong["spec"]["tags"] = json!([1]);
    let reply = client.post(WIDGETS, &wrong).await;
    let causes = reply.body["details"]["causes"].to_string();
    for path in ["spec.size", "spec.tags[0]"] {
        assert!(causes.contains(path), "{path}: {causes}");
    }
    reply.fails(422, "Invalid");

    let nowhere = json!([{"op": "replace", "path": "/spec/nope/deep", "value": 1}]);
    let reply = client.patch(&url, JSON_PATCH, &nowhere).await;
    assert!(
        reply.body["details"]["causes"]
            .to_string()
            .contains("/spec/nope/deep"),
        "{}",
        reply.body
    );
    assert_eq!(reply.code, 422);
    server.stop().await;
}

#[tokio::test]
async fn bodies_that_are_no_objects_are_refused_in_every_media_type() {
    let (_store, server, client) = one_server().await;
    let bodies: [&[u8]; 8] = [
        b"",
        b"null",
        b"[]",
        b"\"text\"",
        b"{\"apiVersion\":",
        b"k8s\0",
        b"k8s\0\x0a\xff\xff\xff\xff\x0f",
        &[0xff; 64],
    ];
    for media in [
        "",
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "text/html",
    ] {
        for body in bodies {
            let headers = [("content-type", media)];
            let sent = client.send(Method::POST, WIDGETS, &headers, Bytes::from_static(body));
            let code = sent.await.0.status().as_u16();
            assert!(matches!(code, 400 | 415), "{media} {body:?}: {code}");
        }
    }
    server.stop().await;
}
