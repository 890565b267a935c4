//! `list`: versions, pages, selectors.

use serde_json::Value;

use crate::support::{ALL_WIDGETS, WIDGETS, names, one_server, revision, widget};

#[tokio::test]
async fn pages_show_one_state_whatever_happens_meanwhile() {
    let (_store, server, client) = one_server().await;
    for at in 0..25 {
        client
            .post(WIDGETS, &widget(&format!("w{at:02}"), "red"))
            .await
            .ok();
    }
    let mut page = client.get(&format!("{WIDGETS}?limit=10")).await.ok();
    assert_eq!(page["metadata"]["remainingItemCount"], 15);
    let first = revision(&page);
    let mut seen: Vec<String> = names(&page).into_iter().map(str::to_owned).collect();
    let mut round = 0;
    while let Some(token) = page["metadata"]["continue"]
        .as_str()
        .filter(|token| !token.is_empty())
    {
        // Churn behind and in front of the page.
        client
            .delete(&format!("{WIDGETS}/w{:02}", 24 - round))
            .await
            .ok();
        client
            .post(WIDGETS, &widget(&format!("w10-{round}"), "red"))
            .await
            .ok();
        round += 1;
        page = client
            .get(&format!("{WIDGETS}?limit=10&continue={token}"))
            .await
            .ok();
        assert_eq!(revision(&page), first);
        seen.extend(names(&page).into_iter().map(str::to_owned));
    }
    let expected: Vec<String> = (0..25).map(|at| format!("w{at:02}")).collect();
    assert_eq!(seen, expected);
    server.stop().await;
}

#[tokio::test]
async fn a_list_can_go_on_after_its_version_was_compacted() {
    let (store, server, client) = one_server().await;
    for name in ["a", "b", "c"] {
        client.post(WIDGETS, &widget(name, "red")).await.ok();
    }
    let page = client.get(&format!("{WIDGETS}?limit=1")).await.ok();
    let token = page["metadata"]["continue"].as_str().unwrap();
    client.post(WIDGETS, &widget("d", "red")).await.ok();
    store.compact(store.revision().await.unwrap()).await;
    let refused = client
        .get(&format!("{WIDGETS}?limit=10&continue={token}"))
        .await;
    let fresh = refused.body["metadata"]["continue"]
        .as_str()
        .unwrap()
        .to_owned();
    refused.fails(410, "Expired");
    let rest = client
        .get(&format!("{WIDGETS}?limit=10&continue={fresh}"))
        .await
        .ok();
    assert_eq!(names(&rest), ["b", "c", "d"]);

    let exact = format!(
        "{WIDGETS}?resourceVersion={}&resourceVersionMatch=Exact",
        revision(&page)
    );
    client.get(&exact).await.fails(410, "Expired");
    client
        .get(&format!("{WIDGETS}?continue=nonsense"))
        .await
        .fails(400, "BadRequest");
    server.stop().await;
}

#[tokio::test]
async fn resource_versions_choose_the_state() {
    let (_store, server, client) = one_server().await;
    let first = client.post(WIDGETS, &widget("a", "red")).await.ok();
    client.post(WIDGETS, &widget("b", "red")).await.ok();

    let exact = format!(
        "{WIDGETS}?resourceVersion={}&resourceVersionMatch=Exact",
        revision(&first)
    );
    assert_eq!(names(&client.get(&exact).await.ok()), ["a"]);
    let newer = format!("{WIDGETS}?resourceVersion={}", revision(&first));
    let list = client.get(&newer).await.ok();
    assert!(revision(&list) >= revision(&first));
    assert_eq!(
        names(
            &client
                .get(&format!("{WIDGETS}?resourceVersion=0"))
                .await
                .ok()
        )
        .len(),
        2
    );
    let latest = client.get(WIDGETS).await.ok();
    assert_eq!(names(&latest), ["a", "b"]);

    let future = revision(&latest) + 100_000;
    let refused = client
        .get(&format!("{WIDGETS}?resourceVersion={future}"))
        .await;
    assert_eq!(
        refused.body["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    refused.fails(504, "Timeout");
    client
        .get(&format!("{WIDGETS}/a?resourceVersion={future}"))
        .await
        .fails(504, "Timeout");
    client
        .get(&format!("{WIDGETS}?resourceVersion=x"))
        .await
        .fails(400, "BadRequest");
    let without = format!("{WIDGETS}?resourceVersionMatch=Exact");
    client.get(&without).await.fails(422, "Invalid");
    server.stop().await;
}

#[tokio::test]
async fn a_list_contains_what_was_acknowledged_before_it() {
    let (_store, server, client) = one_server().await;
    for at in 0..50 {
        let name = format!("w{at}");
        client.post(WIDGETS, &widget(&name, "red")).await.ok();
        let list = client.get(ALL_WIDGETS).await.ok();
        assert!(names(&list).contains(&name.as_str()), "{name} is missing");
    }
    server.stop().await;
}

#[tokio::test]
async fn selectors_select() {
    let (_store, server, client) = one_server().await;
    for (name, color) in [("a", "red"), ("b", "blue"), ("c", "red")] {
        client.post(WIDGETS, &widget(name, color)).await.ok();
    }
    let list =
        async |query: &str| -> Value { client.get(&format!("{WIDGETS}?{query}")).await.ok() };
    assert_eq!(names(&list("labelSelector=color%3Dred").await), ["a", "c"]);
    assert_eq!(names(&list("labelSelector=color+notin+(red)").await), ["b"]);
    assert_eq!(names(&list("fieldSelector=metadata.name%3Db").await), ["b"]);
    assert_eq!(names(&list("fieldSelector=spec.color%3Dblue").await), ["b"]);
    assert_eq!(
        names(&list("labelSelector=color%3Dred&limit=1").await),
        ["a"]
    );
    assert_eq!(
        list("labelSelector=none%3Dx").await["items"],
        serde_json::json!([])
    );
    client
        .get(&format!("{WIDGETS}?fieldSelector=spec.size%3D1"))
        .await
        .fails(400, "BadRequest");
    client
        .get(&format!("{WIDGETS}?labelSelector=a%3D%3D%3Db"))
        .await
        .fails(400, "BadRequest");
    server.stop().await;
}

#[tokio::test]
async fn namespaces_hold_objects_apart() {
    let (_store, server, client) = one_server().await;
    let other = WIDGETS.replace("default", "default-2");
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    client.post(&other, &widget("b", "red")).await.ok();
    assert_eq!(names(&client.get(WIDGETS).await.ok()), ["a"]);
    assert_eq!(names(&client.get(&other).await.ok()), ["b"]);
    assert_eq!(names(&client.get(ALL_WIDGETS).await.ok()).len(), 2);
    client
        .get(&format!("{other}/a"))
        .await
        .fails(404, "NotFound");
    server.stop().await;
}
