//! Waiting for a condition instead of sleeping.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks `condition` until it says yes, in growing pauses of at most 50 ms.
///
/// # Panics
/// When it has not said yes within `bound`, naming `what`.
#[track_caller]
pub fn wait_for<C, F>(
    what: impl std::fmt::Display,
    bound: Duration,
    mut condition: C,
) -> impl Future<Output = ()>
where
    C: FnMut() -> F,
    F: Future<Output = bool>,
{
    let caller = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        while !condition().await {
            assert!(
                begun.elapsed() < bound,
                "{caller}: {what}: not within {bound:?}"
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_true_is_waited_for() {
        let mut asked = 0;
        wait_for("the third question", Duration::from_secs(5), || {
            asked += 1;
            std::future::ready(asked == 3)
        })
        .await;
        assert_eq!(asked, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "never: not within")]
    async fn a_condition_that_stays_false_panics() {
        wait_for("never", Duration::from_millis(5), || {
            std::future::ready(false)
        })
        .await;
    }
}
