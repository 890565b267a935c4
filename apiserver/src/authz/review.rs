//! SubjectAccessReviews at the host cluster, and the memory of their answers.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::{Attributes, Decision};
use crate::host;
use crate::memo::Memo;

/// Answers remembered at once.
const REMEMBERED: usize = 8192;
/// Questions longer than this are asked but not remembered, so that one client can't fill the memory.
const MAX_KEY_BYTES: usize = 10_000;

/// Asks the host cluster what a user may do.
pub(super) struct Reviewer {
    reviews: Api<SubjectAccessReview>,
    allowed_ttl: Duration,
    denied_ttl: Duration,
    memo: Memo<String, Decision, Arc<kube::Error>>,
}

impl Reviewer {
    pub(super) fn new(client: Client, allowed_ttl: Duration, denied_ttl: Duration) -> Self {
        Self {
            reviews: Api::all(client),
            allowed_ttl,
            denied_ttl,
            memo: Memo::new(REMEMBERED),
        }
    }

    pub(super) async fn review(
        &self,
        attributes: &Attributes<'_>,
    ) -> Result<Decision, Arc<kube::Error>> {
        let spec = spec(attributes);
        let key = serde_json::to_string(&spec)
            .map_err(|source| Arc::new(kube::Error::SerdeError(source)))?;
        let reviews = self.reviews.clone();
        if key.len() > MAX_KEY_BYTES {
            return ask(&reviews, spec).await.map_err(Arc::new);
        }
        let ttl = |decision: &Decision| match decision {
            Decision::Allowed => self.allowed_ttl,
            Decision::Denied(_) => self.denied_ttl,
        };
        let question = || async move { ask(&reviews, spec).await.map_err(Arc::new) };
        self.memo.get_or_ask(key, ttl, question).await
    }
}

async fn ask(
    reviews: &Api<SubjectAccessReview>,
    spec: SubjectAccessReviewSpec,
) -> Result<Decision, kube::Error> {
    let review = SubjectAccessReview {
        spec,
        ..SubjectAccessReview::default()
    };
    let params = PostParams::default();
    let answer = host::with_retries(|| reviews.create(&params, &review)).await?;
    let status = answer.status.unwrap_or_default();
    if status.allowed && status.denied != Some(true) {
        Ok(Decision::Allowed)
    } else {
        Ok(Decision::Denied(status.reason.unwrap_or_default()))
    }
}

fn spec(attributes: &Attributes<'_>) -> SubjectAccessReviewSpec {
    let user = attributes.user;
    let info = attributes.info;
    let verb = Some(info.verb.to_string());
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let mut spec = SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        groups: (!user.groups.is_empty()).then(|| user.groups.clone()),
        uid: text(&user.uid),
        extra: (!user.extra.is_empty()).then(|| user.extra.clone()),
        ..SubjectAccessReviewSpec::default()
    };
    match &info.target {
        None => {
            spec.non_resource_attributes = Some(NonResourceAttributes {
                path: Some(info.path.clone()),
                verb,
            });
        }
        Some(target) => {
            // The host cluster parses raw selectors itself and ignores those that it can't parse,
            // which only makes the question broader.
            let field_selector =
                text(attributes.field_selector).map(|raw| FieldSelectorAttributes {
                    raw_selector: Some(raw),
                    requirements: None,
                });
            let label_selector =
                text(attributes.label_selector).map(|raw| LabelSelectorAttributes {
                    raw_selector: Some(raw),
                    requirements: None,
                });
            spec.resource_attributes = Some(ResourceAttributes {
                namespace: target.namespace.clone(),
                verb,
                group: text(attributes.group),
                version: text(&target.version),
                resource: text(attributes.resource),
                subresource: target.subresource.clone(),
                name: target.name.clone(),
                field_selector,
                label_selector,
            });
        }
    }
    spec
}
