//! A few hundred inputs, the same each time.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRng, TestRunner};

use crate::Target;

/// Changed inputs.
const CASES: u32 = 512;
/// Beginnings of a seed that are tried.
const BEGINNINGS: usize = 512;

pub(crate) fn run(seeds: &[Vec<u8>], target: Target) {
    target(&[]);
    for seed in seeds {
        target(seed);
        // Of a long one not every beginning: what is told apart stands near the front.
        (0..seed.len().min(BEGINNINGS)).for_each(|end| target(&seed[..end]));
    }
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let algorithm = config.rng_algorithm;
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(algorithm));
    let changed = runner.run(&inputs(seeds.to_vec()), |input| {
        target(&input);
        Ok(())
    });
    changed.unwrap_or_else(|error| panic!("{error}"));
}

fn inputs(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), any::<u8>(), any::<bool>());
    let changes = proptest::collection::vec(change, 1..6);
    (any::<Index>(), changes).prop_map(move |(seed, changes)| {
        let mut bytes = if seeds.is_empty() { Vec::new() } else { seed.get(&seeds).clone() };
        for (place, byte, is_new) in changes {
            if bytes.is_empty() || is_new {
                let at = place.index(bytes.len() + 1);
                bytes.insert(at, byte);
            } else {
                let at = place.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_on_a_changed_input_is_found() {
        let found = std::panic::catch_unwind(|| {
            super::run(&[b"good".to_vec()], |bytes| assert!(bytes.len() < 6, "six"));
        });
        assert!(found.is_err());
    }

    #[test]
    fn a_panic_on_half_a_seed_is_found() {
        let found = std::panic::catch_unwind(|| {
            super::run(&[b"good".to_vec()], |bytes| assert_ne!(bytes, b"goo"));
        });
        assert!(found.is_err());
    }
}
