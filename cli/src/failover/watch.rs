//! `helium failover status --watch`: what changes, as it changes.
//!
//! A terminal shows the table anew; anything else (a file, a pipe) gets a line for each change, with `-o json` a document a line.
//! It is a real watch of the groups; when it breaks off they are read again, so nothing that lasts is missed.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use helium_failover::GroupName;
use helium_failover::kind::{FAILOVER_GROUP_KIND, FAILOVER_GROUPS};
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, WatchEvent, WatchParams};
use tokio::signal::unix::{SignalKind, signal};

use super::api::{self, Group};
use super::status::Scope;
use super::view::{GroupRow, changes};
use crate::error::{Error, Result};
use crate::options::OutputFormat;
use crate::table;

/// Ages on a terminal go on, and a record that runs out is noticed.
const REDRAW: Duration = Duration::from_secs(1);
/// Before groups are read again after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Shows changes until interrupted.
pub(super) async fn run(scope: Scope, output: OutputFormat) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    let redraws = output == OutputFormat::Text && std::io::stdout().is_terminal();
    let mut screen = Screen {
        output,
        redraws,
        lines: 0,
        groups: BTreeMap::new(),
        rows: BTreeMap::new(),
        scope,
    };
    tokio::select! {
        ended = screen.follow() => ended,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

struct Screen {
    scope: Scope,
    output: OutputFormat,
    redraws: bool,
    /// How many lines were drawn last.
    lines: usize,
    groups: BTreeMap<GroupName, Group>,
    /// As they were shown last.
    rows: BTreeMap<GroupName, GroupRow>,
}

impl Screen {
    async fn follow(&mut self) -> Result<()> {
        // What can't be asked at all is an error; what fails later is waited out.
        let mut version = self.list().await?;
        loop {
            self.show().await;
            if let Err(error) = self.watch(&version).await {
                eprintln!("the watch broke off: {error}; going on");
                tokio::time::sleep(RETRY).await;
            }
            version = loop {
                match self.list().await {
                    Ok(version) => break version,
                    Err(error) => {
                        eprintln!("{}; trying on", helium_telemetry::Chain(&error));
                        tokio::time::sleep(RETRY).await;
                    }
                }
            };
        }
    }

    async fn list(&mut self) -> Result<String> {
        let connection = self.scope.connection();
        let (groups, version) = api::groups(connection, self.scope.namespace()).await?;
        let scope = &self.scope;
        let shown = groups.into_iter().filter(|group| scope.includes(group));
        self.groups = shown.map(|group| (group.name.clone(), group)).collect();
        Ok(version)
    }

    /// Follows changes until the watch ends; an end by the server's own time limit is none.
    async fn watch(&mut self, version: &str) -> Result<(), kube::Error> {
        let kind = GroupVersionKind::gvk("helium.dev", "v1", FAILOVER_GROUP_KIND);
        let resource = ApiResource::from_gvk_with_plural(&kind, FAILOVER_GROUPS);
        let client = self.scope.connection().client();
        let api: Api<DynamicObject> = match self.scope.namespace() {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let stream = api.watch(&WatchParams::default(), version).await?;
        let mut stream = std::pin::pin!(stream);
        let mut tick = tokio::time::interval(REDRAW);
        loop {
            tokio::select! {
                event = stream.try_next() => match event? {
                    None => return Ok(()),
                    Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => self.note(&object, false),
                    Some(WatchEvent::Deleted(object)) => self.note(&object, true),
                    Some(WatchEvent::Bookmark(_)) => continue,
                    Some(WatchEvent::Error(status)) => return Err(kube::Error::Api(status)),
                },
                _ = tick.tick(), if self.redraws => {}
            }
            self.show().await;
        }
    }

    fn note(&mut self, object: &DynamicObject, gone: bool) {
        let Some(group) = serde_json::to_value(object)
            .ok()
            .and_then(|object| Group::read(&object))
            .filter(|group| self.scope.includes(group))
        else {
            return;
        };
        if gone {
            self.groups.remove(&group.name);
        } else {
            self.groups.insert(group.name.clone(), group);
        }
    }

    async fn show(&mut self) {
        let mut rows = BTreeMap::new();
        for (name, group) in &self.groups {
            rows.insert(name.clone(), self.scope.row(group).await);
        }
        let text = match self.output {
            OutputFormat::Text if self.redraws => self.redrawn(&rows),
            OutputFormat::Text => self.lines(&rows),
            OutputFormat::Json if rows == self.rows => String::new(),
            OutputFormat::Json => {
                let all: Vec<GroupRow> = rows.values().cloned().collect();
                self.scope.render(&all, self.output, Timestamp::now())
            }
        };
        table::print(&text);
        self.rows = rows;
    }

    fn redrawn(&mut self, rows: &BTreeMap<GroupName, GroupRow>) -> String {
        let all: Vec<GroupRow> = rows.values().cloned().collect();
        let table = if all.is_empty() {
            "no failover groups yet\n".to_owned()
        } else {
            self.scope.render(&all, self.output, Timestamp::now())
        };
        // Up to where the last table began, and everything below away.
        let up = match self.lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[0J"),
        };
        self.lines = table.lines().count();
        up + &table
    }

    fn lines(&self, rows: &BTreeMap<GroupName, GroupRow>) -> String {
        let now = Timestamp::now();
        let mut text = String::new();
        let gone = self.rows.keys().filter(|name| !rows.contains_key(*name));
        for name in rows.keys().chain(gone) {
            for line in changes(self.rows.get(name), rows.get(name)) {
                text.push_str(&format!("{now:.3} {line}\n"));
            }
        }
        text
    }
}
