//! `/status` and `/scale`.

use serde_json::json;

use crate::support::{MERGE, WIDGETS, one_server, revision, widget};

#[tokio::test]
async fn status_and_spec_do_not_touch_each_other() {
    let (_store, server, client) = one_server().await;
    let url = format!("{WIDGETS}/a");
    let status_url = format!("{url}/status");
    let mut body = widget("a", "red");
    body["status"] = json!({"phase": "Forged"});
    let created = client.post(WIDGETS, &body).await.ok();
    assert!(created.get("status").is_none(), "a create has no status");

    let mut both = created.clone();
    both["status"] = json!({"phase": "Ready"});
    both["spec"]["color"] = "blue".into();
    both["metadata"]["labels"] = json!({"changed": "yes"});
    let updated = client.put(&status_url, &both).await.ok();
    assert_eq!(updated["status"]["phase"], "Ready");
    assert_eq!(updated["spec"]["color"], "red");
    assert_eq!(updated["metadata"]["labels"], json!({"color": "red"}));
    assert_eq!(updated["metadata"]["generation"], 1);

    let mut both = updated.clone();
    both["status"] = json!({"phase": "Forged"});
    both["spec"]["color"] = "green".into();
    let updated = client.put(&url, &both).await.ok();
    assert_eq!(
        (&updated["status"]["phase"], &updated["spec"]["color"]),
        (&json!("Ready"), &json!("green"))
    );

    let patched = client
        .patch(&status_url, MERGE, &json!({"status": {"phase": "Done"}}))
        .await
        .ok();
    assert_eq!(patched["status"]["phase"], "Done");
    assert_eq!(client.get(&status_url).await.ok(), patched);
    client
        .delete(&status_url)
        .await
        .fails(405, "MethodNotAllowed");
    server.stop().await;
}

#[tokio::test]
async fn scale_reads_and_writes_the_declared_paths() {
    let (_store, server, client) = one_server().await;
    let url = format!("{WIDGETS}/a");
    let scale_url = format!("{url}/scale");
    let mut body = widget("a", "red");
    body["spec"]["replicas"] = 2.into();
    client.post(WIDGETS, &body).await.ok();
    let status = json!({"status": {"replicas": 1, "selector": "app=a"}});
    client
        .patch(&format!("{url}/status"), MERGE, &status)
        .await
        .ok();

    let scale = client.get(&scale_url).await.ok();
    assert_eq!(
        (&scale["apiVersion"], &scale["kind"]),
        (&json!("autoscaling/v1"), &json!("Scale"))
    );
    assert_eq!(scale["spec"], json!({"replicas": 2}));
    assert_eq!(scale["status"], json!({"replicas": 1, "selector": "app=a"}));

    let scaled = client
        .patch(&scale_url, MERGE, &json!({"spec": {"replicas": 5}}))
        .await
        .ok();
    assert_eq!(scaled["spec"]["replicas"], 5);
    let object = client.get(&url).await.ok();
    assert_eq!(object["spec"]["replicas"], 5);
    assert_eq!(object["metadata"]["generation"], 2);
    assert_eq!(revision(&object), revision(&scaled));

    let mut stale = scale.clone();
    stale["spec"]["replicas"] = 9.into();
    client.put(&scale_url, &stale).await.fails(409, "Conflict");
    let mut negative = scaled.clone();
    negative["spec"]["replicas"] = (-1).into();
    client
        .put(&scale_url, &negative)
        .await
        .fails(422, "Invalid");
    let mut put = scaled;
    put["spec"]["replicas"] = 0.into();
    client.put(&scale_url, &put).await.ok();
    assert_eq!(client.get(&url).await.ok()["spec"]["replicas"], 0);
    server.stop().await;
}
