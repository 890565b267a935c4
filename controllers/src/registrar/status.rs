//! Writing a cluster's entry into the status of a definition, at the control plane.

use jiff::Timestamp;
use kube::Api;
use kube::core::DynamicObject;
use serde_json::Value;

use super::{report, writer};

/// Puts this cluster's entry into a definition's status, among those of others who do the same.
pub(super) async fn put(
    api: &Api<DynamicObject>,
    name: &str,
    entry: &Value,
) -> Result<(), kube::Error> {
    /// Writers of one status: the agents of all clusters, and the servers.
    const ATTEMPTS: usize = 8;
    let mut attempt = 1;
    loop {
        let Some(mut object) = api.get_opt(name).await? else {
            return Ok(());
        };
        let status = object.data.get("status");
        if report::holds(status, entry) {
            return Ok(());
        }
        let mut status = status.cloned().unwrap_or_default();
        report::put(&mut status, entry.clone(), Timestamp::now());
        object.data["status"] = status;
        match api.replace_status(name, &writer::post(), &object).await {
            Err(kube::Error::Api(status)) if status.is_conflict() && attempt < ATTEMPTS => {
                attempt += 1;
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
            done => return done.map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registrar::definitions_resource;
    use crate::scripted::{Scripted, refusal};

    fn definition(version: &str, status: Value) -> (u16, Value) {
        let object = json!({"apiVersion": "helium.dev/v1", "kind": "SharedResourceDefinition",
            "metadata": {"name": "a", "resourceVersion": version}, "spec": {"group": "g"}, "status": status});
        (200, object)
    }

    fn entry() -> Value {
        json!({"name": "east", "registered": true, "available": true, "observedGeneration": 1})
    }

    async fn put_at(server: &Scripted) -> Result<(), kube::Error> {
        let api = Api::all_with(server.client(), &definitions_resource());
        put(&api, "a", &entry()).await
    }

    #[tokio::test]
    async fn a_conflict_is_tried_again_on_what_the_other_wrote() {
        let other = json!({"name": "west", "registered": true, "available": true});
        let server = Scripted::new([
            definition("1", Value::Null),
            refusal(409, "Conflict"),
            definition("2", json!({"clusters": [other], "storedVersions": ["v1"]})),
            definition("3", Value::Null),
        ]);
        put_at(&server).await.unwrap();
        let asked = server.asked();
        let methods: Vec<_> = asked.iter().map(|asked| asked.method.as_str()).collect();
        assert_eq!(methods, ["GET", "PUT", "GET", "PUT"]);
        let last = &asked[3];
        assert!(last.path.ends_with("/sharedresourcedefinitions/a/status"));
        assert_eq!(last.body["metadata"]["resourceVersion"], "2");
        assert_eq!(last.body["status"]["clusters"], json!([entry(), other]));
        assert_eq!(last.body["status"]["storedVersions"], json!(["v1"]));
    }

    #[tokio::test]
    async fn what_is_there_already_is_not_written() {
        let server = Scripted::new([definition("1", json!({"clusters": [entry()]}))]);
        put_at(&server).await.unwrap();
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_definition_that_is_gone_needs_no_status() {
        let server = Scripted::new([refusal(404, "NotFound")]);
        put_at(&server).await.unwrap();
        let server = Scripted::new([definition("1", Value::Null), refusal(404, "NotFound")]);
        put_at(&server).await.unwrap();
    }

    #[tokio::test]
    async fn endless_conflicts_end() {
        let mut answers = Vec::new();
        for _ in 0..50 {
            answers.extend([definition("1", Value::Null), refusal(409, "Conflict")]);
        }
        let server = Scripted::new(answers);
        assert!(put_at(&server).await.is_err());
    }
}
