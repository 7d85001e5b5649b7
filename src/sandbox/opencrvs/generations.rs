//! The generation and the release of OpenCRVS that the records of a run belong to.

use super::events::Release;

/// What a simulated OpenCRVS speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Generations {
    /// 1.7 to 1.9: a FHIR bundle, GraphQL.
    #[default]
    Fhir,
    /// Events of 1.9: action tokens.
    #[value(name = "1.9")]
    V1_9,
    /// Events of 2.0: action tokens.
    #[value(name = "2.0", alias = "events")]
    V2_0,
    /// Events of 2.1: service tokens, and answers by a system client.
    #[value(name = "2.1")]
    V2_1,
    /// All at once: every second record FHIR, the others events of each release in turn.
    Mixed,
}

/// What one record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    Fhir,
    Events(Release),
}

impl Generations {
    /// The release of the simulated OpenCRVS itself. Records of older releases may be in it.
    pub fn release(self) -> Release {
        match self {
            Self::V1_9 => Release::V1_9,
            Self::Fhir | Self::V2_0 => Release::V2_0,
            Self::V2_1 | Self::Mixed => Release::V2_1,
        }
    }

    /// Whether there are records of the FHIR generation.
    pub fn has_fhir(self) -> bool {
        matches!(self, Self::Fhir | Self::Mixed)
    }

    /// Whether there are records of the events generation.
    pub fn has_events(self) -> bool {
        self != Self::Fhir
    }

    /// What the record with this index belongs to, in an OpenCRVS of this release. An OpenCRVS has
    /// no records of a newer release than its own.
    pub fn of(self, index: u64, newest: Release) -> Generation {
        match self {
            Self::Fhir => Generation::Fhir,
            Self::Mixed if index.is_multiple_of(2) => Generation::Fhir,
            Self::Mixed => {
                let release = match index / 2 % 3 {
                    0 => Release::V2_1,
                    1 => Release::V2_0,
                    _ => Release::V1_9,
                };
                Generation::Events(release.min(newest))
            }
            Self::V1_9 | Self::V2_0 | Self::V2_1 => Generation::Events(self.release().min(newest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_mixed_opencrvs_has_records_of_all_releases_up_to_its_own() {
        let of = |newest| (0..6).map(|index| Generations::Mixed.of(index, newest)).collect::<Vec<_>>();
        let events = |releases: [Release; 3]| {
            releases.into_iter().flat_map(|release| [Generation::Fhir, Generation::Events(release)])
        };
        let all = [Release::V2_1, Release::V2_0, Release::V1_9];
        assert_eq!(of(Release::V2_1), events(all).collect::<Vec<_>>());
        let old = [Release::V2_0, Release::V2_0, Release::V1_9];
        assert_eq!(of(Release::V2_0), events(old).collect::<Vec<_>>());
    }

    #[test]
    fn events_means_2_0() {
        assert_eq!(Generations::from_str("events", false), Ok(Generations::V2_0));
    }
}
