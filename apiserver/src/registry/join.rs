//! Letting a cluster join: the reads and the one write of [`crate::members::join`].

use bytes::Bytes;
use helium_apimachinery::meta::Object;
use helium_apimachinery::metadata_rules::{self, CreateContext};
use helium_apimachinery::{GroupKind, GroupResource, Status};
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::create::{ORIGIN, set_annotation};
use super::live::Live;
use super::{CACHE_WAIT, Registry, error};
use crate::backend::Body;
use crate::definitions::builtin::{HELIUM_GROUP, JOIN_TOKENS, MEMBERS};
use crate::members::Roster;
use crate::members::join::{self, Request};
use crate::members::rules::{self, Origin};
use crate::storage::{Alongside, Beside, Written};

/// How often it is tried again because somebody else changed the members at the same time.
const ATTEMPTS: usize = 16;

impl Registry {
    /// Answers a request to join.
    pub(super) async fn answer_join(&self, body: &[u8]) -> Result<Response<Body>, Status> {
        if let Some(why) = self.members.detached() {
            let resource = GroupResource::new(HELIUM_GROUP, MEMBERS);
            return Err(Status::forbidden(&resource, "", why));
        }
        let request = Request::parse(body)?;
        let (Some(tokens), Some(members)) = (
            self.find(HELIUM_GROUP, JOIN_TOKENS),
            self.find(HELIUM_GROUP, MEMBERS),
        ) else {
            return Err(error::definitions_unread());
        };
        for _ in 0..ATTEMPTS {
            if let Some(answer) = self.try_join(&tokens, &members, &request).await? {
                return Ok(answer);
            }
        }
        let resource = GroupResource::new(HELIUM_GROUP, MEMBERS);
        let why = "other members change all the time; the token is still good, try again";
        Err(Status::conflict(&resource, &request.cluster, why))
    }

    /// Tries once; `None` if the token or a member has changed meanwhile.
    async fn try_join(
        &self,
        tokens: &Live,
        members: &Live,
        request: &Request,
    ) -> Result<Option<Response<Body>>, Status> {
        let token_key = tokens.cache.prefix().key(&request.token);
        let record = self.store.get(&token_key).await?;
        let stored = record.as_ref().map(|record| tokens.decode(record));
        let stored = stored
            .transpose()
            .map_err(|error| error::unreadable(&error))?;
        let redeemed = join::redeem(stored.as_ref(), request, Timestamp::now());
        if redeemed.is_err()
            && let Some(answer) = self.repeated(members, stored.as_ref(), request).await?
        {
            return Ok(Some(answer));
        }
        let used = redeemed?;
        // A token that opens was stored.
        let token_revision = record.map_or(0, |record| record.revision);

        let roster = self.fresh_roster(members).await?;
        join::check(request, &roster, &self.cluster)?;
        let mut member = self.new_member(members, request, &roster)?;
        let along = Alongside {
            guard: Some((token_key.clone(), token_revision)),
            besides: vec![Beside::Put(token_key, tokens.encode(&used))],
            unmoved: Some((members.cache.prefix().key(""), roster.revision())),
            ..Alongside::default()
        };
        let key = members.cache.prefix().key(&request.cluster);
        let value = members.encode(&member);
        match self.store.create_with(&key, value, &along).await? {
            Written::Done { revision } => {
                member.set_resource_version(&revision.to_string());
                tracing::info!(
                    cluster = request.cluster,
                    token = request.token,
                    "a cluster has joined the fleet"
                );
                let answer = join::answer(&member, &roster).to_string();
                Ok(Some(error::json(StatusCode::CREATED, Bytes::from(answer))))
            }
            Written::Conflict { .. } => {
                let resource = GroupResource::new(HELIUM_GROUP, MEMBERS);
                let why = join::name_taken(&request.cluster);
                Err(Status::conflict(&resource, &request.cluster, why))
            }
            Written::Fenced { .. } | Written::Moved { .. } => Ok(None),
        }
    }

    /// The answer that a cluster got already, if it has joined with just this.
    async fn repeated(
        &self,
        members: &Live,
        stored: Option<&Object>,
        request: &Request,
    ) -> Result<Option<Response<Body>>, Status> {
        if stored.is_none() {
            return Ok(None);
        }
        let roster = self.fresh_roster(members).await?;
        if !join::is_repeated(stored, request, &roster) {
            return Ok(None);
        }
        let snapshot = members.cache.snapshot("", None);
        let mut objects = snapshot.entries.iter().map(|entry| &entry.object);
        let member = objects.find(|member| member.name() == request.cluster);
        Ok(member.map(|member| {
            let answer = join::answer(member, &roster).to_string();
            error::json(StatusCode::OK, Bytes::from(answer))
        }))
    }

    /// All members as the store has them now.
    async fn fresh_roster(&self, members: &Live) -> Result<Roster, Status> {
        let cache = &members.cache;
        let current = self.store.current_revision(cache.prefix()).await?;
        cache
            .wait_revision(current, CACHE_WAIT)
            .await
            .map_err(|_| error::lagging())?;
        let snapshot = cache.snapshot("", None);
        let objects = snapshot.entries.iter().map(|entry| &entry.object);
        Ok(Roster::new(objects, snapshot.revision))
    }

    fn new_member(
        &self,
        members: &Live,
        request: &Request,
        roster: &Roster,
    ) -> Result<Object, Status> {
        let definition = &members.resource.definition;
        let gvk = definition.gvk(&definition.storage_version().name);
        let mut member = Object::new(&gvk);
        member.set_name(&request.cluster);
        let spec = json!({"certificateAuthorities": request.authorities});
        member.set("spec", spec);
        let context = CreateContext {
            scope: definition.scope,
            namespace: "",
            has_status: true,
            now: Timestamp::now(),
            uid: Uuid::new_v4(),
        };
        metadata_rules::prepare_create(&mut member, &context, &mut rand::rng())?;
        let origin = Origin {
            cluster: &self.cluster,
            // The token stands for somebody who may.
            administers: true,
            roster,
        };
        rules::admit(&mut member, None, origin).map_err(|errors| {
            let kind = GroupKind {
                group: gvk.group.clone(),
                kind: gvk.kind.clone(),
            };
            Status::invalid(&kind, &request.cluster, &errors)
        })?;
        set_annotation(&mut member, ORIGIN, Some(&self.cluster));
        Ok(member)
    }
}
