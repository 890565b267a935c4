//! Create, get, update, delete, and what they say of an object's metadata.

use serde_json::json;

use crate::support::{ALL_WIDGETS, WIDGETS, names, one_server, revision, widget};

fn url(name: &str) -> String {
    format!("{WIDGETS}/{name}")
}

#[tokio::test]
async fn an_object_lives_from_create_to_delete() {
    let (store, server, client) = one_server().await;
    let created = client.post(WIDGETS, &widget("a", "red")).await;
    assert_eq!(created.code, 201);
    let created = created.ok();
    let metadata = &created["metadata"];
    assert_eq!(metadata["namespace"], "default");
    assert_eq!(metadata["generation"], 1);
    assert_eq!(metadata["uid"].as_str().unwrap().len(), 36);
    assert!(
        metadata["creationTimestamp"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    assert_eq!(created["spec"]["size"], 1, "defaults are filled");
    assert_eq!(Some(revision(&created)), store.revision().await, "R1");

    assert_eq!(client.get(&url("a")).await.ok(), created);

    let mut changed = created.clone();
    changed["spec"]["color"] = "blue".into();
    let updated = client.put(&url("a"), &changed).await.ok();
    assert_eq!(updated["metadata"]["generation"], 2);
    assert!(revision(&updated) > revision(&created));

    let gone = client.delete(&url("a")).await.ok();
    assert_eq!(gone["status"], "Success");
    assert_eq!(gone["details"]["uid"], created["metadata"]["uid"]);
    assert_eq!(gone["details"]["kind"], "widgets");
    let message = client.get(&url("a")).await.fails(404, "NotFound");
    assert_eq!(message, "widgets.example.com \"a\" not found");
    client.delete(&url("a")).await.fails(404, "NotFound");
    server.stop().await;
}

#[tokio::test]
async fn creates_are_refused_for_a_reason() {
    let (_store, server, client) = one_server().await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    let message = client
        .post(WIDGETS, &widget("a", "red"))
        .await
        .fails(409, "AlreadyExists");
    assert_eq!(message, "widgets.example.com \"a\" already exists");

    client
        .post(WIDGETS, &widget("No_Name", "red"))
        .await
        .fails(422, "Invalid");
    let mut versioned = widget("b", "red");
    versioned["metadata"]["resourceVersion"] = "5".into();
    client
        .post(WIDGETS, &versioned)
        .await
        .fails(400, "BadRequest");
    let mut elsewhere = widget("b", "red");
    elsewhere["metadata"]["namespace"] = "other".into();
    client
        .post(WIDGETS, &elsewhere)
        .await
        .fails(400, "BadRequest");
    let mut other_kind = widget("b", "red");
    other_kind["apiVersion"] = "example.com/v2".into();
    client
        .post(WIDGETS, &other_kind)
        .await
        .fails(400, "BadRequest");
    let mut invalid = widget("b", "red");
    invalid["spec"]["size"] = 0.into();
    let reply = client.post(WIDGETS, &invalid).await;
    assert_eq!(reply.body["details"]["causes"][0]["field"], "spec.size");
    assert!(
        reply
            .fails(422, "Invalid")
            .starts_with("Widget.example.com \"b\" is invalid: spec.size:")
    );
    assert_eq!(names(&client.get(WIDGETS).await.ok()), ["a"]);
    server.stop().await;
}

#[tokio::test]
async fn names_are_generated_and_do_not_collide() {
    let (_store, server, client) = one_server().await;
    let mut body = widget("", "red");
    body["metadata"] = json!({"generateName": "w-"});
    let first = client.post(WIDGETS, &body).await.ok();
    let second = client.post(WIDGETS, &body).await.ok();
    let (first, second) = (&first["metadata"]["name"], &second["metadata"]["name"]);
    assert_ne!(first, second);
    assert!(first.as_str().unwrap().starts_with("w-") && first.as_str().unwrap().len() == 7);
    server.stop().await;
}

#[tokio::test]
async fn updates_need_the_present_version_and_write_only_changes() {
    let (_store, server, client) = one_server().await;
    let created = client.post(WIDGETS, &widget("a", "red")).await.ok();
    let same = client.put(&url("a"), &created).await.ok();
    assert_eq!(
        revision(&same),
        revision(&created),
        "an update without a change writes nothing"
    );

    let mut changed = created.clone();
    changed["spec"]["color"] = "blue".into();
    client.put(&url("a"), &changed).await.ok();
    let message = client.put(&url("a"), &changed).await.fails(409, "Conflict");
    assert!(
        message.contains("the object has been modified"),
        "{message}"
    );

    changed["metadata"]["resourceVersion"] = json!(null);
    client.put(&url("a"), &changed).await.fails(422, "Invalid");
    client
        .put(&url("missing"), &widget("missing", "red"))
        .await
        .fails(404, "NotFound");
    client
        .put(&url("a"), &widget("b", "red"))
        .await
        .fails(400, "BadRequest");

    let mut moved = client.get(&url("a")).await.ok();
    moved["metadata"]["uid"] = "00000000-0000-4000-8000-000000000000".into();
    client.put(&url("a"), &moved).await.fails(409, "Conflict");
    server.stop().await;
}

#[tokio::test]
async fn every_write_names_the_cluster_that_it_came_through() {
    let (_store, server, client) = one_server().await;
    let mut forged = widget("a", "red");
    forged["metadata"]["annotations"] = json!({"helium.dev/origin-cluster": "elsewhere"});
    let created = client.post(WIDGETS, &forged).await.ok();
    assert_eq!(
        created["metadata"]["annotations"]["helium.dev/origin-cluster"],
        "c1"
    );
    let mut forged = created.clone();
    forged["metadata"]["annotations"] = json!({"helium.dev/origin-cluster": "elsewhere"});
    let same = client.put(&url("a"), &forged).await.ok();
    assert_eq!(
        revision(&same),
        revision(&created),
        "a forged origin is no change"
    );
    server.stop().await;
}

#[tokio::test]
async fn finalizers_keep_an_object_until_the_last_is_gone() {
    let (_store, server, client) = one_server().await;
    let mut body = widget("a", "red");
    body["metadata"]["finalizers"] = json!(["example.com/one", "example.com/two"]);
    client.post(WIDGETS, &body).await.ok();
    let marked = client.delete(&url("a")).await.ok();
    assert_eq!(marked["kind"], "Widget");
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["generation"], 2);
    let again = client.delete(&url("a")).await.ok();
    assert_eq!(
        revision(&again),
        revision(&marked),
        "a second delete changes nothing"
    );

    let message = client
        .post(WIDGETS, &body)
        .await
        .fails(409, "AlreadyExists");
    assert!(
        message.starts_with("object is being deleted: "),
        "{message}"
    );

    let mut more = marked.clone();
    more["metadata"]["finalizers"] =
        json!(["example.com/one", "example.com/two", "example.com/three"]);
    client.put(&url("a"), &more).await.fails(422, "Invalid");
    let mut fewer = marked.clone();
    fewer["metadata"]["finalizers"] = json!(["example.com/two"]);
    let mut last = client.put(&url("a"), &fewer).await.ok();
    last["metadata"]["finalizers"] = json!([]);
    let gone = client.put(&url("a"), &last).await.ok();
    assert!(revision(&gone) > revision(&last));
    client.get(&url("a")).await.fails(404, "NotFound");
    server.stop().await;
}

#[tokio::test]
async fn deletes_honour_preconditions_and_propagation() {
    let (_store, server, client) = one_server().await;
    let created = client.post(WIDGETS, &widget("a", "red")).await.ok();
    let other = json!({"preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}});
    client
        .delete_with(&url("a"), &other)
        .await
        .fails(409, "Conflict");
    let stale = json!({"preconditions": {"resourceVersion": "1"}});
    client
        .delete_with(&url("a"), &stale)
        .await
        .fails(409, "Conflict");

    let foreground = json!({"propagationPolicy": "Foreground"});
    let waiting = client.delete_with(&url("a"), &foreground).await.ok();
    assert_eq!(
        waiting["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    let exact = json!({
        "propagationPolicy": "Background",
        "preconditions": {"uid": created["metadata"]["uid"]},
    });
    assert_eq!(
        client.delete_with(&url("a"), &exact).await.ok()["status"],
        "Success"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_dry_run_does_everything_but_write() {
    let (store, server, client) = one_server().await;
    let created = client
        .post(&format!("{WIDGETS}?dryRun=All"), &widget("a", "red"))
        .await;
    assert_eq!(created.code, 201);
    assert!(created.body["metadata"]["uid"].is_string());
    client.get(&url("a")).await.fails(404, "NotFound");

    let stored = client.post(WIDGETS, &widget("a", "red")).await.ok();
    let before = store.revision().await;
    client
        .post(&format!("{WIDGETS}?dryRun=All"), &widget("a", "red"))
        .await
        .fails(409, "AlreadyExists");
    let mut changed = stored.clone();
    changed["spec"]["color"] = "blue".into();
    let tried = client
        .put(&format!("{}?dryRun=All", url("a")), &changed)
        .await
        .ok();
    assert_eq!(tried["spec"]["color"], "blue");
    client
        .delete(&format!("{}?dryRun=All", url("a")))
        .await
        .ok();
    assert_eq!(store.revision().await, before);
    assert_eq!(client.get(&url("a")).await.ok(), stored);
    client
        .delete(&format!("{}?dryRun=Some", url("a")))
        .await
        .fails(422, "Invalid");
    server.stop().await;
}

#[tokio::test]
async fn unknown_fields_are_dropped_warned_of_or_refused() {
    let (_store, server, client) = one_server().await;
    let mut body = widget("a", "red");
    body["spec"]["colour"] = "red".into();
    let warned = client.post(WIDGETS, &body).await;
    assert_eq!(warned.warnings, ["unknown field \"spec.colour\""]);
    assert_eq!(warned.ok()["spec"], json!({"color": "red", "size": 1}));

    body["metadata"]["name"] = "b".into();
    let strict = format!("{WIDGETS}?fieldValidation=Strict");
    let message = client.post(&strict, &body).await.fails(400, "BadRequest");
    assert!(
        message.contains("strict decoding error: unknown field \"spec.colour\""),
        "{message}"
    );
    let ignored = client
        .post(&format!("{WIDGETS}?fieldValidation=Ignore"), &body)
        .await;
    assert!(ignored.warnings.is_empty());
    ignored.ok();
    server.stop().await;
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let (_store, server, client) = one_server().await;
    for (name, color) in [("a", "red"), ("b", "blue"), ("c", "red")] {
        client.post(WIDGETS, &widget(name, color)).await.ok();
    }
    let deleted = client
        .delete(&format!("{WIDGETS}?labelSelector=color%3Dred"))
        .await
        .ok();
    assert_eq!(names(&deleted), ["a", "c"]);
    assert_eq!(names(&client.get(ALL_WIDGETS).await.ok()), ["b"]);
    server.stop().await;
}

#[tokio::test]
async fn answers_come_in_the_form_asked_for() {
    let (_store, server, client) = one_server().await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let list = client.get_as(WIDGETS, table).await.ok();
    assert_eq!(list["kind"], "Table");
    assert_eq!(list["columnDefinitions"][1]["name"], "Color");
    assert_eq!(list["rows"][0]["cells"], json!(["a", "red"]));
    assert_eq!(list["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert!(list["metadata"]["resourceVersion"].is_string());

    let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = client.get_as(WIDGETS, partial).await.ok();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0].get("spec").is_none());
    client
        .get_as(WIDGETS, "application/cbor")
        .await
        .fails(406, "NotAcceptable");
    server.stop().await;
}

#[tokio::test]
async fn what_nobody_declared_is_not_found() {
    let (_store, server, client) = one_server().await;
    for path in [
        "/apis/example.com/v1/gadgets",
        "/apis/example.com/v9/widgets",
        "/apis/other.org/v1/widgets",
    ] {
        let reply = client.get(path).await;
        assert_eq!(
            (reply.code, reply.body.as_str()),
            (404, Some("404 page not found\n")),
            "{path}"
        );
    }
    assert_eq!(
        client.post(ALL_WIDGETS, &widget("a", "red")).await.code,
        404
    );
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    client
        .get(&format!("{WIDGETS}/a/log"))
        .await
        .fails(404, "NotFound");
    assert_eq!(client.get(&format!("{WIDGETS}/..%2Fa")).await.code, 404);
    server.stop().await;
}
