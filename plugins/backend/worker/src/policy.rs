//! The rules of jobs that need no database: names, and jitter of the back-off.

/// A number from 0 to 1 that differs from process to process and call to call.
pub(crate) fn chance() -> f64 {
    let random = uuid::Uuid::new_v4().as_u64_pair().1 as u32;
    f64::from(random) / f64::from(u32::MAX)
}

/// `[a-z][a-z0-9-]{0,62}`: the names of queues and schedules.
pub(crate) fn is_queue(name: &str) -> bool {
    name.len() <= 63
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_stays_between_0_and_1_and_varies() {
        let drawn: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(drawn.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!(drawn.iter().any(|chance| *chance < 0.5) && drawn.iter().any(|chance| *chance > 0.5));
    }

    #[test]
    fn a_queue_is_a_word_that_fits_into_a_subject() {
        for good in ["transcode", "a", "a-1"] {
            assert!(is_queue(good), "{good}");
        }
        for bad in ["", "A", "1a", "a.b", "a*", "a>", "a b", &"a".repeat(64)] {
            assert!(!is_queue(bad), "{bad}");
        }
    }
}
