//! A proxy between an agent and its cluster that can hold requests back: what was sent arrives, even if nobody waits for it any more.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use helium_testkit::wait_for;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;

/// The proxy. Clones are the same.
#[derive(Clone)]
pub(crate) struct Relay {
    client: Client,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    holds: Vec<(Method, String, watch::Receiver<bool>)>,
    /// Every request as `METHOD path?query`.
    asked: Vec<String>,
}

/// Requests that are held back until this is released or dropped.
pub(crate) struct Hold {
    gate: watch::Sender<bool>,
}

impl Hold {
    pub(crate) fn release(self) {
        self.gate.send_replace(true);
    }
}

impl Relay {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            state: Arc::default(),
        }
    }

    /// A client by way of it.
    pub(crate) fn client(&self) -> Client {
        let relay = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let relay = relay.clone();
            // A task of its own: who gives up waiting doesn't call it back.
            let passed = tokio::spawn(async move { relay.pass(request).await });
            async move {
                match passed.await {
                    Ok(answer) => answer.map_err(|error| Box::new(error) as tower::BoxError),
                    Err(error) => Err(Box::new(error) as tower::BoxError),
                }
            }
        });
        Client::new(service, "default")
    }

    /// Holds back requests of a method whose path contains a text.
    pub(crate) fn hold(&self, method: Method, path: &str) -> Hold {
        let (gate, released) = watch::channel(false);
        let mut state = self.state.lock().expect("not poisoned");
        state.holds.push((method, path.to_owned(), released));
        Hold { gate }
    }

    /// The requests so far, as `METHOD path?query`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().expect("not poisoned").asked.clone()
    }

    /// How many writes were asked for so far; a rehearsal is none.
    pub(crate) fn writes(&self) -> usize {
        let asked = self.asked();
        let is_write = |one: &&String| !one.starts_with("GET ") && !one.contains("dryRun=All");
        asked.iter().filter(is_write).count()
    }

    /// Waits until a request was made whose line contains a text.
    pub(crate) async fn sees(&self, line: &str) {
        wait_for(
            format!("{line} is asked"),
            Duration::from_secs(30),
            || async { self.asked().iter().any(|one| one.contains(line)) },
        )
        .await;
    }

    async fn pass(&self, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
        let path = request.uri().path().to_owned();
        let held = {
            let mut state = self.state.lock().expect("not poisoned");
            state
                .asked
                .push(format!("{} {}", request.method(), request.uri()));
            let mut holds = state.holds.iter();
            holds
                .find(|(method, part, _)| method == request.method() && path.contains(part))
                .map(|(_, _, released)| released.clone())
        };
        if let Some(mut released) = held {
            // A hold that is dropped is a release.
            let _gone = released.wait_for(|released| *released).await;
        }
        self.client.send(request).await
    }
}
