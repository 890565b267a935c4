//! Who is let in, as whom, and what every request passes: against a real listener over TLS.

mod certificates;
mod front_proxy;
mod host;
mod layers;
mod proxies;
mod reviews;
mod settings;
mod strange;
mod support;
