//! Seeded random decisions, and sequences that are spread evenly instead of being drawn at random.
//!
//! In a [`Sequence`], a share holds for small numbers too: a share of 0.1 applies to 10 of any 100
//! consecutive indices, give or take one.

/// An evenly spread sequence for one kind of decision. Each has its own irrational step, so that
/// the sequences are independent of each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    step: f64,
}

impl Sequence {
    /// Which kind of event a registration is.
    pub(super) const KIND: Self = Self { step: 0.618_033_988_749_894_9 };
    /// Whether the answer to a submission is lost.
    pub(super) const LOST_ANSWER: Self = Self { step: 0.414_213_562_373_095_1 };
    /// Whether a registrar submits a refused record again.
    pub(super) const RESUBMISSION: Self = Self { step: 0.732_050_807_568_877_3 };
    /// What shape the document has.
    pub(super) const SHAPE: Self = Self { step: 0.236_067_977_499_789_7 };
    /// Whether a declaration lacks what the ID system must know.
    pub(super) const UNFIT: Self = Self { step: 0.645_751_311_064_590_6 };
    /// Whether a submission carries a time in the future.
    pub(super) const FUTURE_STAMP: Self = Self { step: 0.316_624_790_355_399_8 };

    /// The value at an index, from 0 to below 1.
    pub(super) fn at(self, seed: u64, index: u64) -> f64 {
        let start = fastrand::Rng::with_seed(seed ^ self.step.to_bits()).f64();
        #[expect(clippy::cast_precision_loss, reason = "an index beyond 2^52 is never reached")]
        let moved = index as f64 * self.step;
        (start + moved).fract()
    }
}

/// A hash of a text. Unlike the standard library's hashes, it is the same on every machine and in
/// every release.
pub(super) fn digest(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The random generator for one decision. Neighbouring salts give unrelated values.
pub(super) fn rng(seed: u64, about: &str, salt: u64) -> fastrand::Rng {
    let stir = |sum: u64| (sum ^ (sum >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    fastrand::Rng::with_seed(stir(stir(stir(seed) ^ digest(about)) ^ salt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_decisions_about_the_same_person_are_independent() {
        let hit = |salt: u64, person: u64| rng(7, &format!("p{person}"), salt).f64() < 0.3;
        for (first, second) in [(0, 1), (1, 2), (2, 3), (1, 3)] {
            let both = (0..4_000).filter(|person| hit(first, *person) && hit(second, *person)).count();
            assert!(both.abs_diff(360) < 70, "{first} and {second}: {both}");
        }
    }

    #[test]
    fn a_share_holds_for_a_hundred_neighbours_whatever_the_seed() {
        for seed in 0..50 {
            for sequence in [Sequence::KIND, Sequence::LOST_ANSWER, Sequence::RESUBMISSION, Sequence::SHAPE] {
                let hits = (0..100).filter(|index| sequence.at(seed, *index) < 0.1).count();
                assert!((8..=12).contains(&hits), "{sequence:?} with seed {seed}: {hits}");
            }
        }
    }
}
