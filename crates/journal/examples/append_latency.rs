//! Measures appends on an endpoint: `cargo run --release -p helium-journal --example append_latency
//! -- sqlite:///tmp/x/state.db`. Prints, for several payload sizes, the latency of one append after
//! another and of a head query.

use std::time::{Duration, Instant};

use helium_journal::conformance::entry;
use helium_journal::{Error, Options, Slot, TlsFiles, endpoint};

const ROUNDS: i64 = 400;

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn print(what: &str, mut taken: Vec<Duration>) {
    taken.sort_unstable();
    let [p50, p90, p99] = [50, 90, 99].map(|percent| percentile(&taken, percent));
    println!("{what:<24} p50 {p50:>10.1?}  p90 {p90:>10.1?}  p99 {p99:>10.1?}");
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_default();
    let journal = endpoint::open(&url, &TlsFiles::default(), &Options::default()).await?;
    let mut newest = journal.head_read(Slot::ZERO).await?.newest;
    for size in [300, 10_000, 100_000, 1_000_000] {
        let mut taken = Vec::new();
        for _ in 0..ROUNDS {
            let (slot, prev) = newest.unwrap_or((Slot::ZERO, helium_journal::EntryId::NIL));
            let next = entry(slot.next().0, prev, vec![size as u8; size]);
            let begun = Instant::now();
            journal.entry_append(&next).await?;
            taken.push(begun.elapsed());
            newest = Some((next.slot, next.id));
        }
        print(&format!("append of {size} bytes"), taken);
    }
    let mut taken = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        journal
            .head_read(newest.map_or(Slot::ZERO, |(slot, _)| slot))
            .await?;
        taken.push(begun.elapsed());
    }
    print("head query", taken);
    journal.close().await;
    Ok(())
}
